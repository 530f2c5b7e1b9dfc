/**
 * What may happen to a chain: outages to put any chain through. Each takes the chain as it is configured and breaks its
 * models; what a model is like on any day comes from published figures (latency-profile.ts, incident-figures.ts).
 */
import { loadSettings } from '../../config/load-settings.js';
import type { ModelSettings, Settings } from '../../config/settings.js';
import { profileFor } from '../latency-profile.js';
import type { ModelNature } from './field.js';
import { arrivals } from './traffic.js';
import { BACKGROUND_FAILURE_RATIO } from './incident-figures.js';
import type { Scenario } from './run-scenario.js';
import type { Spell } from './trouble.js';

export interface ScenarioKind {
  readonly name: string;
  /** One sentence: what happens in it. */
  readonly about: string;
  /** Requests per second. */
  readonly perSecond: number;
  readonly spanMs: number;
  readonly countedFromMs?: number;
  readonly streaming?: boolean;
  /** Exactly as far apart as the rate says, instead of by chance. */
  readonly isRegular?: boolean;
  /** What is wrong with the model at this place of the chain. */
  readonly spells: (place: number) => readonly Spell[];
  /** How many attempts at a time the models after the first can take. */
  readonly capacityOfOthers?: number;
}

const SECOND = 1_000;
const MINUTE = 60_000;
const DOWN = { errorRatio: 1 } as const;

const firstHas =
  (...spells: readonly Spell[]) =>
  (place: number) =>
    place === 0 ? spells : [];

/** The others name themselves by what breaks. */
export const SCENARIO_KINDS: readonly ScenarioKind[] = [
  {
    name: 'total-outage',
    about: 'Every model answers 500 for a minute, at 200 streams a second.',
    streaming: true,
    perSecond: 200,
    spanMs: 4 * MINUTE,
    spells: () => [{ fromMs: MINUTE, toMs: 2 * MINUTE, ...DOWN }],
  },
  {
    name: 'hang',
    about: 'The first model accepts requests and never answers; counted once that has shown.',
    perSecond: 20,
    spanMs: 20 * MINUTE,
    countedFromMs: 2.5 * MINUTE,
    spells: firstHas({ fromMs: MINUTE, toMs: Infinity, hangs: true }),
  },
  {
    name: 'errors',
    about: 'The first model fails three requests in ten.',
    perSecond: 20,
    spanMs: 20 * MINUTE,
    spells: firstHas({ fromMs: MINUTE, toMs: Infinity, errorRatio: 0.3 }),
  },
  {
    name: 'slow',
    about: 'The first model takes three times as long.',
    perSecond: 20,
    spanMs: 20 * MINUTE,
    spells: firstHas({ fromMs: MINUTE, toMs: Infinity, slowBy: 3 }),
  },
  {
    name: 'flapping',
    about: 'The first model is down for 20 s, up for 20 s, and so on.',
    perSecond: 20,
    spanMs: 20 * MINUTE,
    spells: firstHas(
      ...Array.from({ length: 28 }, (_, i) => {
        const fromMs = MINUTE + i * 40 * SECOND;
        return { fromMs, toMs: fromMs + 20 * SECOND, ...DOWN };
      }),
    ),
  },
  {
    name: 'blip',
    about: 'The first model is down for a minute, with a request every 4 s.',
    perSecond: 0.25,
    isRegular: true,
    spanMs: 10 * MINUTE,
    spells: firstHas({ fromMs: MINUTE, toMs: 2 * MINUTE, ...DOWN }),
  },
  {
    name: 'rate-limit',
    about: 'The first model refuses all requests for a minute and says to come back after 20 s.',
    perSecond: 20,
    spanMs: 5 * MINUTE,
    spells: firstHas({
      fromMs: MINUTE,
      toMs: 2 * MINUTE,
      errorRatio: 1,
      failsWith: 'rate_limited',
      retryAfterMs: 20 * SECOND,
      errorMs: 50,
    }),
  },
  {
    name: 'overload',
    about: 'The first model is down for five minutes; the others can take only 16 requests at a time.',
    perSecond: 40,
    spanMs: 10 * MINUTE,
    spells: firstHas({ fromMs: MINUTE, toMs: 6 * MINUTE, ...DOWN }),
    capacityOfOthers: 16,
  },
];

/** Two models at two providers, where the user has no configuration of his own to try. */
export function standardSettings(): Settings {
  const provider = { baseUrl: 'http://localhost/v1', apiKey: 'simulated' };
  const options = {
    providers: { openai: provider, another: provider },
    models: {
      'gpt-4': { provider: 'openai', price: { inputPerMTok: 30, outputPerMTok: 60 } },
      'gpt-3.5-turbo': { provider: 'another', price: { inputPerMTok: 0.5, outputPerMTok: 1.5 } },
    },
    chains: { default: ['gpt-4', 'gpt-3.5-turbo'] },
  };
  return loadSettings({ options, readVariable: () => undefined });
}

export interface ScenarioRules {
  readonly settings: Settings;
  readonly streaming?: boolean;
  readonly replicas?: number;
  readonly sharedState?: boolean;
  readonly arrivals?: Scenario['arrivals'];
}

export function makeScenario(kind: ScenarioKind, rules: ScenarioRules): Scenario {
  const { settings, streaming = kind.streaming ?? false, replicas = 1, sharedState = false } = rules;
  const { name, about, spanMs, countedFromMs, perSecond, isRegular, capacityOfOthers } = kind;
  return {
    name,
    about,
    spanMs,
    settings,
    streaming,
    replicas,
    sharedState,
    ...(countedFromMs !== undefined && { countedFromMs }),
    natures: chainModels(settings).map((model, place) => ({
      ...natureOf(model, kind.spells(place)),
      ...(place > 0 && capacityOfOthers !== undefined && { capacity: capacityOfOthers }),
    })),
    arrivals:
      rules.arrivals ?? ((random) => arrivals({ perSecond, pattern: isRegular ? 'regular' : 'poisson' }, random)),
  };
}

/** Of the default chain, in its order. */
export function chainModels(settings: Settings): readonly ModelSettings[] {
  return settings.chains.get('default')?.entries.flat() ?? [];
}

export function natureOf({ name, price }: ModelSettings, spells: readonly Spell[]): ModelNature {
  const latency = profileFor(name);
  return { name, latency, everydayErrorRatio: BACKGROUND_FAILURE_RATIO, spells, ...(price && { price }) };
}
