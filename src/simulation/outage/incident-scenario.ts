/** Years of incidents, drawn from the fitted figures or read from a table of one's own, over the providers of a chain. */
import type { ModelSettings } from '../../config/settings.js';
import { seededRandom } from '../latency-profile.js';
import { INCIDENT_FIGURES } from './incident-figures.js';
import { drawIncidents } from './incident-process.js';
import type { Scenario } from './run-scenario.js';
import { chainModels, natureOf, type ScenarioRules } from './scenarios.js';
import type { Spell } from './trouble.js';
import { arrivals, USUAL_DAY } from './traffic.js';

export interface YearsRules extends ScenarioRules {
  readonly name: string;
  readonly about: string;
  readonly spanMs: number;
  /** Over the whole span: one a minute is half a million a year. */
  readonly requests: number;
  /** Per provider, as whoever listed them calls it. */
  readonly spells: ReadonlyMap<string, readonly Spell[]>;
}

const YEAR_MS = 365 * 86_400_000;
export const DRAWN_YEARS = 3;
/** Dealt to the providers of a chain in turn. */
const DRAWN_FROM = [INCIDENT_FIGURES['openai-api-2021-2024'], INCIDENT_FIGURES['anthropic-api-2023-2024']] as const;

/** @returns three years of incidents for each provider of the chain, each of chance of its own. */
export function drawYears(rules: ScenarioRules, seed: number, requests: number): YearsRules {
  const spanMs = DRAWN_YEARS * YEAR_MS;
  const providers = providersOf(chainModels(rules.settings));
  const spells = providers.map((provider, i) => {
    const random = seededRandom(Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(i + 1, 0x85ebca6b));
    return [provider, drawIncidents(DRAWN_FROM[i % DRAWN_FROM.length]!, spanMs, random)] as const;
  });
  return {
    ...rules,
    name: 'three-years',
    about: `Three years of incidents at ${providers.join(' and ')}, drawn from what status pages have told.`,
    spanMs,
    requests,
    spells: new Map(spells),
  };
}

/** A provider that nothing is known of has no incidents. */
export function makeYears(rules: YearsRules): Scenario {
  const { name, about, spanMs, requests, spells, settings } = rules;
  const { streaming = false, replicas = 1, sharedState = false } = rules;
  const models = chainModels(settings);
  const dealt = dealSpells(providersOf(models), spells);
  const perSecond = (requests * 1_000) / spanMs;
  return {
    name,
    about,
    spanMs,
    settings,
    streaming,
    replicas,
    sharedState,
    natures: models.map((model) => natureOf(model, dealt.get(model.provider.name) ?? [])),
    arrivals: rules.arrivals ?? ((random) => arrivals({ perSecond, pattern: 'poisson', day: USUAL_DAY }, random)),
  };
}

/** A provider gets the incidents of its own name; the others get what is left, in order. */
function dealSpells(providers: readonly string[], spells: YearsRules['spells']): ReadonlyMap<string, readonly Spell[]> {
  const left = [...spells.keys()].filter((name) => !providers.includes(name));
  return new Map(providers.map((provider) => [provider, spells.get(provider) ?? spells.get(left.shift() ?? '') ?? []]));
}

function providersOf(models: readonly ModelSettings[]): string[] {
  return [...new Set(models.map((model) => model.provider.name))];
}
