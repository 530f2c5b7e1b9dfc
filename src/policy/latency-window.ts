/**
 * The last latencies of one model, and their quantiles: exact over a sliding window of samples.
 *
 * Pure. A ring of 512 doubles (4 KiB) answers p99 with five samples above it, and forgets a bad hour after 512 calls.
 */
const WINDOW_SAMPLES = 512;

export interface Quantiles {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly mean: number;
}

export class LatencyWindow {
  readonly #samples = new Float64Array(WINDOW_SAMPLES);
  #count = 0;
  #sorted: Float64Array | undefined;

  add(ms: number): void {
    this.#samples[this.#count++ % WINDOW_SAMPLES] = ms;
    this.#sorted = undefined;
  }

  /** How many samples the window holds, 0 to 512. */
  get size(): number {
    return Math.min(this.#count, WINDOW_SAMPLES);
  }

  /** @param q 0 to 1, nearest rank. @returns ms; 0 while there is no sample. */
  quantile(q: number): number {
    const { size } = this;
    if (size === 0) return 0;
    this.#sorted ??= this.#samples.subarray(0, size).toSorted();
    return this.#sorted[Math.min(size - 1, Math.max(0, Math.ceil(q * size) - 1))] ?? 0;
  }

  quantiles(): Quantiles {
    const { size } = this;
    const sum = this.#samples.subarray(0, size).reduce((total, ms) => total + ms, 0);
    return {
      p50: this.quantile(0.5),
      p95: this.quantile(0.95),
      p99: this.quantile(0.99),
      mean: size === 0 ? 0 : sum / size,
    };
  }
}
