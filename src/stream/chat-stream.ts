/**
 * Reads one attempt's chat stream: bytes in; out come whole ordinary events as they came, the first token, and how it ended.
 *
 * What it guards: nothing reaches the caller before the first token, and never `[DONE]`, an error, half an event, or
 * anything that follows a malformed one. An ordinary chunk is compared with the one before it and passed on
 * (`chunk-template.ts`); only what differs is parsed. No I/O and no clock: who feeds it watches the time.
 */
import { isJsonObject, readChatChunk, readUsage } from './chat-chunk.js';
import type { ChunkReading, JsonObject, ReportedUsage } from './chat-chunk.js';
import { ChoiceStates } from './choice-states.js';
import type { SpokenSoFar } from './choice-states.js';
import { encodeEvent, finishEvent, identityOf } from './chunk-repair.js';
import type { StreamIdentity } from './chunk-repair.js';
import { TemplateReader } from './chunk-template.js';
import { readSseEvent, SseScanner, TOO_LARGE } from './sse-scanner.js';

/** Most that is held back before the first token: role chunks and filter results have a few hundred bytes each. */
export const MAX_HELD_BYTES = 1024 * 1024;

export type ChatStreamEnd =
  /** `finishReason`: of the first choice, as the caller saw it. */
  | { readonly type: 'whole'; readonly finishReason: string | null }
  /** It ended, but held no text, no call and no refusal, and no limit or filter explains that. */
  | { readonly type: 'empty' }
  /** Filtered before any text, and `failWhenFiltered` was asked for. */
  | { readonly type: 'filtered' }
  /** The upstream said so; `payload` is the event's JSON, or its text where it is none. */
  | { readonly type: 'error'; readonly payload: unknown }
  | { readonly type: 'malformed'; readonly why: string }
  /** The body ended with neither a finish nor `[DONE]`. */
  | { readonly type: 'cut' };

/** Called synchronously: one `onFirstToken`, then `onBytes`, at most one `onFinish` among them, one `onEnd`, last. */
export interface ChatStreamListener {
  onFirstToken(): void;
  /** Whole events; the very piece that came where it holds nothing else. */
  onBytes(bytes: Uint8Array): void;
  /** Every choice has finished: from here on only usage and `[DONE]` are of use. */
  onFinish(): void;
  onEnd(end: ChatStreamEnd): void;
}

export interface ChatStreamOptions {
  /** Whether an event's JSON is an error. `event: error` and a finish reason `error` always are. */
  readonly isError: (payload: unknown) => boolean;
  /** How many choices were asked for (`n`); 1 where nothing is said. */
  readonly choices?: number;
  readonly failWhenFiltered?: boolean;
  /** A usage chunk (no choices) is read, but not passed on: the caller did not ask for it. */
  readonly withholdUsage?: boolean;
}

export class ChatStreamReader {
  readonly #listener: ChatStreamListener;
  readonly #options: ChatStreamOptions;
  readonly #scanner = new SseScanner();
  readonly #templates = new TemplateReader();
  readonly #choices: ChoiceStates;
  #phase: 'silent' | 'speaking' | 'finished' | 'ended' = 'silent';
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  #usage: ReportedUsage | null = null;
  #identity: StreamIdentity | null = null;
  #progressed = false;
  /** What of the bytes at hand goes on, as one range, until something in them does not. */
  #run: Uint8Array | null = null;
  #runStart = 0;
  #runEnd = 0;

  constructor(listener: ChatStreamListener, options: ChatStreamOptions) {
    this.#listener = listener;
    this.#options = options;
    this.#choices = new ChoiceStates(options.choices ?? 1);
  }

  /** What has come so far, and so what the caller may have seen once the first token was told. */
  get spoken(): SpokenSoFar {
    return this.#choices.spoken;
  }

  /** The usage reported last; null: none was. */
  get usage(): ReportedUsage | null {
    return this.#usage;
  }

  /** Bytes of text, reasoning and calls so far, to estimate from where no usage is reported. */
  get tokenBytes(): number {
    return this.#choices.tokenBytes;
  }

