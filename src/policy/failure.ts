/**
 * Why an attempt failed, and what each reason means: the contract's section 6 as one table.
 *
 * Everything that reacts to a failure reads this table; nothing else lists the classes, so a new one cannot be
 * forgotten. Knows nothing of HTTP: `upstream/classify.ts` makes a Failure out of what came over the wire.
 */

export const FAILURE_CLASSES = [
  'invalid_request',
  'unsupported',
  'context_length',
  'content_filter',
  'auth',
  'permission',
  'quota',
  'not_found',
  'rate_limited',
  'overloaded',
  'server_error',
  'network',
  'bad_response',
  'timeout_ttft',
  'timeout_idle',
  'timeout_total',
  'stream_cut',
  'stream_error',
  'empty_answer',
  'invalid_output',
  'cancelled',
] as const;

export type FailureClass = (typeof FAILURE_CLASSES)[number];

/** How one attempt ended, in the words of traces and metrics. */
export type AttemptOutcome = FailureClass | 'ok';

/** What an upstream's error said, in OpenAI's words. The texts can hold prompts; keys are already blotted out. */
export interface UpstreamError {
  readonly message: string;
  readonly type: string | null;
  readonly code: string | null;
  readonly param: string | null;
}

/** Whom a failure puts to rest. `provider`: all models that share the provider's key. */
export type RestScope = 'none' | 'model' | 'provider';

/** How far a failed streamed attempt had got: what the caller may have seen of it. */
export type Delivered = 'nothing' | 'reasoning' | 'text' | 'unresumable';

export interface Failure {
  readonly class: FailureClass;
  /** The upstream's HTTP status, where there was one. */
  readonly status?: number;
  /** The upstream's error, or our own words for it (`no first token within 30000 ms`). */
  readonly error: UpstreamError;
  /** Milliseconds that the provider named (Retry-After and its kin), 0 to 1 h; absent: it named none. */
  readonly retryAfterMs?: number;
  readonly restScope: RestScope;
  /** The upstream forbade it (`x-should-retry: false`), or no wait can help (a request larger than the limit). */
  readonly neverRetry?: boolean;
  /** What a `stream_error` would have been as a status. */
  readonly underlying?: FailureClass;
}

export interface FailureTraits {
  /** May this request come back to the same model? */
  readonly retrySame: 'never' | 'after-rest' | 'after-backoff';
  /** Who may be asked next. `other-provider`: another provider, unless only the model rests. */
  readonly fallBack: 'never' | 'any' | 'larger-window' | 'other-provider' | 'if-content-filter-next';
  /** Counts as a failure for the breaker. */
  readonly hurtsHealth: boolean;
  /** Whether `retrySameModel` applies: retried on the same model before the next one is asked. */
  readonly retrySameModel: 'never' | 'after-backoff' | 'after-short-rest';
  /** The rest where the provider named no time; doubled per rest in a row, up to `maxMs`. */
  readonly rest: { readonly ms: number; readonly maxMs: number } | null;
  /** The caller's own fault: the upstream's 4xx is what the caller gets. `alone`: only where nothing else failed. */
  readonly callersFault: 'yes' | 'alone' | 'no';
}

const FIVE_MINUTES = { ms: 300_000, maxMs: 300_000 } as const;

const CALLERS = { retrySame: 'never', hurtsHealth: false, retrySameModel: 'never', rest: null } as const;
const OPERATORS = {
  retrySame: 'never',
  fallBack: 'other-provider',
  hurtsHealth: false,
  retrySameModel: 'never',
  rest: FIVE_MINUTES,
  callersFault: 'no',
} as const;
const TRANSIENT = {
  retrySame: 'after-backoff',
  fallBack: 'any',
  hurtsHealth: true,
  retrySameModel: 'after-backoff',
  rest: null,
  callersFault: 'no',
} as const;
/** A silent model stays silent: never asked again before another one was. */
const TIMEOUT = { ...TRANSIENT, retrySameModel: 'never' } as const;

export const FAILURE_TRAITS = {
  invalid_request: { ...CALLERS, fallBack: 'never', callersFault: 'yes' },
  unsupported: { ...CALLERS, fallBack: 'any', callersFault: 'alone' },
  context_length: { ...CALLERS, fallBack: 'larger-window', callersFault: 'alone' },
  content_filter: { ...CALLERS, fallBack: 'if-content-filter-next', callersFault: 'yes' },
  auth: OPERATORS,
  permission: OPERATORS,
  quota: OPERATORS,
  not_found: { ...OPERATORS, fallBack: 'any' },
  rate_limited: {
    retrySame: 'after-rest',
    fallBack: 'any',
    hurtsHealth: false,
    retrySameModel: 'after-short-rest',
    rest: { ms: 2_000, maxMs: 60_000 },
    callersFault: 'no',
  },
  overloaded: { ...TRANSIENT, rest: { ms: 2_000, maxMs: 15_000 } },
  server_error: TRANSIENT,
  network: TRANSIENT,
  bad_response: TRANSIENT,
  timeout_ttft: TIMEOUT,
  timeout_idle: TIMEOUT,
  timeout_total: TIMEOUT,
  stream_cut: TRANSIENT,
  stream_error: TRANSIENT,
  empty_answer: { ...TRANSIENT, retrySame: 'never', retrySameModel: 'never' },
  invalid_output: { ...CALLERS, fallBack: 'any', callersFault: 'no' },
  cancelled: { ...CALLERS, fallBack: 'never', callersFault: 'no' },
} as const satisfies Record<FailureClass, FailureTraits>;

/** The traits of a class under their general type, so that callers compare without narrowing to one row. */
export function traitsOf(failureClass: FailureClass): FailureTraits {
  return FAILURE_TRAITS[failureClass];
}

export function isFailureClass(word: string): word is FailureClass {
  return Object.hasOwn(FAILURE_TRAITS, word);
}
