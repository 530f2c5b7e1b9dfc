/**
 * One attempt on one model over HTTP: the exchange, its limits, and what comes of its bytes, until it ends, exactly once.
 *
 * A response is read in one of three ways: as an error, as a whole answer, as a stream. Where a stream was asked for, its first
 * byte decides, since some answer with one JSON body all the same. Knows nothing of other attempts.
 */
import assert from 'node:assert/strict';
import type { IncomingHttpHeaders } from 'node:http';
import type { Failure, FailureClass } from '../policy/failure.js';
import { isJsonObject } from '../stream/chat-chunk.js';
import type { JsonObject } from '../stream/chat-chunk.js';
import { ChatStreamReader } from '../stream/chat-stream.js';
import type { ChatStreamEnd, ChatStreamListener } from '../stream/chat-stream.js';
import { meaningOfFinish } from '../stream/finish-reason.js';
import { answerAsStream, writtenUsage } from '../stream/chunk-repair.js';
import { checkAnswer, estimateTokens } from './answer.js';
import { LimitWatch, saysOfLimit } from './attempt-limits.js';
import type { PassedLimit } from './attempt-limits.js';
import {
  classifyErrorPayload,
  classifyResponse,
  classifyWireError,
  isErrorPayload,
  ownFailure,
  streamErrorFailure,
} from './classify.js';
import type { ConnectionPool } from './connection-pool.js';
import { withoutKey } from './failure-of.js';
import { kindOfBody } from './first-byte.js';
import { HttpExchange } from './http-exchange.js';
import type { ExchangeFault, ExchangeListener } from './http-exchange.js';
import { flattenHeaders, ReceivedBody } from './received-body.js';
import { readUsedUpMs } from './retry-after.js';
import type { Route } from './provider.js';
import type {
  AttemptEnd,
  AttemptHandler,
  AttemptLimits,
  RunningAttempt,
  TokenUsage,
  UpstreamClock,
  UpstreamRequest,
} from './upstream.js';

/** Most that is read of an answer; more is no chat answer. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
/** Most that is read of an error. */
const MAX_ERROR_BYTES = 64 * 1024;

const NO_USAGE: TokenUsage = { inputTokens: 0, outputTokens: 0, reported: false };

export interface AttemptSetup {
  readonly pool: ConnectionPool;
  readonly route: Route;
  readonly request: UpstreamRequest;
  readonly limits: AttemptLimits;
  readonly handler: AttemptHandler;
  readonly clock: UpstreamClock;
}

export class ChatAttempt implements RunningAttempt, ExchangeListener, ChatStreamListener {
  readonly #request: UpstreamRequest;
  readonly #limits: AttemptLimits;
  readonly #handler: AttemptHandler;
  readonly #clock: UpstreamClock;
  readonly #exchange: HttpExchange;
  readonly #watch: LimitWatch;
  readonly #reader: ChatStreamReader;
  #reading: 'head' | 'error' | 'answer' | 'undecided' | 'stream' | 'trailer' | 'over' = 'head';
  #isStarting = true;
  #isCancelled = false;
  #hasSpoken = false;
  #status = 0;
  #headers: IncomingHttpHeaders = {};
  #body = new ReceivedBody(MAX_ANSWER_BYTES);
  #wireError: unknown;

  constructor({ pool, route, request, limits, handler, clock }: AttemptSetup) {
    this.#request = request;
    this.#limits = limits;
    this.#handler = handler;
    this.#clock = clock;
    this.#reader = new ChatStreamReader(this, {
      isError: isErrorPayload,
      choices: request.choices ?? 1,
      failWhenFiltered: request.onContentFilter === 'next',
      withholdUsage: request.withholdUsage ?? false,
      mayBeEmpty: request.mayBeEmpty ?? false,
      toolCalls: request.toolCalls ?? 'hold',
      ...(request.wantsUsage && { countUsage: () => this.#streamUsage(true) }),
    });
    this.#watch = new LimitWatch(limits, request.streaming, clock, (limit) => this.#onLimit(limit));
    const headers = [...route.headers, 'x-request-id', request.requestId];
    const sent = { origin: route.origin, path: route.path, method: 'POST', headers, body: request.body } as const;
    this.#exchange = new HttpExchange(pool, sent, this, clock);
  }

  start(): this {
    this.#exchange.start();
    this.#isStarting = false;
    return this;
  }

