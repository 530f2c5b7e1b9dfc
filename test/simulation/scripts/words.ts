/** Short words that the scripts are written in, and the rules that they share: those of the product, with short times. */
import type { FallbackOptions } from '../../../src/config/options.js';
import type { PolicyOptions } from '../../../src/policy/policy.js';
import type { FaultName } from '../faults.js';
import type { Outcome, Script, ScriptedRequest } from '../script.js';

/** Short enough for a script, long enough to be told apart. */
export const SHORT: PolicyOptions = {
  timeoutMs: 200,
  deadlineMs: 2_000,
  backoff: { baseMs: 50, factor: 1.5, maxMs: 200 },
  stream: { idleMs: 150, totalMs: 5_000 },
  breaker: { windowMs: 3_000, openMs: 300, openMaxMs: 900, slowStartMs: 600 },
};

/** Keeps breakers out of the way. */
export const NEVER_OPENS: PolicyOptions = {
  breaker: { consecutive: 1_000_000, minAttempts: 1_000_000, failureRate: 1 },
};

/** @param ttftMs of a stream; the whole answer takes 31 ms more. */
export function answers(ttftMs = 43, more: Partial<Extract<Outcome, { what: 'answers' }>> = {}): Outcome {
  return { what: 'answers', ttftMs, totalMs: ttftMs + 31, ...more };
}

export function fails(
  fault: FaultName,
  more: Partial<Omit<Extract<Outcome, { what: 'fails' }>, 'what' | 'fault'>> = {},
): Outcome {
  return { what: 'fails', fault, afterMs: 17, ...more };
}

export function breaks(
  by: Extract<Outcome, { what: 'breaks' }>['by'],
  more: { readonly ttftMs?: number; readonly says?: 'calls' | 'thoughts' } = {},
): Outcome {
  const { ttftMs = 37 } = more;
  return { what: 'breaks', by, ...more, ttftMs, afterMs: ttftMs + 53 };
}

export const hangs: Outcome = { what: 'hangs' };

interface Written {
  readonly policy?: PolicyOptions;
  /** Beside `provider`, which is `a-p` for `a` where nothing else is said. */
  readonly models?: Readonly<Record<string, Partial<Script['options']['models'][string]>>>;
  readonly chain?: readonly (string | readonly string[])[];
  readonly chains?: FallbackOptions['chains'];
  readonly enabled?: boolean;
  readonly usually?: Readonly<Record<string, Outcome>>;
  readonly requests: readonly ScriptedRequest[];
}

/** Where nothing else is said: a chain of `a` and `b`, each at a provider of its own, both answering. */
export function script(name: string, written: Written): Script {
  const { chain = ['a', 'b'], models = {}, policy = {}, usually = {}, chains = {}, enabled, requests } = written;
  const names = [...new Set([...chain.flat(), ...Object.keys(models)])];
  return {
    name,
    seed: 11,
    options: {
      models: Object.fromEntries(names.map((model) => [model, { provider: `${model}-p`, ...models[model] }])),
      chains: { default: chain, ...chains },
      policy: merged(SHORT, policy),
      ...(enabled !== undefined && { enabled }),
    },
    usually: { ...Object.fromEntries(names.map((model, i) => [model, answers(43 + 4 * i)])), ...usually },
    requests,
  };
}

/** So many requests, one every so many ms. */
export function every(
  everyMs: number,
  times: number,
  more: Omit<ScriptedRequest, 'atMs'> = {},
  fromMs = 0,
): ScriptedRequest[] {
  return Array.from({ length: times }, (_, i) => ({ ...more, atMs: fromMs + i * everyMs }));
}

/** Key by key, inside groups too. */
function merged(base: PolicyOptions, over: PolicyOptions): PolicyOptions {
  const groups = Object.entries(over).map(([key, value]) => {
    const below = base[key as keyof PolicyOptions];
    return [key, typeof value === 'object' && typeof below === 'object' ? { ...below, ...value } : value];
  });
  return { ...base, ...Object.fromEntries(groups) };
}
