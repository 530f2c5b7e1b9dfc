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

function availabilityOf(beyondCapacity: 'refuses' | 'slows', more: Partial<Scenario> = {}): number {
  const kind = SCENARIO_KINDS.find(({ name }) => name === 'overload')!;
  const scenario = makeScenario(kind, { settings: standardSettings() });
  const natures = scenario.natures.map((nature) => ({ ...nature, beyondCapacity }));
  return runScenario({ ...scenario, natures, ...more }, 1, ['ours']).policies[0]!.availability;
}

describe.each(['refuses', 'slows'] as const)('a second model that %s what is too much', (beyond) => {
  const plain = availabilityOf(beyond);

  it('answers more where its limit is set', () => {
    expect(availabilityOf(beyond, { settings: withLimit() })).toBeGreaterThan(plain + 0.015);
  });

  it('gains little by a limit learnt from refusals', () => {
    const learnt = availabilityOf(beyond, { Board: LimitedByRefusals });
    expect(learnt).toBeGreaterThanOrEqual(plain);
    expect(learnt).toBeLessThan(availabilityOf(beyond, { settings: withLimit() }) - 0.02);
  });

  it('loses by a limit learnt from latencies, which differ by more than any congestion', () => {
    expect(availabilityOf(beyond, { Board: LimitedByLatency })).toBeLessThan(plain - 0.1);
  });
});
