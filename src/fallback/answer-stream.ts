/**
 * A streamed answer in a host's own code: a hand-made iterator over the text as it comes, so that leaving the loop
 * aborts the upstream at once (an async generator would wait for a silent model first).
 */
import type OpenAI from 'openai';
import { Observable } from 'rxjs';
import type { RequestResult, RequestSink, RequestSoFar, RunningRequest } from '../chain/chain-request.js';
import { errorOf } from '../chain/errors.js';
import type { FailureClass } from '../policy/failure.js';
import { readSseEvent, SseScanner } from '../stream/sse-scanner.js';
import { AnswerAssembly } from './answer-assembly.js';
import type { ChatResult } from './call-options.js';

/** `model`: the name of the model that wrote it. */
export interface ChatChunk {
  readonly id: string;
  readonly model: string;
  readonly delta: string;
  readonly fallback?: { readonly from: string; readonly to: string; readonly reason: FailureClass };
}

/**
 * Not a promise: nothing to await but the loop. Asks at once, and is held back while nobody reads.
 * Its iterator's `return()` aborts the upstream at once, also while a model is silent; `result` then rejects with the
 * abort's reason (never as an unhandled rejection), and awaited without a loop it reads to the end by itself.
 */
export interface ChatStream extends AsyncIterable<ChatChunk> {
  readonly result: Promise<ChatResult>;
  text(): AsyncIterable<string>;
  asObservable(): Observable<ChatChunk>;
  abort(): void;
}

/** While more chunks than this wait for a reader, the upstream is held back; below the other, it goes on. */
const HOLD_ABOVE_CHUNKS = 64;
const GO_ON_BELOW_CHUNKS = 16;

export interface AnswerStreamSource {
  readonly chainName: string;
  readonly signal?: AbortSignal;
  /** What comes before the asking. @returns what asks. */
  readonly prepare: () => Promise<(sink: RequestSink) => RunningRequest>;
  /** The first token is there; it may be a thought, which no chunk tells. */
  readonly onCommit?: (soFar: RequestSoFar) => void;
  /** Before `result` resolves. */
  readonly onAnswered: (message: OpenAI.ChatCompletionMessage) => Promise<void>;
}

type Waiting = {
  readonly resolve: (step: IteratorResult<ChatChunk>) => void;
  readonly reject: (error: unknown) => void;
};
type Ending = { readonly type: 'ended' } | { readonly type: 'failed'; readonly error: unknown };

export class AnswerStream implements ChatStream, RequestSink {
  readonly #source: AnswerStreamSource;
  readonly #scanner = new SseScanner();
  readonly #assembly = new AnswerAssembly();
  readonly #queue: ChatChunk[] = [];
  readonly #waiting: Waiting[] = [];
  readonly #result = Promise.withResolvers<ChatResult>();
  readonly #onSignal = () => this.#abort(this.#source.signal?.reason);
  #running: RunningRequest | undefined;
  /** Whose text it is now. */
  #writer = '';
  /** What a chunk without text told of who goes on; the next one with text tells it. */
  #untold: ChatChunk['fallback'];
  #ending: Ending | undefined;
  #isHeldBack = false;
  #isLooped = false;
  #isResultWanted = false;

