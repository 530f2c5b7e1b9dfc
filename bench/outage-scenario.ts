/**
 * The total outage that both go through: the simulator in virtual time, the running app on sockets. One plan gives the
 * models, their weather, the requests and the rules to whichever process needs them.
 *
 * Everything of the simulator comes from the build, as the app does.
 */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

export interface OutagePlan {
  readonly seed: number;
  readonly perSecond: number;
  /** How long all is well, all is down, and all is well again. */
  readonly usualMs: number;
  readonly outageMs: number;
  readonly afterMs: number;
  /** Rules and models are so many times as fast as usual; 1 in what is measured. */
  readonly faster: number;
}

export const FULL: OutagePlan = {
  seed: 1,
  perSecond: 200,
  usualMs: 60_000,
  outageMs: 60_000,
  afterMs: 60_000,
  faster: 1,
};
/** A breaker's window is 6 s long, a minute's outage twelve. */
export const SHORT: OutagePlan = { ...FULL, usualMs: 5_000, outageMs: 12_000, afterMs: 9_000, faster: 5 };

export function spanMsOf({ usualMs, outageMs, afterMs }: OutagePlan): number {
  return usualMs + outageMs + afterMs;
}

interface Simulator {
  readonly runs: typeof import('../src/simulation/outage/run-scenario.js');
  readonly scenarios: typeof import('../src/simulation/outage/scenarios.js');
  readonly fields: typeof import('../src/simulation/outage/field.js');
  readonly tallies: typeof import('../src/simulation/outage/tally.js');
  readonly config: typeof import('../src/config/load-settings.js');
  readonly policy: typeof import('../src/policy/policy.js');
}

/** @param dist the build. */
export async function loadSimulator(dist: string): Promise<Simulator> {
  const built = async (path: string) => import(pathToFileURL(join(dist, path)).href);
  return {
    runs: await built('simulation/outage/run-scenario.js'),
    scenarios: await built('simulation/outage/scenarios.js'),
    fields: await built('simulation/outage/field.js'),
    tallies: await built('simulation/outage/tally.js'),
    config: await built('config/load-settings.js'),
    policy: await built('policy/policy.js'),
  };
}

export type OutageScenario = Parameters<Simulator['runs']['runScenario']>[0];

const MODELS = ['gpt-4', 'gpt-3.5-turbo'] as const;

/** A configuration as a file holds it: all rules are the defaults, or so many times as fast. */
export function configOf({ policy }: Simulator, { faster }: OutagePlan, baseUrl: string, apiKey: string): object {
  const rules = faster === 1 ? {} : { policy: quickened(policy.DEFAULT_POLICY, faster) };
  const provider = { baseUrl, apiKey };
  return {
    providers: { first: provider, second: provider },
    models: { [MODELS[0]]: { provider: 'first' }, [MODELS[1]]: { provider: 'second' } },
    chains: { default: MODELS },
    ...rules,
  };
}

export function scenarioOf(simulator: Simulator, plan: OutagePlan): OutageScenario {
  const { scenarios, config } = simulator;
  const { usualMs, outageMs, perSecond, faster } = plan;
  const options = configOf(simulator, plan, 'http://127.0.0.1:9/v1', 'simulated');
  const settings = config.loadSettings({ options, readVariable: () => undefined });
  const outage = { fromMs: usualMs, toMs: usualMs + outageMs, errorRatio: 1 };
  const scenario = scenarios.makeScenario(
    {
      name: 'total outage',
      about: 'Every model answers 500.',
      perSecond,
      spanMs: spanMsOf(plan),
      streaming: true,
      spells: () => [outage],
    },
    { settings },
  );
  const natures = scenario.natures.map(({ latency, ...nature }) => ({
    ...nature,
    latency: {
      ...latency,
      ttftP50Ms: latency.ttftP50Ms / faster,
      tokensPerSecond: latency.tokensPerSecond * faster,
    },
  }));
  return { ...scenario, natures };
}

/** Every length of it so many times as short, in whole milliseconds. */
function quickened(rules: object, times: number): object {
  return Object.fromEntries(
    Object.entries(rules).map(([key, value]: [string, unknown]) => {
      if (typeof value === 'number' && key.endsWith('Ms')) return [key, Math.max(1, Math.round(value / times))];
      return [key, typeof value === 'object' && value !== null ? quickened(value, times) : value];
    }),
  );
}

/** On the clock that all processes of a machine share. */
export function epochMs(): number {
  return performance.timeOrigin + performance.now();
}
