/**
 * Plays one fault of a simulated model on the wire: the bytes, the silence or the cut that a client would meet.
 *
 * Decides nothing: which model is broken, and how, is `simulated-models.ts`'s to say.
 */
import type { ServerResponse } from 'node:http';
import type { ChatRequest } from './chat-request.js';
import { untilGone, waitFor, writeJson } from './loopback-server.js';
import { chunksOf, completionOf, errorBodyOf, sseEvent, SSE_DONE, SSE_HEADERS } from './openai-wire.js';
import type { WireAnswer, WireChunk, WireToolCall } from './openai-wire.js';
import { sendChunks, totalMs } from './send-stream.js';
import type { Tempo } from './send-stream.js';
import { DEFAULT_AFTER_CHARS, ERROR_RESPONSES } from './simulated-fault.js';
import type { SimulatedFault } from './simulated-fault.js';

export interface FaultStage {
  readonly response: ServerResponse;
  readonly request: ChatRequest;
  /** What the healthy model would have said. */
  readonly answer: WireAnswer;
  readonly tempo: Tempo;
}

const BROKEN_ANSWER = {
  message: '[simulated] The engine stopped.',
  type: 'server_error',
  code: null,
  param: null,
} as const;
const HTML = '<html><head><title>simulated login page</title></head><body>Please log in to the network.</body></html>';

/** @returns whether the fault was played; false: it cannot show in this request, which the model then answers as usual. */
export async function playFault(fault: SimulatedFault, stage: FaultStage): Promise<boolean> {
  const { response, request, answer } = stage;
  const httpError = ERROR_RESPONSES[fault.kind];
  if (httpError !== undefined) {
    const retryAfter = fault.retryAfterS === undefined ? {} : { 'retry-after': String(fault.retryAfterS) };
    writeJson(response, httpError.status, errorBodyOf(httpError), retryAfter);
    return true;
  }
  switch (fault.kind) {
    case 'network':
      response.socket?.resetAndDestroy();
      return true;
    case 'timeout':
      await untilGone(response);
      return true;
    case 'timeout_after_headers':
      openBody(stage);
      await untilGone(response);
      return true;
    case 'bad_response':
      response.writeHead(200, { 'content-type': 'text/html' }).end(HTML);
      return true;
    case 'truncated_json': {
      const whole = JSON.stringify(completionOf(answer));
      response.writeHead(200, { 'content-type': 'application/json' }).end(whole.slice(0, whole.length / 2));
      return true;
    }
    case 'error_in_200':
      if (request.stream) response.writeHead(200, SSE_HEADERS).end(sseEvent(errorBodyOf(BROKEN_ANSWER)));
      else writeJson(response, 200, errorBodyOf(BROKEN_ANSWER));
      return true;
    case 'empty_answer':
      await sendWhole(stage, emptied(answer));
      return true;
    case 'invalid_output':
      if (request.output.type !== 'json' || request.stream) return false;
      await sendWhole(stage, {
        ...answer,
        choices: [{ pieces: ['Sure! Here is the JSON: {"a":'], finishReason: 'stop' }],
      });
      return true;
    default:
      await (request.stream ? breakStream(fault, stage) : breakBody(fault, stage));
      return true;
  }
}

/** An answer that stops in the middle of its stream, and what comes instead of the rest. */
async function breakStream(fault: SimulatedFault, { response, answer, tempo }: FaultStage): Promise<void> {
  const begun = upToChars(answer, fault.afterChars ?? DEFAULT_AFTER_CHARS);
  if (!(await sendChunks(begun, response, tempo))) return;
  switch (fault.kind) {
    case 'stream_error':
      response.end(sseEvent(errorBodyOf(BROKEN_ANSWER)));
      return;
    case 'malformed_event':
      response.end(`data: {"id":"${answer.id}","choices":[{"ind\n\n${SSE_DONE}`);
      return;
    case 'timeout_idle':
      await untilGone(response);
      return;
    default:
      // destroySoon: what was written arrives, then the connection ends inside the chunked body.
      response.socket?.destroySoon();
  }
}

/** The same faults for a request without a stream: the body itself breaks. */
async function breakBody(fault: SimulatedFault, stage: FaultStage): Promise<void> {
  const { response, answer } = stage;
  const whole = JSON.stringify(completionOf(answer));
  const half = whole.slice(0, whole.length / 2);
  switch (fault.kind) {
    case 'stream_error':
      writeJson(response, 200, errorBodyOf(BROKEN_ANSWER));
      return;
    case 'malformed_event':
      response.writeHead(200, { 'content-type': 'application/json' }).end(half);
      return;
    default:
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(whole) });
      response.write(half);
      if (fault.kind === 'timeout_idle') await untilGone(response);
      else response.socket?.destroySoon();
  }
}

/** Counts the characters of the text, then those of what tools are called with. */
function* upToChars(answer: WireAnswer, limit: number): Generator<WireChunk> {
  const [first] = answer.choices;
  if (first === undefined) return;
  const cut = new CharCut(limit);
  const pieces = first.pieces.map((piece) => cut.take(piece)).filter((piece) => piece !== '');
  const toolCalls: WireToolCall[] = [];
  for (const call of first.toolCalls ?? []) {
    if (cut.isOver) break;
    toolCalls.push({ ...call, arguments: cut.take(call.arguments) });
  }
  const choices = [{ ...first, pieces, toolCalls }];
  for (const chunk of chunksOf({ ...answer, choices }, { includeUsage: false })) {
    if (chunk.kind !== 'finish') yield chunk;
  }
}

class CharCut {
  #left: number;

  constructor(limit: number) {
    this.#left = limit;
  }

  get isOver(): boolean {
    return this.#left <= 0;
  }

  take(text: string): string {
    // By code points: half an emoji would be a fault of another kind.
    const characters = Array.from(text).slice(0, Math.max(0, this.#left));
    this.#left -= characters.length;
    return characters.join('');
  }
}

function emptied(answer: WireAnswer): WireAnswer {
  return { ...answer, outputTokens: 0, choices: answer.choices.map(() => ({ pieces: [], finishReason: 'stop' })) };
}

async function sendWhole({ response, request, tempo }: FaultStage, answer: WireAnswer): Promise<void> {
  if (request.stream) {
    if (await sendChunks(chunksOf(answer, request), response, tempo)) response.end(SSE_DONE);
  } else if (await waitFor(response, totalMs(tempo, answer.outputTokens))) {
    writeJson(response, 200, completionOf(answer));
  }
}

function openBody({ response, request }: FaultStage): void {
  response.writeHead(200, request.stream ? SSE_HEADERS : { 'content-type': 'application/json' });
  response.flushHeaders();
}
