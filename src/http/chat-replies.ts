/**
 * The answers of `POST /chat`: one object, or a stream of the text as it comes, then that object, then `[DONE]`.
 */
import { once } from 'node:events';
import type { RequestSoFar } from '../chain/chain-request.js';
import type { AnswerStream } from '../fallback/answer-stream.js';
import type { ChatResult } from '../fallback/call-options.js';
import { answerHeaders } from './call-headers.js';
import type { Exchange } from './exchange.js';
import { Heartbeat } from './heartbeat.js';
import { DONE, EVENT_STREAM_HEADERS, sendJson } from './replies.js';

export interface ChatReplyContext {
  readonly exchange: Exchange;
  readonly simulated: boolean;
  /** Aborts when the caller leaves. */
  readonly left: AbortSignal;
}

export function replyWhole({ exchange, simulated }: ChatReplyContext, result: ChatResult): void {
  sendJson(exchange, 200, chatAnswer(result), answerHeaders(exchange.requestId, result, simulated));
}

/**
 * @param ask starts the stream; told when its first token is there, be it a thought.
 * @throws what the stream throws; where headers are out, the caller still gets it as an event.
 */
export async function replyWithStream(
  { exchange, simulated, left }: ChatReplyContext,
  ask: (onCommit: (soFar: RequestSoFar) => void) => AnswerStream,
): Promise<void> {
  const { response, requestId } = exchange;
  const heartbeat = new Heartbeat(response);
  const stream = ask((soFar) => {
    if (response.headersSent || response.destroyed) return;
    response.writeHead(200, { ...answerHeaders(requestId, soFar, simulated), ...EVENT_STREAM_HEADERS });
    response.flushHeaders();
    heartbeat.start();
  });
  try {
    for await (const { id, model, delta, fallback } of stream) {
      heartbeat.hasWritten = true;
      const event = { id, model, delta, ...(fallback && { fallback }) };
      if (!response.write(eventOf(event))) await once(response, 'drain', { signal: left });
    }
  } finally {
    heartbeat.stop();
  }
  response.write(eventOf(chatAnswer(await stream.result)));
  response.end(DONE);
}

function chatAnswer(result: ChatResult) {
  const { completion, model, content, finishReason, usage, fallbackUsed, attempts, latencyMs } = result;
  return { id: completion.id, model, content, finishReason, usage: usage ?? null, fallbackUsed, attempts, latencyMs };
}

function eventOf(data: unknown): string {
  return `data: ${JSON.stringify(data)}\n\n`;
}
