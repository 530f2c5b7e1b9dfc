/**
 * The answers of `POST /chat`: one object, or a stream of the text as it comes, then that object, then `[DONE]`.
 */
import { once } from 'node:events';
import type { AnswerStream } from '../fallback/answer-stream.js';
import type { ChatResult } from '../fallback/call-options.js';
import { answerHeaders } from './call-headers.js';
import type { Exchange } from './exchange.js';
import { Heartbeat, HEARTBEAT_MS } from './heartbeat.js';
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
 * @param ask starts the stream; told while it waits for another model to go on with it.
 * @throws what the stream throws; where headers are out, the caller still gets it as an event.
 */
export async function replyWithStream(
  { exchange, simulated, left }: ChatReplyContext,
  ask: (onWaiting: (isWaiting: boolean) => void) => AnswerStream,
): Promise<void> {
  const { response, requestId } = exchange;
  const heartbeat = new Heartbeat(response);
  const stream = ask((isWaiting) => (isWaiting ? heartbeat.start(HEARTBEAT_MS) : heartbeat.stop()));
  const begin = (): void => {
    if (response.headersSent) return;
    response.writeHead(200, { ...answerHeaders(requestId, stream.soFar, simulated), ...EVENT_STREAM_HEADERS });
  };
  try {
    for await (const { id, model, delta, fallback } of stream) {
      begin();
      const event = { id, model, delta, ...(fallback && { fallback }) };
      if (!response.write(eventOf(event))) await once(response, 'drain', { signal: left });
    }
  } finally {
    heartbeat.stop();
  }
  const result = await stream.result;
  begin();
  response.write(eventOf(chatAnswer(result)));
  response.end(DONE);
}

function chatAnswer(result: ChatResult) {
  const { completion, model, content, finishReason, usage, fallbackUsed, attempts, latencyMs } = result;
  return { id: completion.id, model, content, finishReason, usage: usage ?? null, fallbackUsed, attempts, latencyMs };
}

function eventOf(data: unknown): string {
  return `data: ${JSON.stringify(data)}\n\n`;
}
