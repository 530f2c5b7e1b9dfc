/**
 * Scripts drawn by chance, the same ones for the same seed: chains, rules, requests and outcomes that nobody would think
 * of. Lengths have fractions, so that no two things happen in the same moment, where either order would be right.
 */
import type { ChainEntry, ModelOptions, FallbackOptions } from '../../../src/config/options.js';
import type { PolicyOptions } from '../../../src/policy/policy.js';
import { seededRandom } from '../../../src/simulation/latency-profile.js';
import { FAULTS, type FaultName } from '../faults.js';
import type { Outcome, Script, ScriptedRequest } from '../script.js';

export function randomScript(seed: number): Script {
  const draw = new Draw(seed);
  const models = ['a', 'b', 'c', 'd'].slice(0, draw.whole(1, 4));
  const natures = models.map((name) => ({ name, troubles: draw.some(FAULT_NAMES, draw.whole(1, 3)) }));
  const policy = policyOf(draw);
  const spanMs = draw.ms(300, 2_500);
  const badness = draw.pick([0.1, 0.4, 0.8, 1]);
  const requests = Array.from({ length: draw.whole(3, 30) }, () => draw.ms(0, spanMs))
    .toSorted((x, y) => x - y)
    .map((atMs): ScriptedRequest => {
      const wantsJson = draw.isSo(0.05);
      const streaming = !wantsJson && draw.isSo(0.6);
      return {
        atMs,
        streaming,
        meets: Object.fromEntries(
          natures.map(({ name, troubles }) => {
            const met = () => (draw.isSo(badness) ? trouble(draw, troubles, wantsJson) : answers(draw));
            return [name, Array.from({ length: 4 }, met)];
          }),
        ),
        ...(wantsJson && { wantsJson }),
        ...(draw.isSo(0.05) && { leavesAtMs: atMs + draw.ms(10, 300) }),
        ...(draw.isSo(0.1) && { deadlineMs: draw.whole(60, 600) }),
        ...(draw.isSo(0.05) && { fallback: false }),
        ...(draw.isSo(0.1) && { model: draw.pick(models) }),
        ...(draw.isSo(0.05) && { models: models.toReversed() }),
      };
    });
  const options = optionsOf(draw, models, policy);
  return { name: `drawn with seed ${seed}`, seed, options, usually: {}, requests };
}

const FAULT_NAMES = Object.keys(FAULTS) as FaultName[];

function trouble(draw: Draw, troubles: readonly FaultName[], wantsJson: boolean): Outcome {
  const ttftMs = draw.ms(5, 120);
  const kind = draw.whole(0, 9);
  if (kind === 0) return { what: 'hangs', ...(draw.isSo(0.5) && { after: 'headers' }) };
  if (kind === 1) return { what: 'stalls', ttftMs };
  if (kind === 2) {
    const by = draw.pick(['cut', 'reset', 'error', 'malformed'] as const);
    return { what: 'breaks', by, ttftMs, afterMs: ttftMs + draw.ms(10, 100) };
  }
  const drawn = draw.pick(troubles);
  // It shows only where JSON was asked for.
  const fault = drawn === 'invalid_output' && !wantsJson ? 'server_error' : drawn;
  const mayName = fault === 'rate_limited' || fault === 'overloaded';
  const afterMs = draw.ms(5, 60);
  return { what: 'fails', fault, afterMs, ...(mayName && draw.isSo(0.5) && { retryAfterMs: draw.whole(20, 700) }) };
}

function answers(draw: Draw): Outcome {
  const ttftMs = draw.ms(5, draw.isSo(0.1) ? 250 : 80);
  const totalMs = ttftMs + draw.ms(5, 100);
  return { what: 'answers', ttftMs, totalMs, ...(draw.isSo(0.02) && { usedUpForMs: draw.whole(50, 500) }) };
}

function policyOf(draw: Draw): PolicyOptions {
  return {
    maxRetries: draw.whole(0, 4),
    timeoutMs: draw.pick([150, 200, 400]),
    deadlineMs: draw.pick([300, 600, 2_000]),
    backoff: { baseMs: draw.pick([20, 50, 100]), factor: draw.pick([1, 1.5, 2]), maxMs: 300 },
    retrySameModel: { attempts: draw.pick([0, 0, 1, 2]), maxWaitMs: draw.pick([100, 400]) },
    stream: { ttftMs: draw.pick([60, 100, 10_000]), idleMs: draw.pick([120, 250]), onBreak: draw.pick(BREAKS) },
    breaker: {
      windowMs: draw.pick([500, 2_000]),
      minAttempts: draw.whole(3, 10),
      failureRate: draw.pick([0.3, 0.5, 0.8]),
      consecutive: draw.whole(2, 6),
      openMs: draw.pick([100, 300]),
      openMaxMs: draw.pick([300, 900]),
      halfOpenAttempts: draw.whole(1, 2),
      closeAfter: draw.whole(1, 3),
      slowStartMs: draw.pick([0, 400, 1_500]),
    },
    retryBudget: { ratio: draw.pick([0, 0.1, 1]), burst: draw.whole(0, 5) },
    hedge: { enabled: draw.isSo(0.3), minMs: draw.pick([10, 50]), maxShare: draw.pick([0.1, 1]), afterQuantile: 0.5 },
    onContentFilter: 'next',
  };
}

const BREAKS = ['continue', 'continue', 'continue', 'error'] as const;

function optionsOf(draw: Draw, names: readonly string[], policy: PolicyOptions): Script['options'] {
  const providers = draw.isSo(0.7) ? names.map((name) => `${name}-p`) : names.map(() => draw.pick(['p', 'q']));
  const models = names.map((name, i): [string, ModelOptions] => {
    const options: ModelOptions = {
      provider: providers[i]!,
      ...(draw.isSo(0.3) && { maxConcurrent: draw.whole(1, 3) }),
      ...(draw.isSo(0.3) && { contextWindow: draw.pick([1_000, 2_000]) }),
      ...(draw.isSo(0.2) && { weight: draw.pick([0.5, 2]) }),
      ...(draw.isSo(0.2) && { continuation: draw.pick(['prefix', 'vllm', 'none'] as const) }),
      ...(draw.isSo(0.2) && { maxRetries: draw.whole(0, 2) }),
      ...(draw.isSo(0.2) && { timeoutMs: draw.pick([80, 300]) }),
    };
    return [name, options];
  });
  const entries: ChainEntry[] =
    draw.isSo(0.3) && names.length > 1 ? [names.slice(0, 2), ...names.slice(2)] : [...names];
  const chains: FallbackOptions['chains'] = { default: entries };
  return { models: Object.fromEntries(models), chains, policy };
}

class Draw {
  readonly #random: () => number;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
  }

  whole(from: number, to: number): number {
    return from + Math.floor(this.#random() * (to - from + 1));
  }

  /** With a fraction of its own. */
  ms(from: number, to: number): number {
    return from + this.#random() * (to - from);
  }

  isSo(share: number): boolean {
    return this.#random() < share;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.whole(0, list.length - 1)]!;
  }

  /** So many of them, each at most once. */
  some<T>(list: readonly T[], count: number): T[] {
    const left = [...list];
    return Array.from({ length: count }, () => left.splice(this.whole(0, left.length - 1), 1)[0]!);
  }
}
