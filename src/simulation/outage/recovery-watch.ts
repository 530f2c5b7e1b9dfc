/** After an outage: when is a model used again, when is all as it was, and how hard is it hit? */

/** Usual again: so many requests in a row, or that share of so many. */
const IN_A_ROW = 20;
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
  readonly #last: boolean[] = [];
  #its = 0;
  #rowFromMs = 0;
  #row = 0;

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
    this.#noteRow(startedAtMs, answeredBy !== undefined);
    if (answeredBy !== undefined) this.#noteShare(answeredBy === this.model, nowMs);
  }

  #noteRow(startedAtMs: number, isAnswered: boolean): void {
    if (this.answeredAgainMs !== null) return;
    if (!isAnswered) this.#row = 0;
    else if (this.#row++ === 0) this.#rowFromMs = startedAtMs;
    if (this.#row >= IN_A_ROW) this.answeredAgainMs = this.#rowFromMs - this.recoveredAtMs;
  }

  #noteShare(isIts: boolean, nowMs: number): void {
    if (this.backMs !== null) return;
    this.#last.push(isIts);
    if (isIts) this.#its++;
    if (this.#last.length > IN_A_ROW && this.#last.shift()) this.#its--;
    if (this.#last.length === IN_A_ROW && this.#its >= IN_A_ROW * this.usualShare * USUAL_SHARE) {
      this.backMs = nowMs - this.recoveredAtMs;
    }
  }
}
