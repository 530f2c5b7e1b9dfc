/**
 * What the configuration comes to: everything present, checked and frozen. `load-settings.ts` makes it; the rest of
 * the house reads it and never looks at an environment variable, a file or an option again.
 */
import type { Policy } from '../policy/policy.js';

export interface ProviderSettings {
  readonly name: string;
  /** `external`: answered by `execute()` alone, never called or polled by us. */
  readonly kind: 'openai' | 'azure' | 'external';
  /** `openai`: the base URL, `/v1` included; `azure`: the endpoint; `external`: empty. Never ends with a slash. */
  readonly baseUrl: string;
  readonly apiVersion?: string;
  readonly apiKey?: string;
}

export interface ModelSettings {
  readonly name: string;
  readonly provider: ProviderSettings;
  /** What the provider calls it; the name where nothing else is said. */
  readonly id: string;
  /** Tokens, prompt and answer together. */
  readonly contextWindow?: number;
  readonly embeddingSpace?: string;
  /** US dollars per million tokens. */
  readonly price?: { readonly inputPerMTok: number; readonly outputPerMTok: number };
  /** Share among equals of a group; 1 where nothing else is said. */
  readonly weight: number;
  readonly maxConcurrent?: number;
  readonly continuation: 'prompt' | 'prefix' | 'vllm' | 'none';
}

export interface ChainSettings {
  readonly name: string;
  /** In order; a group of equals is one entry of several models. */
  readonly entries: readonly (readonly ModelSettings[])[];
  /** Chain over `policy` over defaults: for what concerns the request as a whole. */
  readonly policy: Policy;
  /** Model over chain over `policy` over defaults: for attempts on that model. Holds every configured model. */
  readonly policyByModel: ReadonlyMap<string, Policy>;
  /** Retries on one model within a request, where its own options bound them; `maxRetries` of the chain bounds all. */
  readonly maxRetriesByModel: ReadonlyMap<string, number>;
}

export type SettingSource = 'default' | 'file' | 'environment' | 'options';

/** One effective value for `verify --explain`; a secret's value is already replaced by `[secret]`. */
export interface ExplainedSetting {
  /** `policy.stream.idleMs`, `models.gpt-4.provider`, `chains.default`. */
  readonly path: string;
  readonly value: string;
  readonly source: SettingSource;
  /** Which variable or file it was, where it was one. */
  readonly from?: string;
}

export interface Settings {
  /** False: only the first model of a chain is ever attempted. */
  readonly enabled: boolean;
  readonly providers: ReadonlyMap<string, ProviderSettings>;
  readonly models: ReadonlyMap<string, ModelSettings>;
  /** Always holds `default`. */
  readonly chains: ReadonlyMap<string, ChainSettings>;
  readonly health: { readonly intervalMs: number; readonly ping: boolean };
  readonly simulated: boolean;
  /** Whether `x-fallback-drill` counts. */
  readonly drills: boolean;
  /** Prompts, answers and upstreams' error texts may stand in logs and traces. */
  readonly logContent: boolean;
  /** The file that was read, for reload and messages. */
  readonly configFile?: string;
  /** Every known secret, to be blotted out of whatever goes out. */
  readonly secrets: readonly string[];
  readonly explained: readonly ExplainedSetting[];
}
