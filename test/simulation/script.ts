/**
 * One scripted scenario: what callers ask and when, and what every attempt of theirs meets. Played twice, through the
 * simulator and through the running app, it must lead to the same decisions.
 *
 * An attempt's outcome hangs on its request, its model and its number there, never on the order of arrival: both sides
 * read the same line of the script for the same attempt, whatever else they do.
 */
import type { FallbackOptions } from '../../src/config/options.js';
import type { FaultName } from './faults.js';

/** Moments and lengths in ms, of the attempt from its start. */
export type Outcome =
  | ({
      readonly what: 'answers';
      readonly totalMs: number;
      /** Its text was cut off by a filter. */
      readonly filtered?: true;
      readonly usedUpForMs?: number;
    } & Speech)
  | {
      readonly what: 'fails';
      readonly fault: FaultName;
      readonly afterMs: number;
      readonly retryAfterMs?: number;
      /** `error.code`, where another than the fault's own. */
      readonly code?: string;
    }
  /** Of what is not streamed: half a body. */
  | ({
      readonly what: 'breaks';
      readonly by: 'cut' | 'reset' | 'error' | 'malformed';
      readonly afterMs: number;
    } & Speech)
  | ({ readonly what: 'stalls' } & Speech)
  | { readonly what: 'hangs'; readonly after?: 'headers' };

export interface Speech {
  readonly ttftMs: number;
  readonly says?: 'calls' | 'thoughts';
}

export interface ScriptedRequest {
  /** From the start of the scenario. */
  readonly atMs: number;
  readonly streaming?: boolean;
  /** By model, its attempts in order; the last one is repeated. A model that is not named does as it usually does. */
  readonly meets?: Readonly<Record<string, Outcome | readonly Outcome[]>>;
  /** The caller goes away then; from the start of the scenario. */
  readonly leavesAtMs?: number;
  readonly deadlineMs?: number;
  readonly fallback?: false;
  /** Instead of the default chain. */
  readonly model?: string;
  readonly models?: readonly string[];
  /** Asks for a JSON object. */
  readonly wantsJson?: true;
}

export interface Script {
  /** A sentence: what it shows. */
  readonly name: string;
  readonly seed: number;
  /** Without providers: each that a model names is made up. */
  readonly options: Omit<FallbackOptions, 'providers'> & { readonly models: NonNullable<FallbackOptions['models']> };
  readonly usually: Readonly<Record<string, Outcome>>;
  /** In the order of time. */
  readonly requests: readonly ScriptedRequest[];
}

/** The name of a request in both plays; the header `x-request-id` carries it to the upstream. */
export function requestName(index: number): string {
  return `r${index + 1}`;
}

/** @param nth the request's attempts on that model before, so 0 for the first. */
export function outcomeOf(script: Script, requestId: string, model: string, nth: number): Outcome {
  const request = script.requests[Number(requestId.slice(1)) - 1];
  const met = request?.meets?.[model] ?? script.usually[model];
  if (!met) throw new Error(`${script.name}: the script does not say what ${model} does`);
  if (!isList(met)) return met;
  const outcome = met[Math.min(nth, met.length - 1)];
  if (!outcome) throw new Error(`${script.name}: an empty list of outcomes for ${model}`);
  return outcome;
}

function isList(met: Outcome | readonly Outcome[]): met is readonly Outcome[] {
  return Array.isArray(met);
}

/** What the models' providers are called, each once. */
export function providersOf({ options }: Script): readonly string[] {
  return [...new Set(Object.values(options.models).map((model) => model.provider))];
}

/** The options as the app reads them. */
export function optionsAt(script: Script, baseUrlOf: (provider: string) => string): FallbackOptions {
  const providers = providersOf(script).map((name) => [name, { baseUrl: baseUrlOf(name), apiKey: 'sk-scripted' }]);
  return { ...script.options, providers: Object.fromEntries(providers) };
}
