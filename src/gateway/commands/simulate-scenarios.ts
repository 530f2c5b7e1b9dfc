/** Which scenarios a simulation plays: those that are named, on the user's own chain. */
import { FallbackConfigError } from '../../config/config-error.js';
import type { Settings } from '../../config/settings.js';
import type { Scenario } from '../../simulation/outage/run-scenario.js';
import { makeScenario, SCENARIO_KINDS, type ScenarioKind } from '../../simulation/outage/scenarios.js';

const ALL = 'all';

/**
 * Where none is named: the first model is in trouble, in each of these ways, and another one is well. What no policy can
 * answer (`total-outage`) is asked for by name.
 */
const USUAL: readonly string[] = ['hang', 'errors', 'slow', 'flapping', 'blip'];

export const SCENARIO_NAMES: readonly string[] = SCENARIO_KINDS.map(({ name }) => name);

/** For `--help`. */
export const SCENARIO_HELP = `${SCENARIO_NAMES.join(', ')}, or ${ALL}; without it: ${USUAL.join(', ')}`;

export function isScenario(name: string): boolean {
  return name === ALL || SCENARIO_NAMES.includes(name);
}

export interface ScenarioChoice {
  readonly scenario?: readonly string[];
  readonly chain?: string;
  /** About so many requests each, instead of the scenario's own. */
  readonly requests?: number;
  readonly replicas: number;
  readonly shared?: boolean;
  readonly stream?: boolean;
}

export interface ChosenScenario {
  readonly scenario: Scenario;
  /** Whether another order of the models is worth a try: not where the scenario breaks whichever is the first. */
  readonly mayReorder: boolean;
}

/** @throws FallbackConfigError where there is no such chain. */
export function chosenScenarios(choice: ScenarioChoice, configured: Settings): ChosenScenario[] {
  const settings = ofChain(configured, choice.chain);
  const names = choice.scenario ?? USUAL;
  return SCENARIO_KINDS.filter(({ name }) => names.includes(ALL) || names.includes(name)).map((kind) => {
    const scenario = makeScenario(withRequests(kind, choice.requests), {
      settings,
      ...(choice.stream && { streaming: true }),
      replicas: choice.replicas,
      sharedState: choice.shared === true,
    });
    return { scenario, mayReorder: false };
  });
}

/** The simulation asks the chain `default`. */
function ofChain(settings: Settings, name: string | undefined): Settings {
  if (name === undefined) return settings;
  const chain = settings.chains.get(name);
  if (!chain)
    throw new FallbackConfigError([`--chain ${name}: expected one of ${[...settings.chains.keys()].join(', ')}`]);
  return { ...settings, chains: new Map([['default', { ...chain, name: 'default' }]]) };
}

function withRequests(kind: ScenarioKind, requests: number | undefined): ScenarioKind {
  return requests === undefined ? kind : { ...kind, perSecond: (requests * 1_000) / kind.spanMs };
}
