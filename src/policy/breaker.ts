/**
 * Circuit breaker of one model: closed while it answers, open while it does not, half-open while single trials of real
 * traffic find out.
 *
 * Pure: time comes in as `nowMs` (monotonic), chance as a number. Opens on a failure rate in a sliding window with a
 * minimum of attempts, or on consecutive failures, since a model with little traffic must not wait for the minimum.
 * After it closes, traffic returns over `slowStartMs`, each request by lot: a provider that has just recovered answers a
 * flood with the next outage.
 * Sources: Nygard, "Release It!" (circuit breaker); Envoy's slow start mode; the failure catalogue (`slow_down`).
 */
import type { Policy } from './policy.js';

export type BreakerState = 'closed' | 'half-open' | 'open';
type BreakerPolicy = Policy['breaker'];
/** After which opening the trial was made: what began before a later one says nothing new, and takes no place of it. */
export type Trial = number;

/** The window slides in tenths: exact enough for a rate, and ten numbers of memory. */
const BUCKETS = 10;
/** Of no window, however young the clock is. */
const EMPTY = -Infinity;
/** Each further opening without a good answer between lasts twice as long, up to `openMaxMs`. */
const OPEN_GROWTH = 2;
/** Drawn from the last fifth: replicas do not come back in step, and it is never much shorter than it says. */
const JITTER_SHARE = 0.2;
/** The share of requests that slow start begins with. */
const SLOW_START_SHARE = 0.1;

interface Bucket {
  /** Which tenth of a window since the beginning of the clock. */
  tenth: number;
  begun: number;
  ended: number;
  failures: number;
}

/** What an ended attempt says of the model's health. */
export interface Sign {
  readonly outcome: 'success' | 'failure';
  /** The trial that it was; undefined: none. */
  readonly trial: Trial | undefined;
  /** Attempts that were under way when it began. */
  readonly rivals: number;
}

