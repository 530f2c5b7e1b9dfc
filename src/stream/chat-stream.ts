/**
 * Reads one attempt's chat stream: bytes in; out come whole ordinary events as they came, the first token, and how it ended.
 *
 * What it guards: nothing reaches the caller before the first token, and never `[DONE]`, an error, half an event, or
 * anything that follows a malformed one; tool calls go out whole, once the answer has finished. An ordinary chunk is compared with the one before it and passed on
 * (`chunk-template.ts`); only what differs is parsed. No I/O and no clock: who feeds it watches the time.
 */
import type { Delivered } from '../policy/failure.js';
import { isJsonObject, readUsage } from './chat-chunk.js';
import type { ChunkReading, JsonObject, ReportedUsage } from './chat-chunk.js';
import { ChoiceStates } from './choice-states.js';
import type { ChunkEffect } from './choice-states.js';
import { encodeEvent, finishEvent, identityOf, usageEvent } from './chunk-repair.js';
import type { StreamIdentity } from './chunk-repair.js';
import { TemplateReader } from './chunk-template.js';
import { EventRun } from './event-run.js';
import { HeldCalls } from './held-calls.js';
import { SseScanner, TOO_LARGE } from './sse-scanner.js';
import { isWholeEvent, readStreamEvent } from './stream-event.js';
import { TextTrail } from './text-trail.js';

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

/**
 * Called synchronously: at most one `onFirstToken(true)`, one `onFirstToken(false)`, then `onBytes`, at most one `onFinish`
 * among them, one `onEnd`, last.
 */
export interface ChatStreamListener {
  /** @param held the model has spoken, but all of it is held back until the answer has finished. */
  onFirstToken(held: boolean): void;
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
  /** An end without any text is one, where it says how it finished: the model was asked to go on with a whole answer. */
  readonly mayBeEmpty?: boolean;
  /** A usage chunk (no choices) is read, but not passed on: the caller did not ask for it. */
  readonly withholdUsage?: boolean;
  /** `hold` (where nothing is said): tool calls go out once the answer has finished and all of them can be read. */
  readonly toolCalls?: 'hold' | 'pass';
  /** The caller asked for usage: where the upstream has told none by the end, a usage chunk of our own count goes out. */
  readonly countUsage?: () => ReportedUsage;
}

export class ChatStreamReader {
  readonly #listener: ChatStreamListener;
  readonly #options: ChatStreamOptions;
  readonly #scanner = new SseScanner();
  readonly #templates = new TemplateReader();
  readonly #calls: HeldCalls | null;
  readonly #choices: ChoiceStates;
  readonly #trail = new TextTrail();
  readonly #run: EventRun;
  #phase: 'silent' | 'speaking' | 'finished' | 'ended' = 'silent';
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  #hasToldOfCalls = false;
  #usage: ReportedUsage | null = null;
  #identity: StreamIdentity | null = null;
  #progressed = false;

  constructor(listener: ChatStreamListener, options: ChatStreamOptions) {
    this.#listener = listener;
    this.#options = options;
    this.#run = new EventRun((bytes) => this.#listener.onBytes(bytes));
    this.#calls = options.toolCalls === 'pass' ? null : new HeldCalls();
    this.#choices = new ChoiceStates(options.choices ?? 1, this.#calls);
  }

  /** What the caller may have seen. A text that is too long to be told cannot be gone on from. */
  get delivered(): Delivered {
    const { delivered } = this.#choices;
    return delivered === 'text' && !this.#trail.isComplete ? 'unresumable' : delivered;
  }

  /** The first choice's text, as far as it was delivered. */
  get deliveredText(): string {
    return this.#trail.text();
  }

  /** As the chunks name it; undefined while none has. */
  get streamId(): unknown {
    return this.#identity?.id;
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
    this.#run.flush();
    return this.#progressed;
  }

