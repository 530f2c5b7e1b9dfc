import { describe, expect, it } from 'vitest';
import type { RequestLog } from '../../simulation/outage/request-log.js';
import type { Arrival, Scenario } from '../../simulation/outage/run-scenario.js';
import { makeScenario, SCENARIO_KINDS, standardSettings } from '../../simulation/outage/scenarios.js';
import { withLog } from './simulate-log.js';

const BLIP = makeScenario(
  SCENARIO_KINDS.find(({ name }) => name === 'blip')!,
  { settings: standardSettings() },
);
const LOG: RequestLog = {
  arrivals: [0, 1_000, 5_000].map((atMs, i) => ({ atMs, inputTokens: 100 + i, outputTokens: 10 + i })),
  spanMs: 5_000,
  models: new Map(),
};

function first(scenario: Scenario, count: number): Arrival[] {
  const arrivals = scenario.arrivals(() => 0.5);
  return Array.from({ length: count }, () => arrivals.next().value as Arrival);
}

describe("a simulation with the user's own requests", () => {
  it('plays them as they came, again and again', () => {
    const played = first(withLog(BLIP, LOG), 5);
    // A round ends a usual gap after its last request.
    expect(played.map(({ atMs }) => atMs)).toEqual([0, 1_000, 5_000, 7_500, 8_500]);
    expect(played.map(({ inputTokens }) => inputTokens)).toEqual([100, 101, 102, 100, 101]);
  });

  it('stretches their pace to a number of requests', () => {
    const { spanMs } = BLIP;
    const played = first(withLog(BLIP, LOG, 300), 301);
    expect(played[299]!.atMs).toBeLessThan(spanMs);
    expect(played[300]!.atMs).toBeCloseTo(spanMs, 6);
    expect(played[1]!.atMs / played[2]!.atMs).toBeCloseTo(0.2, 9);
  });

  it('takes latencies and failures from it, where it tells enough of a model', () => {
    const latency = { ttftP50Ms: 100, ttftSigma: 0.1, tokensPerSecond: 50 };
    const models = new Map([
      ['gpt-4', { attempts: 1_000, failureRatio: 0.07, latency }],
      ['gpt-3.5-turbo', { attempts: 12, failureRatio: 0.5 }],
    ]);
    const [big, small] = withLog(BLIP, { ...LOG, models }).natures;
    expect(big).toMatchObject({ latency, everydayErrorRatio: 0.07, spells: BLIP.natures[0]!.spells });
    expect(small).toEqual(BLIP.natures[1]);
  });

  it('goes on with a log of one request', () => {
    const [one] = LOG.arrivals;
    expect(first(withLog(BLIP, { ...LOG, arrivals: [one!], spanMs: 0 }), 2).map(({ atMs }) => atMs)).toEqual([
      0, 1_000,
    ]);
  });
});
