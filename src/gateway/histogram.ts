/** Where times lie, as bars of text. Buckets grow with the time, since a few slow answers would squeeze the rest into one. */
const BUCKETS = 10;
const BAR_WIDTH = 40;

/** @param values milliseconds; none give no line. @returns one line per bucket, from the fastest to the slowest. */
export function histogram(values: readonly number[]): string[] {
  if (values.length === 0) return [];
  const least = Math.max(1, Math.min(...values));
  const most = Math.max(least, ...values);
  const step = (most / least) ** (1 / BUCKETS);
  const counts = Array.from({ length: BUCKETS }, () => 0);
  for (const value of values) {
    const bucket = step === 1 ? 0 : Math.floor(Math.log(Math.max(value, least) / least) / Math.log(step));
    const index = Math.min(bucket, BUCKETS - 1);
    counts[index] = (counts[index] ?? 0) + 1;
  }
  const highest = Math.max(...counts);
  const bounds = counts.map((_, index) => Math.round(least * step ** (index + 1)));
  const width = String(bounds.at(-1)).length;
  return counts.map((count, index) => {
    const bar = '█'.repeat(Math.ceil((count / highest) * BAR_WIDTH));
    return `up to ${String(bounds[index]).padStart(width)} ms  ${bar}${bar === '' ? '' : ' '}${count}`;
  });
}
