/** What the policies come to in the standard scenarios, over several seeds: the promises of the README, in virtual time. */
import { describe, expect, it } from 'vitest';
import { runScenario, type Scenario } from '../../src/simulation/outage/run-scenario.js';
import type { PolicyName, PolicyReport, ScenarioReport } from '../../src/simulation/outage/report.js';
import { makeScenario, SCENARIO_KINDS, standardSettings } from '../../src/simulation/outage/scenarios.js';

const SEEDS = [1, 2, 3];

function scenario(name: string, more: Partial<Scenario> = {}): Scenario {
  const kind = SCENARIO_KINDS.find((each) => each.name === name);
  if (!kind) throw new Error(`no scenario ${name}`);
  return { ...makeScenario(kind, { settings: standardSettings() }), ...more };
}

function ours(of: Scenario, seed: number): PolicyReport {
  return policyOf(runScenario(of, seed, ['ours']), 'ours');
}

function policyOf(report: ScenarioReport, name: PolicyName): PolicyReport {
  return report.policies.find((each) => each.policy === name)!;
}

describe.each([
  { what: 'one replica', more: { replicas: 1, sharedState: true } },
  { what: 'ten replicas that know nothing of each other', more: { replicas: 10, sharedState: false } },
  { what: 'ten replicas that share what they know', more: { replicas: 10, sharedState: true } },
])('a total outage of a minute at 200 requests a second, $what', ({ more }) => {
  const reports = SEEDS.map((seed) => ours(scenario('total-outage', more), seed));

  it('asks hardly any model while all are down, and says so at once', () => {
    for (const { attemptsPerRequestInOutage, refusalMsInOutage, models } of reports) {
      // Each replica tries once a second.
      expect(attemptsPerRequestInOutage).toBeLessThan(0.06);
      if (more.sharedState) expect(refusalMsInOutage?.p99).toBeLessThan(20);
      const whileDown = models.reduce((sum, { attemptsWhileDown }) => sum + attemptsWhileDown, 0);
      expect(whileDown / (200 * 60)).toBeLessThan(0.1);
    }
  });

  it('answers again within 15 s of the recovery, without a spike', () => {
    for (const { recoveries } of reports) {
      expect(recoveries).toHaveLength(2);
      for (const { answeredAgainMs, peak } of recoveries) {
        expect(answeredAgainMs).toBeLessThan(15_000);
        expect(peak).toBeLessThan(1.5);
      }
    }
  });
});

it('a first model that hangs costs hardly more than the second one alone', () => {
  const both = scenario('hang');
  const second = { ...both, natures: both.natures.slice(1) };
  for (const seed of SEEDS) {
    const own = policyOf(runScenario(second, seed, ['first only']), 'first only');
    expect(ours(both, seed).waitMs.p99).toBeLessThan(own.waitMs.p99 * 1.2);
  }
});

it.each(['errors', 'slow', 'flapping', 'blip'])('at least 9,999 of 10,000 are answered: %s', (name) => {
  for (const seed of SEEDS) expect(ours(scenario(name), seed).availability).toBeGreaterThanOrEqual(0.9999);
});

it('a model that is down for a minute is asked at most nine times and is used again within 16 s, whatever the jitter', () => {
  const blip = scenario('blip');
  for (let seed = 1; seed <= 300; seed++) {
    const offsetMs = (seed * 4_000) / 300;
    const arrivals = function* () {
      for (let atMs = offsetMs; ; atMs += 4_000) yield { atMs, inputTokens: 500, outputTokens: 50 };
    };
    // Only the outage: an everyday failure beside it is another story.
    const natures = blip.natures.map((nature) => ({ ...nature, everydayErrorRatio: 0 }));
    const { models, recoveries, availability } = ours({ ...blip, natures, arrivals }, seed);
    expect(models[0]?.attemptsWhileDown, `seed ${seed}`).toBeLessThanOrEqual(9);
    expect(recoveries[0]?.usedAgainMs, `seed ${seed}`).toBeLessThanOrEqual(16_000);
    expect(availability).toBe(1);
  }
});

it('is the same, byte by byte, for the same seed, and another for another', () => {
  const report = (seed: number): string => JSON.stringify(runScenario(scenario('flapping'), seed));
  const first = report(7);
  expect(report(7)).toBe(first);
  expect(report(8)).not.toBe(first);
});

it('plays a million requests in less than 30 s', () => {
  const errors = scenario('errors');
  const before = process.cpuUsage();
  const { requests } = ours({ ...errors, spanMs: 50_000_000 }, 1);
  // Of one core: other tests run beside it.
  const { user, system } = process.cpuUsage(before);
  expect(requests).toBeGreaterThan(990_000);
  expect((user + system) / 1_000).toBeLessThan(30_000);
}, 120_000);
