import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../latency-profile.js';
import { INCIDENT_FIGURES, type IncidentFigures } from './incident-figures.js';
import { drawIncidents, drawIncidentTimes } from './incident-process.js';
import { Weather } from './trouble.js';

const YEAR_MS = 365 * 86_400_000;
const OPENAI = INCIDENT_FIGURES['openai-api-2021-2024'];

/** One incident of 100 hours, every 1,000 hours or so. */
function only(impact: 'minor' | 'major' | 'critical', slowShare = 0): IncidentFigures {
  return {
    gapHours: [{ share: 1, median: 1_000, sigma: 0.1 }],
    impacts: [{ impact, share: 1, minutes: [{ share: 1, median: 6_000, sigma: 0 }] }],
    slowShare,
  };
}

describe('drawn incidents', () => {
  it('are in order and within the simulation, and the same for the same seed', () => {
    const figures = fc.constantFrom(...Object.values(INCIDENT_FIGURES));
    const spans = fc.integer({ min: 1, max: 2 * YEAR_MS });
    fc.assert(
      fc.property(figures, spans, fc.integer(), (each: IncidentFigures, spanMs, seed) => {
        const spells = drawIncidents(each, spanMs, seededRandom(seed));
        expect(JSON.stringify(drawIncidents(each, spanMs, seededRandom(seed)))).toBe(JSON.stringify(spells));
        let before = 0;
        for (const { fromMs, toMs, errorRatio = 0, slowBy = 1 } of spells) {
          expect(fromMs).toBeGreaterThanOrEqual(before);
          expect(toMs).toBeGreaterThan(fromMs);
          expect(toMs).toBeLessThanOrEqual(spanMs);
          expect(errorRatio).toBeGreaterThan(0);
          expect(errorRatio).toBeLessThanOrEqual(1);
          expect(slowBy).toBeGreaterThanOrEqual(1);
          before = fromMs;
        }
      }),
      { numRuns: 100 },
    );
  });

  it('can be under way as the simulation begins', () => {
    const open = Array.from({ length: 2_000 }, (_, seed) => drawIncidents(OPENAI, 1, seededRandom(seed)).length > 0);
    // OpenAI's API had one open 1.8 % of the time.
    const share = open.filter(Boolean).length / open.length;
    expect(share).toBeGreaterThan(0.01);
    expect(share).toBeLessThan(0.03);
  });

  it('of a critical impact are an outage that is let back in steps before it is closed', () => {
    const [incident] = drawIncidentTimes(only('critical'), 2 * YEAR_MS, seededRandom(4));
    const spells = drawIncidents(only('critical'), 2 * YEAR_MS, seededRandom(4)).slice(0, 3);
    expect(spells.map((spell) => spell.errorRatio)).toEqual([1, 0.5, 0.05]);
    expect(spells.map(({ fromMs, toMs }) => (toMs - fromMs) / 3_600_000)).toEqual([
      expect.closeTo(53),
      expect.closeTo(9),
      expect.closeTo(38),
    ]);
    expect(spells[0]?.fromMs).toBe(incident?.fromMs);
  });

  it('of a minor impact are elevated errors but for a few, and of a major one partial outages for two in three', () => {
    for (const { impact, share } of [
      { impact: 'minor', share: 0.075 },
      { impact: 'major', share: 0.66 },
    ] as const) {
      const spells = drawIncidents(only(impact), 200 * YEAR_MS, seededRandom(1));
      // 53 of the 100 hours, if it is an outage at all.
      const heights = spells.filter(({ fromMs, toMs }) => Math.round((toMs - fromMs) / 3_600_000) === 53);
      const incidents = drawIncidentTimes(only(impact), 200 * YEAR_MS, seededRandom(1));
      expect(heights.length / incidents.length).toBeCloseTo(share, 1.3);
      expect(heights.reduce((sum, { errorRatio = 0 }) => sum + errorRatio, 0) / heights.length).toBeCloseTo(0.3, 1.3);
      expect([...new Weather(spells).outages()], 'never down').toEqual([]);
    }
  });

  it('are slow as often as titles say so', () => {
    const spells = drawIncidents(only('minor', 0.25), 200 * YEAR_MS, seededRandom(1));
    const slow = spells.filter(({ slowBy }) => slowBy === 3);
    expect(slow.length / spells.length).toBeCloseTo(0.25, 1.3);
  });

  it('fail with errors, refusals for load and silence', () => {
    const spells = drawIncidents(only('critical'), 50 * YEAR_MS, seededRandom(1));
    expect(new Set(spells.map((spell) => spell.failsWith))).toEqual(new Set(['server_error', 'overloaded']));
    expect(spells.some((spell) => spell.hangs)).toBe(true);
    // Somebody who is let back in is answered.
    expect(spells.filter((spell) => spell.hangs).every((spell) => spell.errorRatio === 1)).toBe(true);
  });
});
