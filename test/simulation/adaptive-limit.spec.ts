/**
 * Whether a limit of attempts at a time should be learnt rather than set: the figures behind "no" in
 * docs/concepts/simulator.md. The first model is down for five minutes, the second takes 16 requests at a time.
 */
import { describe, expect, it } from 'vitest';
import { loadSettings } from '../../src/config/load-settings.js';
import { runScenario, type Scenario } from '../../src/simulation/outage/run-scenario.js';
import { makeScenario, SCENARIO_KINDS, standardSettings } from '../../src/simulation/outage/scenarios.js';
import { LimitedByLatency, LimitedByRefusals } from './adaptive-board.js';

const CAPACITY = 16;

function withLimit() {
  const provider = { baseUrl: 'http://localhost/v1', apiKey: 'simulated' };
  const models = {
    'gpt-4': { provider: 'first' },
    'gpt-3.5-turbo': { provider: 'second', maxConcurrent: CAPACITY },
  };
  const chains = { default: ['gpt-4', 'gpt-3.5-turbo'] };
  const options = { providers: { first: provider, second: provider }, models, chains };
  return loadSettings({ options, readVariable: () => undefined });
}

/** Over several seeds: which requests come through such an outage is a matter of luck, by two in a hundred. */
const SEEDS = [1, 2, 3];

function availabilityOf(beyondCapacity: 'refuses' | 'slows', more: Partial<Scenario> = {}): number {
  const kind = SCENARIO_KINDS.find(({ name }) => name === 'overload')!;
  const scenario = makeScenario(kind, { settings: standardSettings() });
  const natures = scenario.natures.map((nature) => ({ ...nature, beyondCapacity }));
  const play = (seed: number) =>
    runScenario({ ...scenario, natures, ...more }, seed, ['ours']).policies[0]!.availability;
  return SEEDS.reduce((sum, seed) => sum + play(seed), 0) / SEEDS.length;
}

describe.each(['refuses', 'slows'] as const)('a second model that %s what is too much', (beyond) => {
  const plain = availabilityOf(beyond);
  const limited = availabilityOf(beyond, { settings: withLimit() });

  it(beyond === 'refuses' ? 'answers more where its limit is set' : 'loses nothing by a limit that is set', () => {
    expect(limited).toBeGreaterThan(plain + (beyond === 'refuses' ? 0.05 : -0.02));
  });

  it('gains little by a limit learnt from refusals', () => {
    const learnt = availabilityOf(beyond, { Board: LimitedByRefusals });
    expect(learnt).toBeGreaterThan(plain - 0.01);
    expect(learnt).toBeLessThan(limited + (beyond === 'refuses' ? -0.02 : 0.02));
  });

  it('loses by a limit learnt from latencies, which differ by more than any congestion', () => {
    expect(availabilityOf(beyond, { Board: LimitedByLatency })).toBeLessThan(plain - 0.1);
  });
});