  cancel(): void {
    this.#isCancelled = true;
    if (this.#reading === 'over') return;
    this.#stop();
    this.#exchange.abort();
  }

  pause(): void {
    if (this.#reading === 'over') return;
    this.#watch.pause();
    this.#exchange.pause();
  }

  resume(): void {
    if (this.#reading === 'over') return;
    this.#watch.resume();
    this.#exchange.resume();
  }

  spent(): TokenUsage {
    return this.#hasSpoken ? this.#streamUsage(false) : NO_USAGE;
  }

  onHead(status: number, headers: IncomingHttpHeaders): void {
    this.#status = status;
    this.#headers = headers;
    if (status >= 200 && status < 300) this.#reading = this.#request.streaming ? 'undecided' : 'answer';
    else {
      this.#reading = 'error';
      this.#body = new ReceivedBody(MAX_ERROR_BYTES);
      this.#watch.noteError();
    }
  }

  onPiece(bytes: Uint8Array): void {
    if (this.#reading === 'undecided') this.#reading = kindOfBody(bytes, this.#isEventStream());
    switch (this.#reading) {
      case 'stream':
      case 'trailer':
        // A listener that was called in between may have ended the attempt, or the stream may have finished.
        if (this.#reader.push(bytes) && this.#isReadingStream()) this.#watch.noteToken();
        break;
      case 'answer':
        if (!this.#body.add(bytes)) this.#failOwn('bad_response', `an answer of more than ${MAX_ANSWER_BYTES} bytes`);
        break;
      case 'error':
        if (!this.#body.add(bytes)) this.#failWithResponse();
        break;
      case 'head':
      case 'undecided':
      case 'over':
    }
  }

  onBodyEnd(): void {
    switch (this.#reading) {
      case 'stream':
      case 'trailer':
        this.#reader.end();
        break;
      case 'undecided':
        // Nothing but blanks came. Where an event stream was announced, it was cut before its first event.
        if (this.#isEventStream()) this.#reader.end();
        else this.#finishAnswer();
        break;
      case 'answer':
        this.#finishAnswer();
        break;
      case 'error':
        this.#failWithResponse();
        break;
      case 'head':
      case 'over':
    }
  }

  onError(error: unknown, cause: ExchangeFault): void {
    switch (this.#reading) {
      case 'head':
        if (cause === 'protocol') this.#failOwn('bad_response', 'what came is no HTTP');
        else this.#fail(classifyWireError(error, 'head'));
        break;
      case 'error':
        this.#failWithResponse();
        break;
      case 'answer':
        this.#fail(cause === 'coding' ? this.#undecodable() : classifyWireError(error, 'body'));
        break;
      case 'undecided':
      case 'stream':
        if (cause === 'coding') this.#fail(this.#undecodable());
        else {
          this.#wireError = error;
          this.#reader.end();
        }
        break;
      case 'trailer':
        this.#reader.end();
        break;
      case 'over':
    }
  }

  onFirstToken(held: boolean): void {
    this.#hasSpoken = true;
    this.#handler.onFirstToken(held);
  }

  onBytes(bytes: Uint8Array): void {
    this.#handler.onBytes(bytes);
  }

  onFinish(): void {
    this.#reading = 'trailer';
    this.#watch.noteFinish();
  }

  onEnd(end: ChatStreamEnd): void {
    switch (end.type) {
      case 'whole':
        this.#complete(end.finishReason, this.#streamUsage(true), this.#reader.streamId);
        break;
      case 'empty':
        this.#failOwn('empty_answer', 'the stream has no text, no tool call and no refusal');
        break;
      case 'filtered':
        this.#failOwn('content_filter', 'the answer was filtered before any text');
        break;
      case 'error':
        this.#fail(this.#hasSpoken ? this.#streamError(end.payload) : this.#errorInside(end.payload));
        break;
      case 'malformed':
        this.#failOwn('bad_response', `a malformed event: ${end.why}`);
        break;
      case 'cut':
        if (this.#wireError !== undefined) this.#fail(classifyWireError(this.#wireError, 'stream'));
        else this.#failOwn('stream_cut', 'the stream ended with neither a finish_reason nor [DONE]');
        break;
      default:
        end satisfies never;
    }
  }

  #onLimit(limit: PassedLimit): void {
    if (this.#reading === 'trailer') this.#reader.end();
    else if (this.#reading === 'error') this.#failWithResponse();
    else this.#failOwn(...saysOfLimit(limit, this.#limits, this.#request.streaming));
  }

  #finishAnswer(): void {
    const request = this.#request;
    const { bytes } = this.#body;
    const received = { status: this.#status, headers: flattenHeaders(this.#headers), bytes };
    const checked = checkAnswer(received, request, this.#clock.wallEpochMs());
    const usage = this.#withInput(checked.usage);
    if (!checked.ok) {
      this.#fail(checked.failure, checked.usage.outputTokens > 0 ? usage : checked.usage);
      return;
    }
    const { json, outcome, finishReason } = checked;
    if (!request.streaming) {
      const answer = { bytes, json };
      this.#end({ type: 'completed', outcome, status: this.#status, answer, finishReason, ...this.#usedUp(), usage });
      return;
    }
    this.onFirstToken(false);
    const counted = request.wantsUsage ? { usage: writtenUsage(usage) } : {};
    const answer: JsonObject = isJsonObject(json) ? { ...counted, ...json } : {};
    if (!this.#isCancelled) this.onBytes(answerAsStream(answer, !request.withholdUsage));
    if (!this.#isCancelled) this.#complete(finishReason, usage, answer['id']);
  }

  #complete(finishReason: string | null, usage: TokenUsage, streamId: unknown): void {
    const outcome = meaningOfFinish(finishReason) === 'content_filter' ? 'content_filter' : 'ok';
    const told = { ...streamIdOf(streamId), ...this.#usedUp() };
    this.#end({ type: 'completed', outcome, status: this.#status, finishReason, ...told, usage });
  }

  #usedUp(): { readonly usedUpForMs?: number } {
    const usedUpForMs = readUsedUpMs(this.#headers, this.#clock.wallEpochMs());
    return usedUpForMs === undefined ? {} : { usedUpForMs };
  }

  /** What is not 2xx, with as much of its body as has come. */
  #failWithResponse(): void {
    const { text } = this.#body;
    const response = { status: this.#status, headers: flattenHeaders(this.#headers), body: text };
    this.#fail(classifyResponse(response, this.#clock.wallEpochMs()));
  }

  #failOwn(failureClass: FailureClass, message: string): void {
    this.#fail(ownFailure(failureClass, message, this.#status || undefined));
  }

  #fail(failure: Failure, usage: TokenUsage = this.spent()): void {
    const { delivered } = this.#reader;
    const text = delivered === 'text' && { text: this.#reader.deliveredText };
    this.#end({
      type: 'failed',
      failure: withoutKey(failure, this.#request.target.provider.apiKey),
      delivered,
      ...text,
      ...streamIdOf(this.#reader.streamId),
      usage,
    });
  }

  #errorInside(payload: unknown): Failure {
    return classifyErrorPayload(payload, flattenHeaders(this.#headers), this.#clock.wallEpochMs());
  }

  #streamError(payload: unknown): Failure {
    return streamErrorFailure(payload, flattenHeaders(this.#headers), this.#clock.wallEpochMs());
  }

  #undecodable(): Failure {
    return ownFailure(
      'bad_response',
      'the body cannot be decoded: its content-encoding is unknown or broken',
      this.#status,
    );
  }

  /** Some report as they go: where the stream broke, or where they say nothing of a text that came, we count ourselves. */
  #streamUsage(isWhole: boolean): TokenUsage {
    const { usage, tokenBytes } = this.#reader;
    if (usage && isWhole && (usage.outputTokens > 0 || tokenBytes === 0)) return { ...usage, reported: true };
    const outputTokens = Math.max(estimateTokens(tokenBytes), usage?.outputTokens ?? 0);
    return this.#withInput({ inputTokens: usage?.inputTokens ?? 0, outputTokens, reported: false });
  }

  #withInput(usage: TokenUsage): TokenUsage {
    if (usage.reported || usage.inputTokens > 0) return usage;
    return { ...usage, inputTokens: estimateTokens(this.#request.body.byteLength) };
  }

  #isReadingStream(): boolean {
    return this.#reading === 'stream';
  }

  #isEventStream(): boolean {
    return this.#headers['content-type']?.toLowerCase().startsWith('text/event-stream') ?? false;
  }

  #end(end: AttemptEnd): void {
    assert(this.#reading !== 'over', 'an attempt ended twice');
    this.#stop();
    // A finished body is let run out, so that its connection can serve again; a failed one is cut.
    if (end.type === 'completed') this.#exchange.release();
    else this.#exchange.abort();
    if (!this.#isStarting) this.#handler.onEnd(end);
    else queueMicrotask(() => this.#isCancelled || this.#handler.onEnd(end));
  }

  #stop(): void {
    this.#reading = 'over';
    this.#watch.stop();
    this.#reader.stop();
  }
}

function streamIdOf(id: unknown): { readonly streamId?: string } {
  return typeof id === 'string' && id !== '' ? { streamId: id } : {};
}
