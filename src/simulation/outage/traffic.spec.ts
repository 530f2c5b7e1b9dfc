import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../latency-profile.js';
import type { Arrival } from './run-scenario.js';
import { arrivals, type Traffic, USUAL_DAY } from './traffic.js';

function take(traffic: Traffic, count: number, seed = 7): Arrival[] {
  const requests = arrivals(traffic, seededRandom(seed));
  return Array.from({ length: count }, () => requests.next().value);
}

function gapsOf(traffic: Traffic, count: number): number[] {
  return take(traffic, count).map(({ atMs }, at, all) => atMs - (all[at - 1]?.atMs ?? 0));
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Standard deviation by mean. */
function variation(values: readonly number[]): number {
  const middle = mean(values);
  return Math.sqrt(mean(values.map((value) => (value - middle) ** 2))) / middle;
}

function quantile(values: readonly number[], share: number): number {
  return values.toSorted((a, b) => a - b)[Math.floor(share * values.length)]!;
}

describe('simulated traffic', () => {
  it('comes exactly as far apart as the rate says where it is regular', () => {
    const times = take({ perSecond: 3, pattern: 'regular' }, 180).map(({ atMs }) => atMs);
    expect(times[0]).toBeCloseTo(333.33, 1);
    // The 180th of three a second comes at a minute, and not a rounding error before it.
    expect(times[179]).toBe(60_000);
  });

  it.each([
    { why: 'independent requests', traffic: { perSecond: 20, pattern: 'poisson' }, cv: 1 },
    { why: 'bursts', traffic: { perSecond: 20, pattern: 'bursts' }, cv: 2 },
    { why: 'bursts as asked for', traffic: { perSecond: 20, pattern: 'bursts', burstCv: 3 }, cv: 3 },
    { why: 'more even than chance', traffic: { perSecond: 20, pattern: 'bursts', burstCv: 0.5 }, cv: 0.5 },
  ] as const)('keeps the mean and the variance of its gaps: $why', ({ traffic, cv }) => {
    const gaps = gapsOf(traffic, 50_000);
    expect(mean(gaps) / 50).toBeGreaterThan(0.95);
    expect(mean(gaps) / 50).toBeLessThan(1.05);
    expect(variation(gaps) / cv).toBeGreaterThan(0.93);
    expect(variation(gaps) / cv).toBeLessThan(1.07);
  });

  it('rises and falls over a day, and has its mean in a whole day', () => {
    const hours = Array.from({ length: 24 }, () => 0);
    for (const { atMs } of arrivals({ perSecond: 1, pattern: 'poisson', day: USUAL_DAY }, seededRandom(1))) {
      if (atMs >= 86_400_000) break;
      hours[Math.floor(atMs / 3_600_000)]!++;
    }
    // A standard deviation is 0.34 % of a day's 86,400, and 1.7 % of an hour's.
    expect(hours.reduce((sum, count) => sum + count, 0) / 86_400).toBeCloseTo(1, 1.7);
    expect(Math.max(...hours) / 3_600).toBeCloseTo(1.6, 0.9);
    expect(Math.min(...hours) / 3_600).toBeCloseTo(0.4, 0.9);
    expect((hours[13]! + hours[14]!) / 2).toBeGreaterThan(5 * ((hours[1]! + hours[2]!) / 2) * 0.7);
  });

  it('has the token lengths of the published conversations', () => {
    const requests = take({ perSecond: 1, pattern: 'regular' }, 100_000);
    const published = {
      inputTokens: { 0.5: 1_020, 0.9: 2_735, 0.99: 4_142 },
      outputTokens: { 0.5: 129, 0.9: 424, 0.99: 601 },
    };
    for (const [key, figures] of Object.entries(published)) {
      const drawn = requests.map((request) => request[key as keyof typeof published]);
      for (const [share, tokens] of Object.entries(figures)) {
        const ratio = quantile(drawn, Number(share)) / tokens;
        expect(Math.abs(ratio - 1), `${key} at ${share}: ${ratio}`).toBeLessThan(0.07);
      }
    }
  });

  it('is in order, whole in its tokens, and the same for the same seed, whatever its shape', () => {
    const shape = fc.record({
      perSecond: fc.double({ min: 0.001, max: 2_000, noNaN: true }),
      pattern: fc.constantFrom('regular', 'poisson', 'bursts'),
      burstCv: fc.double({ min: 0.2, max: 5, noNaN: true }),
      day: fc.record({
        peak: fc.double({ min: 1, max: 1.95, noNaN: true }),
        peakAtMs: fc.integer({ min: 0, max: 86_400_000 }),
      }),
    });
    fc.assert(
      fc.property(shape, fc.integer(), (traffic: Traffic, seed) => {
        const requests = take(traffic, 200, seed);
        expect(take(traffic, 200, seed)).toEqual(requests);
        let before = 0;
        for (const { atMs, inputTokens, outputTokens } of requests) {
          expect(atMs).toBeGreaterThanOrEqual(before);
          expect(Number.isFinite(atMs)).toBe(true);
          before = atMs;
          for (const tokens of [inputTokens, outputTokens]) {
            expect(Number.isInteger(tokens) && tokens >= 1).toBe(true);
          }
        }
      }),
      { numRuns: 100 },
    );
  });
});
