/**
 * What a config file may say, and the same words in `FallbackModule.forRoot()`: the contract's section 2 as types.
 */
import type { PolicyOptions } from '../policy/policy.js';

/** `apiKey`: in options a literal, in a file only `${NAME}`, looked up in the host's configuration. */
export interface ProviderOptions {
  kind?: 'openai' | 'azure' | 'external';
  baseUrl?: string;
  endpoint?: string;
  apiVersion?: string;
  apiKey?: string;
}

export interface ModelOptions extends PolicyOptions {
  provider: string;
  id?: string;
  contextWindow?: number;
  embeddingSpace?: string;
  price?: { inputPerMTok: number; outputPerMTok: number };
  weight?: number;
  maxConcurrent?: number;
  continuation?: 'prompt' | 'prefix' | 'vllm' | 'none';
}

/** A model, or a group of equals that share the load before the chain goes on. */
export type ChainEntry = string | readonly string[];
export type ChainOptions = readonly ChainEntry[] | ({ models: readonly ChainEntry[] } & PolicyOptions);

export interface FallbackOptions {
  enabled?: boolean;
  providers?: Record<string, ProviderOptions>;
  models?: Record<string, ModelOptions>;
  chains?: Record<string, ChainOptions>;
  policy?: PolicyOptions;
  health?: { intervalMs?: number; ping?: boolean };
  simulated?: boolean;
  drills?: boolean;
  configFile?: string;
}
