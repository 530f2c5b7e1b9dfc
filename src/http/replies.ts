/**
 * How an answer gets onto the caller's socket: whole, or as a stream that ends with exactly one of `[DONE]` or an error
 * event. Written straight into the raw response; a slow caller holds the upstream back.
 */
import type { RequestResult, RequestSink, RequestSoFar, RunningRequest } from '../chain/chain-request.js';
import { errorOf } from '../chain/errors.js';
import { traceText } from '../chain/trace-text.js';
import { answerHeaders } from './call-headers.js';
import type { Exchange } from './exchange.js';
import { Heartbeat } from './heartbeat.js';
import { errorBodyOf, retryHeadersOf, statusOf } from './http-error.js';

export interface ReplyContext {
  readonly exchange: Exchange;
  /** For messages: the chain that was asked for. */
  readonly chainName: string;
  readonly simulated: boolean;
}

export const EVENT_STREAM_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  // nginx would collect the tokens otherwise.
  'x-accel-buffering': 'no',
} as const;

/** Where tool calls are held for longer than this, the response begins without them. */
const HELD_LONG_MS = 10_000;

export const DONE = Buffer.from('data: [DONE]\n\n');

export function sendJson(
  exchange: Exchange,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  sendBytes(exchange, status, Buffer.from(JSON.stringify(body)), headers);
}

export function sendError(exchange: Exchange, error: unknown, headers?: Record<string, string>): void {
  if (exchange.response.headersSent) {
    endStream(exchange, error);
    return;
  }
  const known = headers ?? answerHeaders(exchange.requestId, undefined, false);
  sendJson(exchange, statusOf(error), errorBodyOf(error), { ...known, ...retryHeadersOf(error) });
}

/** The caller's leaving aborts every upstream call. Harmless once the request has ended. */
export function cancelWhenLeft(exchange: Exchange, running: { cancel(): void }): void {
  const { response } = exchange;
  if (response.destroyed) running.cancel();
  else response.once('close', () => running.cancel());
}

/** The answer as it came, in one piece. */
export class WholeReply implements RequestSink {
  readonly #context: ReplyContext;

  constructor(context: ReplyContext) {
    this.#context = context;
  }

  onCommit(): void {}
  onBytes(): void {}

  onFinish(result: RequestResult): void {
    const { exchange, simulated, chainName } = this.#context;
    if (result.verdict.type === 'cancelled') return;
    const headers = answerHeaders(exchange.requestId, result, simulated);
    const bytes = result.end?.answer?.bytes;
    if (bytes) sendBytes(exchange, 200, bytes, headers);
    else sendError(exchange, errorOf(result, chainName), headers);
  }
}

/**
 * The events as they came; headers go out with the first token, or once what is held (tool calls) has been held for long.
 * From then on, comments keep the connection alive while there is nothing to say.
 */
export class StreamedReply implements RequestSink {
  readonly #context: ReplyContext;
  readonly #heartbeat: Heartbeat;
  #running: RunningRequest | undefined;
  #isHeldBack = false;
  #heldTimer: NodeJS.Timeout | undefined;
  /** How many attempts the headers told of. */
  #toldAttempts = 0;
  #beganEarly = false;

  constructor(context: ReplyContext) {
    this.#context = context;
    this.#heartbeat = new Heartbeat(context.exchange.response);
  }

  /** Whom a slow caller holds back. */
  attach(running: RunningRequest): void {
    this.#running = running;
  }

  onHeld(): void {
    clearTimeout(this.#heldTimer);
    this.#heldTimer = setTimeout(() => {
      const soFar = this.#running?.soFar;
      // Whoever was held back may have failed since, and the next one be silent.
      if (soFar?.model === undefined) return;
      this.#beganEarly = true;
      this.#begin(soFar);
    }, HELD_LONG_MS);
  }

  onCommit(soFar: RequestSoFar): void {
    clearTimeout(this.#heldTimer);
    this.#begin(soFar);
    this.#context.exchange.response.on('drain', this.#onDrain);
  }

  onBytes(bytes: Uint8Array): void {
    this.#heartbeat.hasWritten = true;
    if (this.#context.exchange.response.write(bytes) || this.#isHeldBack) return;
    this.#isHeldBack = true;
    this.#running?.pause();
  }

  onFinish(result: RequestResult): void {
    clearTimeout(this.#heldTimer);
    this.#heartbeat.stop();
    const { exchange, simulated, chainName } = this.#context;
    if (result.verdict.type === 'cancelled') return;
    const error = errorOf(result, chainName);
    if (!error) this.#end(result);
    else if (exchange.response.headersSent) endStream(exchange, error);
    else sendError(exchange, error, answerHeaders(exchange.requestId, result, simulated));
  }

  #begin(soFar: RequestSoFar): void {
    const { exchange, simulated } = this.#context;
    if (exchange.response.headersSent || exchange.response.destroyed) return;
    this.#toldAttempts = soFar.attempts.length;
    const headers = answerHeaders(exchange.requestId, soFar, simulated);
    exchange.response.writeHead(200, { ...headers, ...EVENT_STREAM_HEADERS });
    this.#heartbeat.start();
    if (this.#beganEarly) this.#heartbeat.beat();
  }

  /** What the headers could not tell stands in a last chunk. */
  #end(result: RequestResult): void {
    const { response } = this.#context.exchange;
    if (this.#beganEarly || result.attempts.length > this.#toldAttempts) response.write(traceEvent(result));
    response.end(DONE);
  }

  readonly #onDrain = (): void => {
    if (!this.#isHeldBack) return;
    this.#isHeldBack = false;
    this.#running?.resume();
  };
}

/** A chunk as OpenAI's clients read it, without a choice, as the one for usage is. */
function traceEvent({ attempts, model, streamId }: RequestResult): string {
  const chunk = {
    id: streamId ?? '',
    object: 'chat.completion.chunk',
    created: Math.floor(Date.now() / 1_000),
    model: model ?? '',
    choices: [],
    fallback: { trace: traceText(attempts) },
  };
  return `data: ${JSON.stringify(chunk)}\n\n`;
}

function sendBytes(exchange: Exchange, status: number, bytes: Uint8Array, headers: Record<string, string>): void {
  const { response } = exchange;
  if (response.destroyed || response.headersSent) return;
  headers['content-type'] = 'application/json; charset=utf-8';
  headers['content-length'] = String(bytes.length);
  response.writeHead(status, headers);
  response.end(bytes);
}

function endStream(exchange: Exchange, error: unknown): void {
  if (!exchange.response.writableEnded) exchange.response.end(`data: ${JSON.stringify(errorBodyOf(error))}\n\n`);
}