  /** @returns whether the piece brought a token or a finish: comments and empty deltas are silence. */
  push(piece: Uint8Array): boolean {
    this.#progressed = false;
    const view = new DataView(piece.buffer, piece.byteOffset, piece.byteLength);
    let at = 0;
    while (at < piece.length && this.#phase !== 'ended') {
      const end = this.#scanner.atBoundary ? this.#templates.match(view, at) : -1;
      if (end > 0) {
        this.#passOrdinary(piece, at, end);
        at = end;
        continue;
      }
      at = this.#scanner.next(piece, at);
      if (at === TOO_LARGE) this.#conclude({ type: 'malformed', why: 'an event is too large' });
      if (at < 0) break;
      this.#takeEvent();
    }
    this.#flushRun();
    return this.#progressed;
  }

  /** The body has ended, cleanly or not; or nothing more is awaited after the finish. */
  end(): void {
    // A last event that lacks only its blank line counts; half an event does not.
    if (this.#phase !== 'ended' && this.#scanner.flush() && this.#isWholeEvent()) this.#takeEvent();
    if (this.#phase === 'ended') return;
    if (this.#phase !== 'finished' && this.#choices.allSeenFinished) this.#finish();
    this.#conclude(this.#phase === 'finished' ? this.#whole() : { type: 'cut' });
  }

  /** Nothing more is told, whatever comes. */
  stop(): void {
    this.#phase = 'ended';
    this.#run = null;
    this.#held = [];
  }

  #takeEvent(): void {
    const { bytes, start, end } = this.#scanner;
    // One that straddled two pieces lies in a buffer of its own, and is as ordinary as others.
    if (start === 0 && this.#templates.match(new DataView(bytes.buffer, bytes.byteOffset, end), 0) === end) {
      this.#passOrdinary(bytes, start, end);
      return;
    }
    const { name, data, stray } = readSseEvent(bytes, start, end);
    if (name === 'error') this.#takeError(data);
    else if (stray !== null) this.#takeStray(stray);
    else if (data === null) this.#passComment(bytes, start, end);
    else if (data === '') return; // Official clients would try to read it as JSON.
    else if (data.trim() === '[DONE]') this.#takeDone();
    else this.#takeJson(parseJson(data), bytes, start, end);
  }

  #takeError(data: string | null): void {
    if (this.#phase === 'finished') return;
    const payload = data === null ? undefined : parseJson(data);
    this.#conclude({ type: 'error', payload: payload ?? data });
  }

  /** The format says that unknown lines are ignored; from a model they are text that lost its frame, or an error. */
  #takeStray(line: string): void {
    if (this.#phase === 'finished') return;
    const payload = parseJson(line);
    const isError = payload !== undefined && this.#options.isError(payload);
    this.#conclude(isError ? { type: 'error', payload } : { type: 'malformed', why: 'a line is no event field' });
  }

  #passComment(bytes: Uint8Array, start: number, end: number): void {
    if (this.#phase === 'speaking') this.#pass(bytes, start, end);
  }

  #takeDone(): void {
    if (this.#phase !== 'finished') {
      const missing = this.#choices.finishRest();
      if (!this.#open()) return;
      if (missing.size > 0) {
        const event = finishEvent(this.#identity, missing);
        this.#pass(event, 0, event.length);
      }
    }
    this.#conclude(this.#whole());
  }

  #takeJson(payload: unknown, bytes: Uint8Array, start: number, end: number): void {
    if (this.#phase === 'finished') {
      this.#takeTrailer(payload, bytes, start, end);
      return;
    }
    if (payload === undefined) {
      this.#conclude({ type: 'malformed', why: 'an event is no JSON' });
      return;
    }
    if (this.#options.isError(payload)) {
      this.#conclude({ type: 'error', payload });
      return;
    }
    const reading = readChatChunk(payload);
    if (!reading.ok || !isJsonObject(payload)) {
      this.#conclude({ type: 'malformed', why: reading.ok ? 'an event is no object' : reading.why });
    } else if (reading.choices.some(({ finishReason }) => finishReason === 'error')) {
      this.#conclude({ type: 'error', payload });
    } else this.#takeChunk(payload, reading, bytes, start, end);
  }

  #takeChunk(
    payload: JsonObject,
    reading: ChunkReading & { ok: true },
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    this.#usage = reading.usage ?? this.#usage;
    this.#identity = identityOf(payload) ?? this.#identity;
    if (reading.choices.length === 0 && this.#isWithheld(payload)) return;
    const { hasToken, changed, stale } = this.#choices.take(payload, reading.choices);
    if (stale) return;
    const finishes = this.#choices.allFinished;
    this.#progressed ||= hasToken || reading.choices.some(({ finishReason }) => finishReason !== null);
    if (!hasToken && !finishes && this.#phase === 'silent') {
      this.#hold(changed ? encodeEvent(payload) : bytes.subarray(start, end));
      return;
    }
    if (finishes ? !this.#open() : !this.#speak()) return;
    if (changed) {
      const event = encodeEvent(payload);
      this.#pass(event, 0, event.length);
    } else {
      this.#pass(bytes, start, end);
      this.#templates.learn(bytes, start, end, payload, reading);
    }
    if (finishes) this.#finish();
  }

  /** After the finish: usage goes on, whatever else stands beside it does not. */
  #takeTrailer(payload: unknown, bytes: Uint8Array, start: number, end: number): void {
    if (!isJsonObject(payload)) return;
    const usage = readUsage(payload['usage']);
    if (usage === null) return;
    this.#usage = usage;
    if (this.#options.withholdUsage) return;
    if (Array.isArray(payload['choices']) && payload['choices'].length === 0) this.#pass(bytes, start, end);
    else {
      const event = encodeEvent({ ...payload, choices: [] });
      this.#pass(event, 0, event.length);
    }
  }

  #isWithheld(payload: JsonObject): boolean {
    return this.#options.withholdUsage === true && isJsonObject(payload['usage']);
  }

  #isWholeEvent(): boolean {
    const { bytes, start, end } = this.#scanner;
    const { data } = readSseEvent(bytes, start, end);
    return data !== null && (data.trim() === '[DONE]' || parseJson(data) !== undefined);
  }

  #passOrdinary(bytes: Uint8Array, start: number, end: number): void {
    const { contentBytes, reasoningBytes } = this.#templates;
    if (contentBytes + reasoningBytes > 0) {
      this.#progressed = true;
      this.#choices.noteText(contentBytes, reasoningBytes);
    }
    this.#pass(bytes, start, end);
  }

