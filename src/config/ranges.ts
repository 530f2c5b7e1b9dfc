/**
 * Every key that a config file or `forRoot()` may hold, with its kind, range and meaning: the one table from which
 * the configuration is validated, faults are worded, "did you mean" is answered and the docs print their tables.
 *
 * Ranges are liberal: they keep out what cannot work or was surely not meant, not what is merely unusual.
 */
import type { PolicyOptions } from '../policy/policy.js';
import { decimal, flag, httpUrl, Kind, oneOf, secret, text, whole } from './kind.js';
import type { FallbackOptions, ModelOptions, ProviderOptions } from './options.js';

/** One kind for each key of `T`, groups inside it likewise. A key left out or too many does not compile. */
export type Fields<T> = {
  readonly [K in keyof T]-?: NonNullable<T[K]> extends object ? Fields<NonNullable<T[K]>> : Kind<NonNullable<T[K]>>;
};
export interface FieldTable {
  readonly [key: string]: Kind<unknown> | FieldTable;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

export const POLICY_FIELDS = {
  maxRetries: whole('retries per request, all models together (under a model: on it)', 0, 10),
  timeoutMs: whole('longest time for one attempt; of a stream, until its first token', 1, HOUR_MS),
  deadlineMs: whole('longest time for one request; of a stream, until its first token', 1, HOUR_MS),
  backoff: {
    baseMs: whole('longest wait before the first retry; each wait is drawn from 0 up to its bound', 0, HOUR_MS),
    factor: decimal('what the bound grows by with each further retry', 1, 100),
    maxMs: whole('the bound never grows beyond this', 0, HOUR_MS),
  },
  retrySameModel: {
    attempts: whole('retries on the same model before the next one is asked', 0, 10),
    maxWaitMs: whole('longest Retry-After that such a retry waits for', 0, HOUR_MS),
  },
  stream: {
    ttftMs: whole('a model that has not spoken by then is overtaken by the next', 1, HOUR_MS),
    idleMs: whole('longest silence inside a stream', 1, HOUR_MS),
    totalMs: whole('longest time for a whole stream', 1, DAY_MS),
    onBreak: oneOf('what a break after the first token leads to', 'continue', 'error'),
    toolCalls: oneOf('whether tool calls are held until the answer finishes', 'hold', 'pass'),
  },
  breaker: {
    windowMs: whole('how far back attempts count', 1, HOUR_MS),
    minAttempts: whole('attempts in the window before its failure rate counts', 1, 1_000_000),
    failureRate: decimal('share of failures in the window that opens the breaker', 0.01, 1),
    consecutive: whole('failures in a row that open the breaker', 1, 1_000_000),
    openMs: whole('how long it stays open at first', 1, HOUR_MS),
    openMaxMs: whole('how long it stays open at most', 1, HOUR_MS),
    halfOpenAttempts: whole('trials at once while half-open', 1, 1_000),
    closeAfter: whole('good trials that close it', 1, 1_000),
    slowStartMs: whole('how long a recovered model takes to get its full share', 0, HOUR_MS),
  },
  retryBudget: {
    ratio: decimal('what a success deposits; a retry or hedge withdraws 1', 0, 10),
    burst: decimal('the most that the budget holds', 0, 1_000_000),
  },
  hedge: {
    enabled: flag('start a second model beside one that is slower than usual'),
    afterQuantile: decimal('quantile of usual latencies after which a hedge starts', 0, 1),
    minMs: whole('a hedge never starts sooner', 0, HOUR_MS),
    maxShare: decimal('largest share of requests that may be hedged', 0, 1),
  },
  onContentFilter: oneOf('what a filtered answer leads to', 'return', 'next'),
  onInvalidOutput: oneOf('what an answer that breaks response_format leads to', 'next', 'return'),
} as const satisfies Fields<PolicyOptions>;

export const PROVIDER_FIELDS = {
  kind: oneOf('whose API it speaks; external: answered by execute() alone', 'openai', 'azure', 'external'),
  baseUrl: httpUrl('openai: base URL, /v1 included'),
  endpoint: httpUrl("azure: the resource's endpoint"),
  apiVersion: text('azure: the api-version of every call'),
  apiKey: secret('in options the key itself, in a file only ${NAME}'),
} as const satisfies Fields<ProviderOptions>;

export const MODEL_FIELDS = {
  provider: text('the name of the provider it stands at'),
  id: text('what the provider calls it; Azure: the deployment'),
  contextWindow: whole('tokens, prompt and answer together', 1, 1_000_000_000),
  embeddingSpace: text('embeddings fall back only between models of the same space'),
  price: {
    inputPerMTok: decimal('US dollars per million input tokens', 0, 1_000_000),
    outputPerMTok: decimal('US dollars per million output tokens', 0, 1_000_000),
  },
  weight: decimal('share among the equals of a group', 0.001, 1_000),
  maxConcurrent: whole('attempts under way at once', 1, 1_000_000),
  continuation: oneOf('how it is asked to go on with a broken answer', 'prompt', 'prefix', 'vllm', 'none'),
  ...POLICY_FIELDS,
} as const satisfies Fields<ModelOptions>;

/** All but the three records, which have tables of their own, and what stands in options alone. */
export const TOP_FIELDS = {
  enabled: flag('false: only the first model of the chain is ever attempted'),
  policy: POLICY_FIELDS,
  health: {
    intervalMs: whole('time between background checks of one provider', 1, DAY_MS),
    ping: flag('the background check also sends a billed request of one token'),
  },
  simulated: flag('built-in simulated models answer'),
  drills: flag('the header x-fallback-drill counts; default: as simulated'),
} as const satisfies Fields<Omit<FallbackOptions, 'providers' | 'models' | 'chains' | 'configFile'>>;

/** The keys of a table and, dotted, those of the groups inside it: what a misspelt key may have meant. */
export function* keysOf(fields: FieldTable): Generator<string> {
  yield* Object.keys(fields);
  for (const path of leavesOf(fields)) if (path.length > 1) yield path.join('.');
}

/** Paths to the kinds of a table, in order. */
export function* leavesOf(fields: FieldTable, above: readonly string[] = []): Generator<readonly string[]> {
  for (const [key, field] of Object.entries(fields)) {
    const path = [...above, key];
    if (isTable(field)) yield* leavesOf(field, path);
    else yield path;
  }
}

export function isTable(field: Kind<unknown> | FieldTable): field is FieldTable {
  return !(field instanceof Kind);
}
