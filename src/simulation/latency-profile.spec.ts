import { describe, expect, it } from 'vitest';
import { drawTokenMs, drawTtftMs, hashText, profileFor, seededRandom } from './latency-profile.js';

function draw(seed: number, count: number): number[] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, () => drawTtftMs(profileFor('gpt-4'), random));
}

describe('simulated latencies', () => {
  it('repeat with the seed and differ without it', () => {
    expect(draw(7, 20)).toEqual(draw(7, 20));
    expect(draw(7, 20)).not.toEqual(draw(8, 20));
  });

  it('have the median and the long tail of the measurements', () => {
    const sorted = draw(1, 20_001).toSorted((a, b) => a - b);
    const median = sorted[10_000] ?? 0;
    expect(median / 912).toBeCloseTo(1, 1);
    // Lognormal, sigma 0.8: p95 is e^(1.645 * 0.8) = 3.7 medians.
    expect((sorted[19_000] ?? 0) / median).toBeCloseTo(3.7, 0);
  });

  it('give small models the faster profile, by their names', () => {
    expect(profileFor('gpt-3.5-turbo').ttftP50Ms).toBeLessThan(profileFor('gpt-4').ttftP50Ms);
    expect(profileFor('gpt-4o-mini')).toBe(profileFor('gpt-3.5-turbo'));
  });

  it('keep the mean pace of the tokens', () => {
    const random = seededRandom(hashText('pace'));
    const waits = Array.from({ length: 10_000 }, () => drawTokenMs(profileFor('gpt-4'), random));
    expect(waits.reduce((sum, ms) => sum + ms, 0) / 10_000).toBeCloseTo(1000 / 44.8, 0);
  });
});
