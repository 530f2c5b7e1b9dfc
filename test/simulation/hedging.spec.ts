/** What hedging must not do: starve a model that is well, since another one is faster. */
import { expect, it } from 'vitest';
import { loadSettings } from '../../src/config/load-settings.js';
import { runScenario } from '../../src/simulation/outage/run-scenario.js';
import { makeScenario, type ScenarioKind } from '../../src/simulation/outage/scenarios.js';

const WELL: ScenarioKind = {
  name: 'well',
  about: 'Nothing happens.',
  perSecond: 200,
  spanMs: 120_000,
  spells: () => [],
};

function shareOfFirst(isHedged: boolean, streaming: boolean): number {
  const provider = { baseUrl: 'http://localhost/v1', apiKey: 'simulated' };
  const options = {
    providers: { first: provider, second: provider },
    models: { 'gpt-4': { provider: 'first' }, 'gpt-3.5-turbo': { provider: 'second' } },
    chains: { default: ['gpt-4', 'gpt-3.5-turbo'] },
    policy: { hedge: { enabled: isHedged } },
  };
  const settings = loadSettings({ options, readVariable: () => undefined });
  const [ours] = runScenario(makeScenario(WELL, { settings, streaming }), 1, ['ours']).policies;
  return ours!.models[0]!.share;
}

it.each([
  { what: 'plain calls', streaming: false },
  { what: 'streams', streaming: true },
])('a first model that is well keeps its traffic from the first second on, hedged or not: $what', ({ streaming }) => {
  // Everyday failures fall back.
  expect(shareOfFirst(false, streaming)).toBeGreaterThan(0.97);
  // A hedge is at most one request in twenty.
  expect(shareOfFirst(true, streaming)).toBeGreaterThan(0.92);
});