  /** The body has ended, cleanly or not; or nothing more is awaited after the finish. */
  end(): void {
    // A last event that lacks only its blank line counts; half an event does not.
    if (this.#phase !== 'ended' && this.#scanner.flush()) {
      const { bytes, start, end } = this.#scanner;
      if (isWholeEvent(bytes, start, end)) this.#takeEvent();
    }
    if (this.#phase === 'ended') return;
    if (this.#phase !== 'finished' && this.#choices.allSeenFinished) this.#finish();
    if (this.#isFinished()) this.#complete();
    else this.#conclude({ type: 'cut' });
  }

  /** Nothing more is told, whatever comes. */
  stop(): void {
    this.#phase = 'ended';
    this.#run.drop();
    this.#held = [];
    this.#calls?.release();
  }

  #takeEvent(): void {
    const { bytes, start, end } = this.#scanner;
    // One that straddled two pieces lies in a buffer of its own, and is as ordinary as others.
    if (start === 0 && this.#templates.match(new DataView(bytes.buffer, bytes.byteOffset, end), 0) === end) {
      this.#passOrdinary(bytes, start, end);
      return;
    }
    const event = readStreamEvent(bytes, start, end, this.#options.isError);
    switch (event.type) {
      case 'chunk':
        if (this.#isFinished()) this.#takeTrailer(event.payload, bytes, start, end);
        else this.#takeChunk(event.payload, event.reading, bytes, start, end);
        break;
      case 'comment':
        if (this.#phase === 'speaking') this.#run.add(bytes, start, end);
        break;
      case 'done':
        this.#takeDone();
        break;
      case 'error':
      case 'malformed':
        if (!this.#isFinished()) this.#conclude(event);
        break;
      case 'blank':
        break;
      default:
        event satisfies never;
    }
  }

  #takeDone(): void {
    if (!this.#isFinished()) {
      const missing = this.#choices.finishRest();
      if (!this.#open()) return;
      if (missing.size > 0) this.#run.addAll(finishEvent(this.#identity, missing));
    }
    this.#complete();
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
    const effect = this.#choices.take(payload, reading.choices);
    if (effect.stale) return;
    const finishes = this.#choices.allFinished;
    this.#progressed ||= effect.hasToken || reading.choices.some(({ finishReason }) => finishReason !== null);
    const whole = () => (effect.changed ? encodeEvent(payload) : bytes.subarray(start, end));
    if (effect.held !== null && !this.#keepCalls(effect, whole)) return;
    if (effect.said.length === 0 && !finishes && this.#phase === 'silent') {
      this.#hold(whole());
      return;
    }
    if (finishes ? !this.#open() : !this.#speak()) return;
    for (const kind of effect.said) this.#choices.noteDelivered(kind);
    this.#trail.appendText(effect.text);
    if (effect.changed) this.#run.addAll(encodeEvent(payload));
    else {
      this.#run.add(bytes, start, end);
      this.#templates.learn(bytes, start, end, payload, reading);
    }
    if (finishes) this.#finish();
  }

  /** After the finish: usage goes on, whatever else stands beside it does not. */
  #takeTrailer(payload: JsonObject, bytes: Uint8Array, start: number, end: number): void {
    const usage = readUsage(payload['usage']);
    if (usage === null) return;
    this.#usage = usage;
    if (this.#options.withholdUsage) return;
    if (Array.isArray(payload['choices']) && payload['choices'].length === 0) this.#run.add(bytes, start, end);
    else this.#run.addAll(encodeEvent({ ...payload, choices: [] }));
  }

  #isWithheld(payload: JsonObject): boolean {
    return this.#options.withholdUsage === true && isJsonObject(payload['usage']);
  }

  #passOrdinary(bytes: Uint8Array, start: number, end: number): void {
    const { contentFrom, contentTo, reasoningBytes, choice } = this.#templates;
    if (contentTo - contentFrom + reasoningBytes > 0) {
      this.#progressed = true;
      this.#choices.noteText(contentTo - contentFrom, reasoningBytes);
      if (choice === 0) this.#trail.appendEscaped(bytes, contentFrom, contentTo);
    }
    this.#run.add(bytes, start, end);
  }

  /**
   * The answer has finished: its calls go out.
   * @returns whether its finish may: one without an answer in it, or with calls that nobody could read, is an end of its
   * own kind.
   */
  #open(): boolean {
    if (!this.#choices.hasAnswered) {
      const isFiltered = this.#choices.hasFinishedBy('content_filter');
      if (isFiltered && this.#options.failWhenFiltered) this.#conclude({ type: 'filtered' });
      else if (!isFiltered && !this.#choices.hasFinishedBy('length') && !this.#mayEndEmpty)
        this.#conclude({ type: 'empty' });
    } else if (this.#calls?.hasBroken((choice) => this.#choices.finishReasonOf(choice))) {
      this.#conclude({ type: 'malformed', why: 'a tool call with arguments that are not JSON' });
    }
    if (!this.#isOpen() || !this.#speak()) return false;
    const calls = this.#calls?.release();
    if (calls && calls.length > 0) {
      this.#choices.noteDelivered('tool_call');
      this.#run.addAll(calls);
    }
    return this.#isOpen();
  }

  /** The first token is there: what was held goes out before it. @returns false where the listener wants no more. */
  #speak(): boolean {
    if (this.#phase !== 'silent') return true;
    this.#phase = 'speaking';
    this.#listener.onFirstToken(false);
    const held = this.#held;
    this.#held = [];
    if (held.length > 0 && this.#isOpen())
      this.#listener.onBytes(held.length === 1 && held[0] ? held[0] : Buffer.concat(held));
    return this.#isOpen();
  }

  /** @param whole the chunk's event. @returns whether a part of the chunk goes on. */
  #keepCalls({ held, said }: ChunkEffect, whole: () => Uint8Array): boolean {
    if (this.#calls?.keep(held === 'all' ? whole() : encodeEvent(held)) === false) {
      this.#conclude({ type: 'malformed', why: 'its tool calls are too large to be held' });
    } else if (this.#phase === 'silent' && said.length === 0 && !this.#hasToldOfCalls) {
      this.#hasToldOfCalls = true;
      this.#listener.onFirstToken(true);
    }
    return held !== 'all' && this.#isOpen();
  }

  #finish(): void {
    this.#run.flush();
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

  #conclude(end: ChatStreamEnd): void {
    this.#run.flush();
    if (!this.#isOpen()) return;
    this.stop();
    this.#listener.onEnd(end);
  }

  #complete(): void {
    const { countUsage } = this.#options;
    if (countUsage && this.#usage === null) this.#run.addAll(usageEvent(this.#identity, countUsage()));
    this.#conclude({ type: 'whole', finishReason: this.#choices.finishReason });
  }

  get #mayEndEmpty(): boolean {
    return this.#options.mayBeEmpty === true && this.#choices.finishReason !== null;
  }

  #isFinished(): boolean {
    return this.#phase === 'finished';
  }

  /** A listener may have stopped us in between. */
  #isOpen(): boolean {
    return this.#phase !== 'ended';
  }
}
