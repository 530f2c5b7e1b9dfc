/**
 * Which scenarios a simulation plays, on the user's own chain: those that are named, incidents of the user's own, and all of
 * it with the requests of the user's own log where there is one.
 */
import { readFile } from 'node:fs/promises';
import { FallbackConfigError } from '../../config/config-error.js';
import type { Settings } from '../../config/settings.js';
import { seededRandom } from '../../simulation/latency-profile.js';
import { readIncidents } from '../../simulation/outage/incident-file.js';
import { drawYears, makeYears } from '../../simulation/outage/incident-scenario.js';
import { InputError } from '../../simulation/outage/input-table.js';
import { readRequestLog } from '../../simulation/outage/request-log.js';
import type { Scenario } from '../../simulation/outage/run-scenario.js';
import {
  makeScenario,
  SCENARIO_KINDS,
  type ScenarioKind,
  type ScenarioRules,
} from '../../simulation/outage/scenarios.js';
import { withLog } from './simulate-log.js';
import { countOf } from './simulate-words.js';

const ALL = 'all';
export const YEARS = 'three-years';

/**
 * Where none is named: the first model is in trouble, in each of these ways, and another one is well. What no policy can
 * answer (`total-outage`) is asked for by name.
 */
export const USUAL_SCENARIOS: readonly string[] = ['hang', 'errors', 'slow', 'flapping', 'blip'];

export const SCENARIO_NAMES: readonly string[] = [...SCENARIO_KINDS.map(({ name }) => name), YEARS];

/** For `--help`. */
export const SCENARIO_HELP = `${SCENARIO_NAMES.join(', ')}, or ${ALL}; without it: ${USUAL_SCENARIOS.join(', ')}`;

export function isScenario(name: string): boolean {
  return name === ALL || SCENARIO_NAMES.includes(name);
}

/** Over years: about one in five minutes in three of them, which is what takes seconds to play. */
const REQUESTS_OF_YEARS = 300_000;

export interface ScenarioChoice {
  readonly seed: number;
  readonly scenario?: readonly string[];
  readonly chain?: string;
  /** About so many requests each, instead of the scenario's own. */
  readonly requests?: number;
  readonly replicas: number;
  readonly shared?: boolean;
  readonly stream?: boolean;
  /** A file with the user's own incidents: a scenario of its own. */
  readonly incidents?: string;
  /** A file with the user's own requests. */
  readonly log?: string;
}

export interface ChosenScenario {
  readonly scenario: Scenario;
  /** Whether another order of the models is worth a try: not where the scenario breaks whichever is the first. */
  readonly mayReorder: boolean;
}

/** @throws FallbackConfigError where there is no such chain, or a file cannot be read. */
export async function chosenScenarios(choice: ScenarioChoice, configured: Settings): Promise<ChosenScenario[]> {
  const rules: ScenarioRules = {
    settings: ofChain(configured, choice.chain),
    ...(choice.stream && { streaming: true }),
    replicas: choice.replicas,
    sharedState: choice.shared === true,
  };
  const { incidents, log, requests, scenario: named } = choice;
  const names = named ?? (incidents === undefined ? USUAL_SCENARIOS : []);
  const isChosen = (name: string) => names.includes(ALL) || names.includes(name);
  const years = { ...choice, requests: requests ?? REQUESTS_OF_YEARS };
  const chosen: ChosenScenario[] = [
    ...SCENARIO_KINDS.filter(({ name }) => isChosen(name)).map((kind) => {
      return { scenario: makeScenario(withRequests(kind, requests), rules), mayReorder: false };
    }),
    ...(isChosen(YEARS)
      ? [{ scenario: makeYears(drawYears(rules, choice.seed, years.requests)), mayReorder: true }]
      : []),
    ...(incidents === undefined
      ? []
      : [{ scenario: await ownIncidents(incidents, rules, years.requests), mayReorder: true }]),
  ];
  if (log === undefined) return chosen;
  const own = await readInput(log, (text) => readRequestLog(text, seededRandom(choice.seed)));
  return chosen.map(({ scenario, mayReorder }) => {
    return { scenario: withLog(scenario, own, mayReorder ? years.requests : requests), mayReorder };
  });
}

async function ownIncidents(file: string, rules: ScenarioRules, requests: number): Promise<Scenario> {
  const { spells, spanMs, ignored } = await readInput(file, readIncidents);
  if (spanMs === 0) throw new FallbackConfigError([`${file}: no incident in it counts`]);
  const left = ignored === 0 ? '' : `; ${countOf(ignored, 'row')} of the table left out`;
  const about = `Incidents as a table lists them for ${[...spells.keys()].join(' and ')}${left}.`;
  return makeYears({ ...rules, name: 'incidents', about, spanMs, requests, spells });
}

async function readInput<T>(file: string, read: (text: string) => T): Promise<T> {
  try {
    return read(await readFile(file, 'utf8'));
  } catch (error) {
    if (error instanceof InputError)
      throw new FallbackConfigError(error.message.split('\n').map((fault) => `${file}: ${fault}`));
    const code = error instanceof Error && 'code' in error ? String(error.code) : undefined;
    if (code === undefined) throw error;
    throw new FallbackConfigError([`${file}: cannot be read: ${code === 'ENOENT' ? 'no such file' : code}`]);
  }
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
