/**
 * The last latencies of one model, and their quantiles over a sliding window of samples.
 *
 * Pure. A ring of 512 doubles (4 KiB) answers p99 with five samples above it, and forgets a bad hour after 512 calls.
 * Quantiles are asked for at every decision and sorted only now and then: with many samples, a few more change little.
 */
const WINDOW_SAMPLES = 512;
/** From so many samples on, quantiles may be so many samples old. */
const MANY_SAMPLES = 128;
const SORT_EVERY_SAMPLES = 32;

export interface Quantiles {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly mean: number;
}

export class LatencyWindow {
  readonly #samples = new Float64Array(WINDOW_SAMPLES);
  #count = 0;
  #sorted = new Float64Array(0);
  #sortedAtCount = 0;

  add(ms: number): void {
    this.#samples[this.#count++ % WINDOW_SAMPLES] = ms;
  }

  /** How many samples the window holds, 0 to 512. */
  get size(): number {
    return Math.min(this.#count, WINDOW_SAMPLES);
  }

  /** @param q 0 to 1, nearest rank. @returns ms; 0 while there is no sample. */
  quantile(q: number): number {
    if (this.#count === 0) return 0;
    const isFresh =
      this.#sortedAtCount >= MANY_SAMPLES
        ? this.#count - this.#sortedAtCount < SORT_EVERY_SAMPLES
        : this.#count === this.#sortedAtCount;
    if (!isFresh) this.#sort();
    const { length } = this.#sorted;
    return this.#sorted[Math.min(length - 1, Math.max(0, Math.ceil(q * length) - 1))] ?? 0;
  }

  quantiles(): Quantiles {
    const { size } = this;
    if (this.#sortedAtCount !== this.#count) this.#sort();
    const sum = this.#samples.subarray(0, size).reduce((total, ms) => total + ms, 0);
    return {
      p50: this.quantile(0.5),
      p95: this.quantile(0.95),
      p99: this.quantile(0.99),
      mean: size === 0 ? 0 : sum / size,
    };
  }

  #sort(): void {
    this.#sorted = this.#samples.subarray(0, this.size).toSorted();
    this.#sortedAtCount = this.#count;
  }
}