  constructor(source: AnswerStreamSource) {
    this.#source = source;
    this.#result.promise.catch(() => {});
    const { signal } = source;
    if (signal?.aborted) {
      this.#fail(signal.reason);
      return;
    }
    signal?.addEventListener('abort', this.#onSignal, { once: true });
    void this.#start();
  }

  get result(): Promise<ChatResult> {
    this.#isResultWanted = true;
    this.#adjustFlow();
    return this.#result.promise;
  }

  [Symbol.asyncIterator](): AsyncIterator<ChatChunk, undefined> {
    this.#isLooped = true;
    return {
      next: () => this.#next(),
      return: async () => {
        this.abort();
        return { done: true, value: undefined };
      },
    };
  }

  text(): AsyncIterable<string> {
    return {
      [Symbol.asyncIterator]: () => {
        const chunks = this[Symbol.asyncIterator]();
        return {
          next: async (): Promise<IteratorResult<string, undefined>> => {
            const step = await chunks.next();
            return step.done ? { done: true, value: undefined } : { done: false, value: step.value.delta };
          },
          return: async () => {
            this.abort();
            return { done: true, value: undefined };
          },
        };
      },
    };
  }

  asObservable(): Observable<ChatChunk> {
    return new Observable((subscriber) => {
      const chunks = this[Symbol.asyncIterator]();
      const pump = async () => {
        for (let step = await chunks.next(); !step.done && !subscriber.closed; step = await chunks.next()) {
          subscriber.next(step.value);
        }
        subscriber.complete();
      };
      pump().catch((error: unknown) => subscriber.error(error));
      return () => this.abort();
    });
  }

  abort(): void {
    this.#abort(new DOMException('The stream was aborted by its reader.', 'AbortError'));
  }

  onCommit(soFar: RequestSoFar): void {
    this.#writer = soFar.model ?? '';
    this.#source.onCommit?.(soFar);
  }

  onResume(soFar: RequestSoFar): void {
    this.#writer = soFar.model ?? '';
  }

  onBytes(bytes: Uint8Array): void {
    for (let at = this.#scanner.next(bytes, 0); at >= 0; at = this.#scanner.next(bytes, at)) {
      const { data } = readSseEvent(this.#scanner.bytes, this.#scanner.start, this.#scanner.end);
      if (data !== null) this.#take(JSON.parse(data) as OpenAI.ChatCompletionChunk);
      if (at >= bytes.length) break;
    }
    this.#adjustFlow();
  }

  onFinish(result: RequestResult): void {
    const error = errorOf(result, this.#source.chainName);
    if (error) this.#fail(error);
    else if (result.verdict.type === 'answered') void this.#complete(result);
  }

  async #start(): Promise<void> {
    try {
      const ask = await this.#source.prepare();
      if (this.#ending) return;
      this.#running = ask(this);
      this.#adjustFlow();
    } catch (error) {
      this.#fail(error);
    }
  }

  async #complete(result: RequestResult): Promise<void> {
    const completion = this.#assembly.completion();
    const choice = completion.choices[0];
    if (choice) await this.#source.onAnswered(choice.message);
    this.#end({ type: 'ended' });
    this.#result.resolve({
      content: choice?.message.content ?? null,
      finishReason: choice?.finish_reason ?? 'stop',
      ...(completion.usage && { usage: completion.usage }),
      completion,
      model: result.model ?? this.#writer,
      fallbackUsed: result.fallbackUsed,
      attempts: result.attempts,
      latencyMs: Math.round(result.latencyMs),
    });
  }

  #take(chunk: OpenAI.ChatCompletionChunk): void {
    this.#assembly.add(chunk);
    this.#untold = (chunk as Pick<ChatChunk, 'fallback'>).fallback ?? this.#untold;
    const delta = chunk.choices?.[0]?.delta?.content;
    if (!delta) return;
    const fallback = this.#untold;
    this.#untold = undefined;
    const value: ChatChunk = { id: chunk.id, model: this.#writer, delta, ...(fallback && { fallback }) };
    const reader = this.#waiting.shift();
    if (reader) reader.resolve({ done: false, value });
    else this.#queue.push(value);
  }

  #next(): Promise<IteratorResult<ChatChunk, undefined>> {
    const value = this.#queue.shift();
    if (value) {
      this.#adjustFlow();
      return Promise.resolve({ done: false, value });
    }
    const ending = this.#ending;
    if (ending?.type === 'failed') {
      // Told once; a loop that asks again is at its end.
      this.#ending = { type: 'ended' };
      return Promise.reject(ending.error);
    }
    if (ending) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  /** Nobody reads: hold back. Unless the result alone is wanted, which holds the whole answer anyway. */
  #adjustFlow(): void {
    const runsFree = this.#isResultWanted && !this.#isLooped;
    const limit = this.#isHeldBack ? GO_ON_BELOW_CHUNKS : HOLD_ABOVE_CHUNKS;
    const hold = !runsFree && this.#queue.length > limit;
    if (hold === this.#isHeldBack || !this.#running) return;
    this.#isHeldBack = hold;
    if (hold) this.#running.pause();
    else this.#running.resume();
  }

  #abort(reason: unknown): void {
    if (this.#ending) return;
    this.#queue.length = 0;
    this.#fail(reason);
    this.#running?.cancel();
  }

  #fail(error: unknown): void {
    if (this.#ending) return;
    this.#result.reject(error);
    this.#end({ type: 'failed', error });
  }

  #end(ending: Ending): void {
    this.#source.signal?.removeEventListener('abort', this.#onSignal);
    this.#ending = ending;
    const first = this.#waiting.shift();
    if (first && ending.type === 'failed') {
      this.#ending = { type: 'ended' };
      first.reject(ending.error);
    } else first?.resolve({ done: true, value: undefined });
    for (const reader of this.#waiting.splice(0)) reader.resolve({ done: true, value: undefined });
  }
}
