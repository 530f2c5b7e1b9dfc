/**
 * The time limits of one attempt, and which of them has passed. Knows what each means; who has the attempt acts on it.
 *
 * Time in which we hold the upstream back is not silence. It does count for the whole of a stream: an abandoned caller must
 * not keep one open for ever.
 */
import { AttemptTimer } from './attempt-timer.js';
import type { TimerClock } from './attempt-timer.js';
import type { FailureClass } from '../policy/failure.js';
import type { AttemptLimits } from './upstream.js';

/** What is awaited: an answer or its first token; the next token; what follows a finish; an error's body. */
type Awaited = 'answer' | 'next-token' | 'trailer' | 'error-body';
export type PassedLimit = Awaited | 'whole-stream';

/** @returns what an attempt fails with where this limit has passed. */
export function saysOfLimit(
  limit: PassedLimit,
  { answerMs, idleMs, totalMs }: AttemptLimits,
  isStreaming: boolean,
): [failureClass: FailureClass, message: string] {
  if (limit === 'whole-stream') return ['timeout_total', `the stream did not end within ${totalMs} ms`];
  if (limit === 'next-token') return ['timeout_idle', `silent for ${idleMs} ms`];
  return isStreaming
    ? ['timeout_ttft', `no first token within ${answerMs} ms`]
    : ['timeout_total', `no answer within ${answerMs} ms`];
}

/** How long usage and `[DONE]` are awaited once every choice has finished. */
const TRAILER_MS = 1_000;
/** How long the body of an error may take; its status says most of it. */
const ERROR_BODY_MS = 2_000;

export class LimitWatch {
  readonly #limits: AttemptLimits;
  readonly #clock: TimerClock;
  readonly #onPassed: (limit: PassedLimit) => void;
  readonly #timer: AttemptTimer;
  readonly #wholeDueAtMs: number;
  #awaited: Awaited = 'answer';
  #dueAtMs: number;
  #pausedAtMs: number | null = null;
  #isStopped = false;

  constructor(limits: AttemptLimits, isStreaming: boolean, clock: TimerClock, onPassed: (limit: PassedLimit) => void) {
    this.#limits = limits;
    this.#clock = clock;
    this.#onPassed = onPassed;
    const nowMs = clock.nowMs();
    this.#dueAtMs = nowMs + limits.answerMs;
    this.#wholeDueAtMs = isStreaming ? nowMs + limits.totalMs : Infinity;
    this.#timer = new AttemptTimer(clock, () => this.#onDue());
    this.#aim();
  }

  /** A token has come: the next one is awaited. */
  noteToken(): void {
    this.#await('next-token', this.#clock.nowMs() + this.#limits.idleMs);
  }

  noteFinish(): void {
    this.#await('trailer', this.#clock.nowMs() + TRAILER_MS);
  }

  noteError(): void {
    this.#await('error-body', Math.min(this.#dueAtMs, this.#clock.nowMs() + ERROR_BODY_MS));
  }

  pause(): void {
    if (this.#pausedAtMs !== null) return;
    this.#pausedAtMs = this.#clock.nowMs();
    this.#aim();
  }

  resume(): void {
    if (this.#pausedAtMs === null) return;
    this.#dueAtMs += this.#clock.nowMs() - this.#pausedAtMs;
    this.#pausedAtMs = null;
    this.#aim();
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer.stop();
  }

  #await(awaited: Awaited, dueAtMs: number): void {
    this.#awaited = awaited;
    this.#dueAtMs = dueAtMs;
    // What comes while we hold back was on its way before; its time starts where the pause ends.
    if (this.#pausedAtMs !== null) this.#pausedAtMs = this.#clock.nowMs();
    this.#aim();
  }

  #aim(): void {
    const dueAtMs = this.#pausedAtMs === null ? this.#dueAtMs : Infinity;
    this.#timer.aim(Math.min(dueAtMs, this.#wholeDueAtMs));
  }

  /** A busy process sees its timers before its sockets: what has arrived by now still counts. */
  #onDue(): void {
    setImmediate(() => this.#check());
  }

  #check(): void {
    if (this.#isStopped) return;
    const nowMs = this.#clock.nowMs();
    if (nowMs >= this.#wholeDueAtMs) this.#onPassed('whole-stream');
    else if (this.#pausedAtMs === null && nowMs >= this.#dueAtMs) this.#onPassed(this.#awaited);
    else this.#aim();
  }
}
