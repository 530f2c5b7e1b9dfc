/** After an outage: when is a model used again, when is all as it was, and how hard is it hit? */

/** Usual again is what holds for so many requests, but for an everyday failure among them. */
const LAST = 20;
const EVERYDAY_FAILURES = 1;
const USUAL_SHARE = 0.9;
/** A herd comes within the first minute. */
const HERD_MS = 60_000;
/** Whatever has not come back by then, this outage is not to blame. */
const WATCHED_MS = 3_600_000;

export class RecoveryWatch {
  usedAgainMs: number | null = null;
  backMs: number | null = null;
  answeredAgainMs: number | null = null;
  /** Most attempts on the model within one second of the first minute. */
  peakPerSecond = 0;
  readonly #lastRequests: { readonly startedAtMs: number; readonly isAnswered: boolean }[] = [];
  readonly #lastAnswers: boolean[] = [];

  /** @param usualShare the model's share of the answers before, 0 to 1. */
  constructor(
    readonly model: number,
    readonly recoveredAtMs: number,
    readonly usualShare: number,
  ) {}

  isOver(nowMs: number): boolean {
    const sinceMs = nowMs - this.recoveredAtMs;
    if (sinceMs < HERD_MS) return false;
    return sinceMs > WATCHED_MS || (this.backMs !== null && this.answeredAgainMs !== null);
  }

  /** @param inThisSecond attempts on the model in the second that is running. */
  noteAttempt(nowMs: number, inThisSecond: number): void {
    if (nowMs - this.recoveredAtMs < HERD_MS) this.peakPerSecond = Math.max(this.peakPerSecond, inThisSecond);
  }

  /** A request ends. @param answeredBy undefined: it got no answer. */
  noteRequest(startedAtMs: number, answeredBy: number | undefined, nowMs: number): void {
    if (answeredBy === this.model) this.usedAgainMs ??= Math.max(0, startedAtMs - this.recoveredAtMs);
    if (startedAtMs < this.recoveredAtMs) return;
    this.#noteAnswered(startedAtMs, answeredBy !== undefined);
    if (answeredBy !== undefined) this.#noteShare(answeredBy === this.model, nowMs);
  }

  #noteAnswered(startedAtMs: number, isAnswered: boolean): void {
    if (this.answeredAgainMs !== null) return;
    const last = this.#lastRequests;
    last.push({ startedAtMs, isAnswered });
    if (last.length > LAST) last.shift();
    const failures = last.filter((request) => !request.isAnswered).length;
    if (last.length < LAST || failures > EVERYDAY_FAILURES) return;
    const first = last.find((request) => request.isAnswered);
    if (first) this.answeredAgainMs = first.startedAtMs - this.recoveredAtMs;
  }

  #noteShare(isIts: boolean, nowMs: number): void {
    if (this.backMs !== null) return;
    const last = this.#lastAnswers;
    last.push(isIts);
    if (last.length > LAST) last.shift();
    const its = last.filter(Boolean).length;
    if (last.length === LAST && its >= LAST * this.usualShare * USUAL_SHARE) this.backMs = nowMs - this.recoveredAtMs;
  }
}
