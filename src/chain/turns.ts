/**
 * In which order and how fast those come back who wait for a model's rest to end. All at once they would be fifty times the
 * usual load, and bring about the next rest: each gets a turn of its own, one after the other, at the pace at which
 * requests usually come. Who comes anew meanwhile is not held back, so that the load is about twice the usual one.
 */

/** Where requests are rarer than this, nobody is kept waiting for a turn. */
const LONGEST_GAP_MS = 250;
/** While nothing is known of how fast requests come. */
const FIRST_GAP_MS = 20;
/** How much the newest gap weighs in the running mean. */
const GAP_WEIGHT = 0.02;

interface Arrivals {
  lastAtMs: number;
  gapMs: number;
}

export class Turns {
  readonly #arrivals = new Map<string, Arrivals>();
  /** By model: the last turn that was given out. */
  readonly #lastTurnMs = new Map<string, number>();

  /** A request of this chain has come. */
  noteRequest(chain: string, nowMs: number): void {
    const known = this.#arrivals.get(chain);
    if (!known) {
      this.#arrivals.set(chain, { lastAtMs: nowMs, gapMs: FIRST_GAP_MS });
      return;
    }
    const gapMs = Math.min(LONGEST_GAP_MS, nowMs - known.lastAtMs);
    known.lastAtMs = nowMs;
    known.gapMs += (gapMs - known.gapMs) * GAP_WEIGHT;
  }

  /** @returns when the next turn at this model would be, for one who may come from `fromMs` on. */
  next(model: string, chain: string, fromMs: number): number {
    const lastMs = this.#lastTurnMs.get(model) ?? -Infinity;
    return Math.max(fromMs, lastMs + (this.#arrivals.get(chain)?.gapMs ?? FIRST_GAP_MS));
  }

  /** Somebody has taken this turn. */
  take(model: string, atMs: number): void {
    this.#lastTurnMs.set(model, atMs);
  }
}
