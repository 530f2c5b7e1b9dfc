import { describe, expect, it } from 'vitest';
import { madeUpReport } from '../../../test/app/made-up-report.js';
import { MOST_POINTS, plotsOf } from './simulate-plots.js';

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;

describe('the plots of a simulation', () => {
  it('show each policy with what it was asked and what it answered, each second', () => {
    const report = madeUpReport();
    const { answers, points, stepMs } = plotsOf(report);
    expect({ points, stepMs }).toEqual({ points: 180, stepMs: 1_000 });
    expect(answers.map(({ title, subtitle, unit }) => [title, subtitle, unit])).toContainEqual([
      'first only',
      '66.6 % answered',
      'requests a second',
    ]);
    const { timeline } = report.policies[0]!;
    expect(answers[0]!.curves.map(({ values }) => values)).toEqual([timeline.requests, timeline.answered]);
  });

  it('have the same heights where they are compared', () => {
    const { answers, attempts } = plotsOf(madeUpReport());
    for (const plots of [answers, attempts]) expect(new Set(plots.map(({ range }) => String(range))).size).toBe(1);
    const values = attempts.flatMap(({ curves }) => curves.flatMap((curve) => curve.values.map(Number)));
    expect(attempts[0]!.range).toEqual([0, Math.max(...values)]);
  });

  it('are thinned out where they have more points than a screen, and what was counted stays', () => {
    const report = madeUpReport({ spanMs: 500 * DAY_MS + HOUR_MS, stepMs: HOUR_MS });
    const { answers, points, stepMs, wait } = plotsOf(report);
    expect(points).toBeLessThanOrEqual(MOST_POINTS);
    expect(points * stepMs).toBeGreaterThanOrEqual(report.spanMs);
    const [asked] = answers[0]!.curves;
    expect(asked!.values).toHaveLength(points);
    const mean = asked!.values.reduce<number>((sum, value) => sum + value!, 0) / points;
    expect(mean).toBeCloseTo(report.requests / (report.spanMs / HOUR_MS), 1);
    const longest = Math.max(...report.policies[1]!.timeline.waitP99Ms);
    expect(Math.max(...wait.curves[1]!.values.map(Number))).toBeCloseTo(longest, -1);
  });

  it('count in a time in which there is something to count', () => {
    const units = [HOUR_MS / 2, DAY_MS * 30].map((stepMs) => {
      return plotsOf(madeUpReport({ spanMs: 180 * stepMs, stepMs })).answers[0]!.unit;
    });
    expect(units).toEqual(
      ['requests a minute', 'requests a day'].map((_, i) => ['requests an hour', 'requests a day'][i]),
    );
  });

  it('leave a gap in the waits where nothing was answered', () => {
    const { wait } = plotsOf(madeUpReport());
    const firstOnly = wait.curves[0]!.values;
    expect([firstOnly[59], firstOnly[60], firstOnly[119], firstOnly[120]].map((ms) => ms === null)).toEqual([
      false,
      true,
      true,
      false,
    ]);
  });

  it('are told in words to those who cannot see them', () => {
    const { answers, attempts, wait } = plotsOf(madeUpReport());
    expect(answers[0]!.text).toMatch(
      /^first only: [\d,]+ of [\d,]+ requests answered\. Fewest after 1 min: 0 of \d+ a second\.$/u,
    );
    expect(attempts[3]!.text).toMatch(
      /^ours: [\d,]+ attempts on gpt-4, \d+ of them while it was down, at most \d+ a second; [\d,]+ attempts on gpt-3\.5-turbo, at most \d+ a second\.$/u,
    );
    expect(wait.text).toContain('ours 2.1 s, longest 2.9 s');
  });
});