  /** @returns whether the answer may go out: one without an answer in it is an end of its own kind. */
  #open(): boolean {
    if (!this.#choices.hasAnswered) {
      const reasons = this.#choices.finishReasons;
      const isFiltered = reasons.includes('content_filter');
      if (isFiltered && this.#options.failWhenFiltered) this.#conclude({ type: 'filtered' });
      else if (!isFiltered && !reasons.includes('length')) this.#conclude({ type: 'empty' });
    }
    return this.#phase !== 'ended' && this.#speak();
  }

  /** The first token is there: what was held goes out before it. @returns false where the listener wants no more. */
  #speak(): boolean {
    if (this.#phase !== 'silent') return true;
    this.#phase = 'speaking';
    this.#listener.onFirstToken();
    const held = this.#held;
    this.#held = [];
    if (held.length > 0 && this.#isOpen())
      this.#listener.onBytes(held.length === 1 && held[0] ? held[0] : Buffer.concat(held));
    return this.#isOpen();
  }

  #finish(): void {
    this.#flushRun();
    if (!this.#isOpen() || !this.#open()) return;
    this.#phase = 'finished';
    this.#templates.forget();
    this.#listener.onFinish();
  }

  #hold(bytes: Uint8Array): void {
    this.#held.push(bytes);
    this.#heldBytes += bytes.length;
    if (this.#heldBytes > MAX_HELD_BYTES) {
      this.#conclude({ type: 'malformed', why: 'too much came before the first token' });
    }
  }

  #pass(bytes: Uint8Array, start: number, end: number): void {
    if (this.#run === bytes && this.#runEnd === start) {
      this.#runEnd = end;
      return;
    }
    this.#flushRun();
    if (!this.#isOpen()) return;
    this.#run = bytes;
    this.#runStart = start;
    this.#runEnd = end;
  }

  #flushRun(): void {
    const run = this.#run;
    if (run === null) return;
    this.#run = null;
    const isAll = this.#runStart === 0 && this.#runEnd === run.length;
    this.#listener.onBytes(isAll ? run : run.subarray(this.#runStart, this.#runEnd));
  }

  #conclude(end: ChatStreamEnd): void {
    this.#flushRun();
    if (!this.#isOpen()) return;
    this.stop();
    this.#listener.onEnd(end);
  }

  #whole(): ChatStreamEnd {
    return { type: 'whole', finishReason: this.#choices.finishReason };
  }

  /** A listener may have stopped us in between. */
  #isOpen(): boolean {
    return this.#phase !== 'ended';
  }
}

/** @returns undefined where it is no JSON. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
