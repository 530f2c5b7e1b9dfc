/**
 * Which rests are worth a line. A burst of requests that all meet the same closed door lengthens its rest again and
 * again; whoever reads the log wants to hear of it once.
 */
import type { FailureClass } from '../policy/failure.js';

interface Noticed {
  readonly reason: FailureClass;
  readonly untilMs: number;
}

export class RestNotices {
  /** One per resting model. */
  readonly #noticed = new Map<string, Noticed>();

  /** @returns false where that model is known to rest for that reason; the rest may end later than it was told. */
  isNews(rest: { model: string; reason: FailureClass; restMs: number }, nowMs: number): boolean {
    const before = this.#noticed.get(rest.model);
    this.#noticed.set(rest.model, { reason: rest.reason, untilMs: nowMs + rest.restMs });
    return !before || before.reason !== rest.reason || nowMs >= before.untilMs;
  }

  /** An answer ends the rest: the next one is news. */
  answered(model: string): void {
    this.#noticed.delete(model);
  }
}
