/**
 * What users may say of the reactions (PolicyOptions, everything optional), what the code reads (Policy, everything
 * present), their defaults, and the one place that joins them.
 *
 * The ranges stand here too, so that the validator, the docs and the code cannot disagree. All lengths are milliseconds.
 */

export interface PolicyOptions {
  /** Retries per request, all models together; under a model: retries on that model. 0 to 10. */
  maxRetries?: number;
  /** Longest time for one attempt; of a stream, until its first token. 1 to 3,600,000. */
  timeoutMs?: number;
  /** Longest time for one request; of a stream, until its first token. 1 to 3,600,000. */
  deadlineMs?: number;
  backoff?: { baseMs?: number; factor?: number; maxMs?: number };
  retrySameModel?: { attempts?: number; maxWaitMs?: number };
  stream?: {
    ttftMs?: number;
    idleMs?: number;
    totalMs?: number;
    onBreak?: 'continue' | 'error';
    toolCalls?: 'hold' | 'pass';
  };
  breaker?: {
    windowMs?: number;
    minAttempts?: number;
    failureRate?: number;
    consecutive?: number;
    openMs?: number;
    openMaxMs?: number;
    halfOpenAttempts?: number;
    closeAfter?: number;
    slowStartMs?: number;
  };
  retryBudget?: { ratio?: number; burst?: number };
  hedge?: { enabled?: boolean; afterQuantile?: number; minMs?: number; maxShare?: number };
  onContentFilter?: 'return' | 'next';
  onInvalidOutput?: 'next' | 'return';
}

type Resolved<T> = {
  readonly [K in keyof T]-?: NonNullable<T[K]> extends object ? Resolved<NonNullable<T[K]>> : NonNullable<T[K]>;
};

export type Policy = Resolved<PolicyOptions>;

export const DEFAULT_POLICY: Policy = {
  maxRetries: 3,
  timeoutMs: 30_000,
  deadlineMs: 60_000,
  backoff: { baseMs: 1_000, factor: 1.5, maxMs: 20_000 },
  retrySameModel: { attempts: 0, maxWaitMs: 2_500 },
  stream: { ttftMs: 10_000, idleMs: 15_000, totalMs: 600_000, onBreak: 'continue', toolCalls: 'hold' },
  breaker: {
    windowMs: 30_000,
    minAttempts: 10,
    failureRate: 0.5,
    consecutive: 5,
    openMs: 5_000,
    openMaxMs: 15_000,
    halfOpenAttempts: 1,
    closeAfter: 3,
    slowStartMs: 30_000,
  },
  retryBudget: { ratio: 0.1, burst: 10 },
  hedge: { enabled: false, afterQuantile: 0.95, minMs: 500, maxShare: 0.05 },
  onContentFilter: 'return',
  onInvalidOutput: 'next',
};

/**
 * Later layers win, key by key, inside groups too: `resolvePolicy(policy, chain, model)`.
 * The layers are validated already (`config/`); an undefined value says nothing.
 */
export function resolvePolicy(...layers: readonly (PolicyOptions | undefined)[]): Policy {
  return layers.reduce<Policy>((policy, layer) => (layer ? overlay(policy, layer) : policy), DEFAULT_POLICY);
}

function overlay(base: Policy, layer: PolicyOptions): Policy {
  const merged: Record<string, unknown> = { ...base };
  for (const key of Object.keys(base) as (keyof Policy)[]) {
    const value = layer[key];
    if (value === undefined) continue;
    merged[key] = typeof value === 'object' ? { ...(base[key] as object), ...defined(value) } : value;
  }
  return merged as unknown as Policy;
}

function defined(group: object): object {
  return Object.fromEntries(Object.entries(group).filter(([, value]) => value !== undefined));
}
