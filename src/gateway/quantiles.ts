/** Quantiles of a handful of measured times: exact, by the nearest rank. */
export interface ExactQuantiles {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly mean: number;
}

/** @param values milliseconds; all 0 where there are none. @returns whole milliseconds. */
export function quantilesOf(values: readonly number[]): ExactQuantiles {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (q: number) => Math.round(sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? 0);
  const sum = sorted.reduce((total, value) => total + value, 0);
  const mean = sorted.length === 0 ? 0 : Math.round(sum / sorted.length);
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99), mean };
}
