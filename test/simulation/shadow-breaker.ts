/**
 * What a breaker may do, seen from outside: it is told what the real one is told, and judges each of its moves by the
 * rules, counting naively what the real one keeps in tenths of a window.
 */
import type { BreakerState } from '../../src/policy/breaker.js';
import type { Policy } from '../../src/policy/policy.js';

type Health = 'success' | 'failure';

/** What happened to the breaker just before it is looked at. */
export type BreakerStep =
  | { readonly what: 'begin'; readonly unlikely: boolean }
  | { readonly what: 'record'; readonly health: Health; readonly isTrial: boolean; readonly rivals: number }
  /** A stream that is a trial speaks: a good trial, and the next one may begin. */
  | { readonly what: 'speaks' }
  /** A trial has ended, or shown enough; nothing was recorded with it. */
  | { readonly what: 'trial over' };

const EPSILON_MS = 1e-6;

export class ShadowBreaker {
  state: BreakerState = 'closed';
  trialsLive = 0;
  /** Counts how often it has opened. */
  opening = 0;
  readonly policy: Policy['breaker'];
  #records: { readonly atMs: number; readonly health: Health }[] = [];
  #begunAtMs: number[] = [];
  #successes = 0;
  #inARow = 0;
  #openings = 0;
  #openedAtMs = 0;
  #lengthMs = 0;
  #goodTrials = 0;
  /** A trial has shown life since it opened. */
  #hasSpoken = false;

  constructor(policy: Policy['breaker']) {
    this.policy = policy;
  }

  /** The soonest moment at which it may be half-open by itself. */
  get soonestTrialAtMs(): number {
    return this.#openedAtMs + this.#lengthMs * 0.8 - EPSILON_MS;
  }

  /** Whether an ordinary attempt may begin, as the rules have it. */
  admits(nowMs: number): boolean {
    if (this.state === 'closed') return true;
    const isHalfOpen = this.state === 'half-open' || nowMs >= this.soonestTrialAtMs;
    return isHalfOpen && this.trialsLive < this.policy.halfOpenAttempts;
  }

  /** @returns what is wrong with the move to `next`; undefined: nothing. */
  judge(step: BreakerStep, next: BreakerState, nowMs: number): string | undefined {
    if (step.what === 'begin') this.#begunAtMs.push(nowMs);
    if (step.what === 'record') this.#note(step, nowMs);
    if (step.what === 'speaks') this.#noteSpeaks();
    const before = this.state;
    const wrong = this.#wrongIn(step, before, next, nowMs);
    this.state = next;
    if (next === 'open' && before !== 'open' && step.what === 'record') this.#noteOpening(nowMs);
    if (next === 'closed' && before !== 'closed') {
      this.#openings = 0;
      this.#successes = 0;
      this.#inARow = 0;
      this.#forgetWindow();
    }
    return wrong;
  }

  #note({ health, isTrial }: Extract<BreakerStep, { what: 'record' }>, nowMs: number): void {
    this.#records.push({ atMs: nowMs, health });
    this.#inARow = health === 'failure' ? this.#inARow + 1 : 0;
    if (health === 'success' && ++this.#successes === this.policy.minAttempts) this.#forgetWindow();
    if (this.state === 'half-open' && isTrial && health === 'success') this.#goodTrials++;
  }

  #forgetWindow(): void {
    this.#records = [];
    this.#begunAtMs = [];
  }

  #noteSpeaks(): void {
    this.trialsLive--;
    this.#hasSpoken = true;
    if (this.state === 'half-open') this.#goodTrials++;
  }

  #noteOpening(nowMs: number): void {
    const { openMs, openMaxMs } = this.policy;
    this.#lengthMs = Math.min(Math.max(openMs, openMaxMs), openMs * 2 ** Math.min(this.#openings, 30));
    this.#openings++;
    this.opening++;
    this.trialsLive = 0;
    this.#openedAtMs = nowMs;
    this.#inARow = 0;
    this.#goodTrials = 0;
    this.#hasSpoken = false;
  }

  #wrongIn(step: BreakerStep, before: BreakerState, next: BreakerState, nowMs: number): string | undefined {
    const mustOpen =
      before === 'closed' && step.what === 'record' && step.health === 'failure' && this.#isTooBad(step.rivals, nowMs);
    if (mustOpen !== (before === 'closed' && next === 'open'))
      return `${before} to ${next}, though it must ${mustOpen ? '' : 'not '}open`;
    const trial = step.what === 'speaks' ? 'success' : step.what === 'record' && step.isTrial ? step.health : undefined;
    if (before === 'half-open') {
      const { closeAfter } = this.policy;
      const expected =
        trial === 'failure' ? 'open' : trial === 'success' && this.#goodTrials >= closeAfter ? 'closed' : undefined;
      if (expected ? next !== expected : next === 'closed')
        return `half-open to ${next}, expected ${expected ?? 'no move'}`;
      if (expected) return undefined;
      // A try before its time that said nothing leaves it open.
      const saysNothing = this.#goodTrials === 0 && !this.#hasSpoken && this.trialsLive === 0;
      if (next === 'open' && (!saysNothing || nowMs >= this.#openedAtMs + this.#lengthMs))
        return 'half-open to open for nothing';
      if (next === 'half-open' && step.what === 'trial over' && saysNothing && nowMs < this.soonestTrialAtMs)
        return 'half-open before its time';
    }
    if (before === 'open') {
      if (next === 'closed') return 'open to closed';
      const isForced = step.what === 'begin' && step.unlikely;
      if (next === 'half-open' && !isForced && nowMs < this.soonestTrialAtMs) return 'half-open before its time';
    }
    return before === 'closed' && next === 'half-open' ? 'closed to half-open' : undefined;
  }

  #isTooBad(rivals: number, nowMs: number): boolean {
    const { consecutive, minAttempts, failureRate, windowMs } = this.policy;
    const isNew = this.#successes < minAttempts;
    if (this.#inARow >= consecutive && (!isNew || this.#inARow >= rivals)) return true;
    const tenth = (atMs: number): number => Math.floor((atMs * 10) / windowMs);
    const isInWindow = (atMs: number): boolean => tenth(atMs) > tenth(nowMs) - 10;
    const ended = this.#records.filter(({ atMs }) => isInWindow(atMs));
    const begun = this.#begunAtMs.filter(isInWindow).length;
    const failures = ended.filter(({ health }) => health === 'failure').length;
    return (
      ended.length >= minAttempts && failures / (isNew ? Math.max(begun, ended.length) : ended.length) >= failureRate
    );
  }
}