export class CircuitBreaker {
  readonly #policy: BreakerPolicy;
  readonly #buckets: Bucket[] = Array.from({ length: BUCKETS }, () => ({
    tenth: EMPTY,
    begun: 0,
    ended: 0,
    failures: 0,
  }));
  #state: BreakerState = 'closed';
  #consecutive = 0;
  /** Without a good answer between. */
  #openings = 0;
  #lastOpening: Trial = 0;
  #openUntilMs = 0;
  #trialsLive = 0;
  #trialsGood = 0;
  #closedAtMs = -Infinity;
  /** A trial has answered, or begun to, since it opened. */
  #hasShownLife = false;
  /** Good answers since the beginning, or since it closed, as far as they are counted. */
  #successes = 0;

  constructor(policy: BreakerPolicy) {
    this.#policy = policy;
  }

  /** An open one whose time is over is half-open for whoever asks. */
  state(nowMs: number): BreakerState {
    return this.#state === 'open' && nowMs >= this.#openUntilMs ? 'half-open' : this.#state;
  }

  /** When trials may begin, or began. */
  get openUntilMs(): number {
    return this.#openUntilMs;
  }

  /** Whether another attempt may be made now; half-open: while a trial is free. */
  admits(nowMs: number): boolean {
    const state = this.state(nowMs);
    return state === 'closed' || (state === 'half-open' && this.#trialsLive < this.#policy.halfOpenAttempts);
  }

  /** The share of requests that may come, 0 to 1; below 1 for a while after it closed. */
  share(nowMs: number): number {
    const { slowStartMs } = this.#policy;
    const sinceMs = nowMs - this.#closedAtMs;
    if (sinceMs >= slowStartMs) return 1;
    return SLOW_START_SHARE + (1 - SLOW_START_SHARE) * (sinceMs / slowStartMs);
  }

  /**
   * An attempt begins.
   * @param isForced it is made although the breaker is open, since every other model is down too: a trial all the same.
   * @returns the trial that it is, to be told with its outcome; undefined: it is none.
   */
  begin(nowMs: number, isForced = false): Trial | undefined {
    this.#bucketAt(nowMs).begun++;
    if (this.state(nowMs) !== 'half-open' && !(isForced && this.#state === 'open')) return undefined;
    this.#state = 'half-open';
    this.#trialsLive++;
    return this.#lastOpening;
  }

  /**
   * An attempt ended in a way that says something of the model's health.
   * @param random uniform in [0, 1).
   */
  record({ outcome, trial, rivals }: Sign, nowMs: number, random: number): void {
    const isTrial = trial === this.#lastOpening;
    this.#count(outcome, nowMs);
    if (outcome === 'failure') this.#fail(isTrial, rivals, nowMs, random);
    else this.#succeed(isTrial, nowMs);
  }

  /**
   * The first token of a stream that is a trial: a good trial, and the next one may begin. Streams last for minutes, and
   * callers who are sent away until three are over would be sent away by a model that answers. How it ends is recorded
   * without the trial where it ends well, and with it where it breaks.
   */
  noteTrialSpeaks(trial: Trial, nowMs: number): void {
    if (trial !== this.#lastOpening) return;
    this.#trialsLive--;
    if (this.#state === 'half-open') this.#noteGoodTrial(nowMs);
  }

  /** A trial has ended. One that was forced, and said nothing, has changed nothing: open it stays until its time. */
  endTrial(trial: Trial, nowMs: number): void {
    if (trial !== this.#lastOpening) return;
    this.#trialsLive--;
    const saysNothing = this.#trialsLive === 0 && !this.#hasShownLife;
    if (this.#state === 'half-open' && saysNothing && nowMs < this.#openUntilMs) this.#state = 'open';
  }

  #fail(isTrial: boolean, rivals: number, nowMs: number, random: number): void {
    this.#consecutive++;
    if (this.#state === 'open') return;
    if (this.#state === 'half-open') {
      // What was asked before it opened only says what is known already.
      if (isTrial) this.#open(nowMs, random);
      return;
    }
    if (this.#isRowTooLong(rivals) || this.#isRateTooHigh(nowMs)) this.#open(nowMs, random);
  }

  #succeed(isTrial: boolean, nowMs: number): void {
    this.#consecutive = 0;
    if (this.#state === 'half-open' && isTrial) this.#noteGoodTrial(nowMs);
  }

  #noteGoodTrial(nowMs: number): void {
    this.#trialsGood++;
    this.#hasShownLife = true;
    if (this.#trialsGood < this.#policy.closeAfter) return;
    this.#state = 'closed';
    this.#successes = 0;
    this.#consecutive = 0;
    this.#openings = 0;
    this.#closedAtMs = nowMs;
    this.#emptyWindow();
  }

  #emptyWindow(): void {
    for (const bucket of this.#buckets) bucket.tenth = EMPTY;
  }

  #open(nowMs: number, random: number): void {
    const { openMs, openMaxMs } = this.#policy;
    const lengthMs = Math.min(Math.max(openMs, openMaxMs), openMs * OPEN_GROWTH ** Math.min(this.#openings, 30));
    this.#state = 'open';
    this.#openings++;
    this.#lastOpening++;
    this.#trialsLive = 0;
    this.#openUntilMs = nowMs + lengthMs * (1 - JITTER_SHARE * random);
    this.#trialsGood = 0;
    this.#hasShownLife = false;
    this.#consecutive = 0;
  }

  #count(outcome: 'success' | 'failure', nowMs: number): void {
    const bucket = this.#bucketAt(nowMs);
    bucket.ended++;
    if (outcome === 'failure') bucket.failures++;
    else if (this.#isNew && ++this.#successes === this.#policy.minAttempts) this.#emptyWindow();
  }

  /**
   * Failures are told sooner than answers are given: of a model that has just been started with, or has its traffic back, the
   * first five to end may be the only five of hundreds that fail. So until it has succeeded some times, all count that were
   * under way beside it.
   */
  get #isNew(): boolean {
    return this.#successes < this.#policy.minAttempts;
  }

  #bucketAt(nowMs: number): Bucket {
    const tenth = this.#tenthOf(nowMs);
    const bucket = this.#buckets[tenth % BUCKETS]!;
    if (bucket.tenth !== tenth) Object.assign(bucket, { tenth, begun: 0, ended: 0, failures: 0 });
    return bucket;
  }

  #isRowTooLong(rivals: number): boolean {
    return this.#consecutive >= this.#policy.consecutive && !(this.#isNew && this.#consecutive < rivals);
  }

  #isRateTooHigh(nowMs: number): boolean {
    const oldest = this.#tenthOf(nowMs) - BUCKETS + 1;
    let [begun, ended, failures] = [0, 0, 0];
    for (const bucket of this.#buckets) {
      if (bucket.tenth < oldest) continue;
      begun += bucket.begun;
      ended += bucket.ended;
      failures += bucket.failures;
    }
    const { minAttempts, failureRate } = this.#policy;
    return ended >= minAttempts && failures / (this.#isNew ? Math.max(begun, ended) : ended) >= failureRate;
  }

  #tenthOf(nowMs: number): number {
    return Math.floor((nowMs * BUCKETS) / this.#policy.windowMs);
  }
}
