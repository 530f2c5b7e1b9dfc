import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LatencyWindow } from './latency-window.js';

describe('the latencies of a model', () => {
  it('have exact quantiles over the last 512', () => {
    const samples = fc.array(fc.integer({ min: 0, max: 60_000 }), { minLength: 1, maxLength: 1_200 });
    fc.assert(
      fc.property(samples, fc.double({ min: 0, max: 1, noNaN: true }), (all, q) => {
        const window = new LatencyWindow();
        for (const ms of all) window.add(ms);
        const sorted = all.slice(-512).toSorted((a, b) => a - b);
        expect(window.quantile(q)).toBe(sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)]);
      }),
    );
  });

  it('may be a few samples old once there are many, and are exact where they are shown', () => {
    const window = new LatencyWindow();
    for (let ms = 1; ms <= 200; ms++) window.add(ms);
    expect(window.quantile(1)).toBe(200);
    window.add(9_999);
    expect(window.quantile(1)).toBe(200);
    expect(window.quantiles().p99).toBe(199);
    for (let i = 0; i < 32; i++) window.add(9_999);
    expect(window.quantile(1)).toBe(9_999);
  });

  it('are zero while there is none', () => {
    expect(new LatencyWindow().quantiles()).toEqual({ p50: 0, p95: 0, p99: 0, mean: 0 });
  });
});
