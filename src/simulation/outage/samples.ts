/** Numbers by the million: kept flat, sorted once, or counted in buckets where there is one set of them per step. */
import type { Spread, Timeline } from './report.js';

const FIRST_SIZE = 4_096;

export class Samples {
  #values = new Float32Array(FIRST_SIZE);
  #count = 0;

  add(value: number): void {
    if (this.#count === this.#values.length) {
      const grown = new Float32Array(this.#count * 2);
      grown.set(this.#values);
      this.#values = grown;
    }
    this.#values[this.#count++] = value;
  }

  /** Nearest rank; rounded to a tenth of a millisecond. */
  spread(): Spread {
    const sorted = this.#values.slice(0, this.#count).toSorted();
    const quantile = (q: number): number => {
      const value = sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? 0;
      return Math.round(value * 10) / 10;
    };
    return { p50: quantile(0.5), p99: quantile(0.99), max: quantile(1) };
  }
}

/** Buckets of a tenth of a power of two, from 1 ms on: a quantile is right to 7 %, for a plot. */
const BUCKETS_PER_DOUBLING = 10;
const BUCKETS = 22 * BUCKETS_PER_DOUBLING;
const PLOTTED_QUANTILE = 0.99;

/** What happened in each step of a simulation. */
export class StepCounts {
  readonly #steps: number;
  readonly #requests: Uint32Array;
  readonly #answered: Uint32Array;
  readonly #waits: Uint32Array;
  readonly #attempts: readonly Uint32Array[];

  constructor(steps: number, models: number) {
    this.#steps = steps;
    this.#requests = new Uint32Array(steps);
    this.#answered = new Uint32Array(steps);
    this.#waits = new Uint32Array(steps * BUCKETS);
    this.#attempts = Array.from({ length: models }, () => new Uint32Array(steps));
  }

  attempt(model: number, step: number): void {
    const counts = this.#attempts[model]!;
    if (step < counts.length) counts[step]!++;
  }

  /** @param waitMs until its answer; undefined: it got none. */
  request(step: number, waitMs: number | undefined): void {
    if (step >= this.#steps) return;
    this.#requests[step]!++;
    if (waitMs === undefined) return;
    this.#answered[step]!++;
    const bucket = Math.floor(Math.log2(Math.max(1, waitMs)) * BUCKETS_PER_DOUBLING);
    this.#waits[step * BUCKETS + Math.min(BUCKETS - 1, bucket)]!++;
  }

  timeline(): Timeline {
    return {
      requests: [...this.#requests],
      answered: [...this.#answered],
      waitP99Ms: Array.from(this.#answered, (answered, step) => this.#waitMs(step, answered)),
      attempts: this.#attempts.map((counts) => [...counts]),
    };
  }

  #waitMs(step: number, answered: number): number {
    if (answered === 0) return 0;
    const rank = Math.ceil(answered * PLOTTED_QUANTILE);
    let seen = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      seen += this.#waits[step * BUCKETS + bucket]!;
      if (seen >= rank) return Math.round(2 ** ((bucket + 0.5) / BUCKETS_PER_DOUBLING));
    }
    return 0;
  }
}
