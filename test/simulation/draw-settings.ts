/**
 * Random configurations: one to five models at one to three providers, one to three chains over them, with groups of
 * equals, and policies whose every key lies somewhere in its range, often at its edge. What `load-settings` would make of
 * the same words, without its cost; `asOptions` gives it the words, to see that it takes them.
 */
import type { FallbackOptions } from '../../src/config/options.js';
import type { ChainSettings, ModelSettings, ProviderSettings, Settings } from '../../src/config/settings.js';
import { type PolicyOptions, resolvePolicy } from '../../src/policy/policy.js';
import type { Draw } from './draw.js';
import type { Temper } from './temper.js';

const HOUR_MS = 3_600_000;
const SHORT_MS = [1, 2, 10, 50, 100, 500] as const;
const USUAL_MS = [1_000, 2_000, 5_000, 10_000, 30_000, 60_000] as const;
const LONG_MS = [300_000, HOUR_MS] as const;

export interface WorldShape {
  readonly providers: readonly string[];
  readonly models: readonly ModelShape[];
  /** `default` first. */
  readonly chains: readonly ChainShape[];
  readonly policy: PolicyOptions;
}

interface ModelShape {
  readonly name: string;
  readonly provider: string;
  readonly weight: number;
  readonly maxConcurrent?: number;
  readonly contextWindow?: number;
  readonly continuation: ModelSettings['continuation'];
  readonly policy: PolicyOptions;
}

interface ChainShape {
  readonly name: string;
  readonly entries: readonly (readonly string[])[];
  readonly policy: PolicyOptions;
}

export function drawShape(draw: Draw, temper: Temper): WorldShape {
  const providers = ['p', 'q', 'r'].slice(0, draw.whole(1, 3));
  const names = ['a', 'b', 'c', 'd', 'e'].slice(0, draw.whole(1, 5));
  const models = names.map((name) => drawModel(name, providers, draw, temper));
  const chains = ['default', 'second', 'third'].slice(0, draw.chance(0.6) ? 1 : draw.whole(2, 3)).map((name) => ({
    name,
    entries: drawEntries(names, draw),
    policy: drawOwn(draw, temper),
  }));
  return { providers, models, chains, policy: drawPolicy(draw, temper) };
}

/** The same world after a reload: a few things are different. */
export function drawReload(before: WorldShape, draw: Draw, temper: Temper): WorldShape {
  const models = before.models.map((model): ModelShape => {
    if (draw.chance(0.5)) return model;
    const { name, provider, policy } = model;
    const again = drawModel(name, before.providers, draw, temper);
    return {
      ...again,
      provider: draw.chance(0.8) ? provider : again.provider,
      policy: draw.chance(0.5) ? policy : again.policy,
    };
  });
  const names = models.map((model) => model.name);
  const kept = models.length > 1 && draw.chance(0.2) ? draw.shuffled(names).slice(1) : names;
  const chains = before.chains.map((chain): ChainShape => {
    const entries = draw.chance(0.7) ? chain.entries : drawEntries(names, draw);
    const still = entries
      .map((entry) => entry.filter((name) => kept.includes(name)))
      .filter((entry) => entry.length > 0);
    return { ...chain, entries: still.length > 0 ? still : [[kept[0]!]] };
  });
  return {
    ...before,
    models: models.filter((model) => kept.includes(model.name)),
    chains,
    policy: draw.chance(0.5) ? before.policy : drawPolicy(draw, temper),
  };
}

function drawModel(name: string, providers: readonly string[], draw: Draw, temper: Temper): ModelShape {
  const maxConcurrent = draw.maybe(0.4, () => draw.pick([1, 1, 2, 3, 10]));
  const contextWindow = draw.maybe(0.4, () => draw.pick([1_000, 8_192, 16_385]));
  return {
    name,
    provider: draw.pick(providers),
    weight: draw.chance(0.7) ? 1 : draw.pick([0.001, 0.5, 2, 1_000]),
    continuation: draw.pick(['prompt', 'prompt', 'prefix', 'vllm', 'none'] as const),
    policy: drawOwn(draw, temper),
    ...(maxConcurrent !== undefined && { maxConcurrent }),
    ...(contextWindow !== undefined && { contextWindow }),
  };
}

function drawEntries(names: readonly string[], draw: Draw): string[][] {
  const members = draw.shuffled(names).slice(0, draw.whole(1, names.length));
  const entries: string[][] = [];
  for (const name of members) {
    const last = entries.at(-1);
    if (last && draw.chance(0.3)) last.push(name);
    else entries.push([name]);
  }
  return entries;
}

/** What a chain or a model has of its own. */
function drawOwn(draw: Draw, { odd, short }: Temper): PolicyOptions {
  return draw.chance(0.3) ? drawPolicy(draw, { odd: odd / 2, short }) : {};
}

function drawPolicy(draw: Draw, { odd, short }: Pick<Temper, 'odd' | 'short'>): PolicyOptions {
  const some = <T>(value: () => T): T | undefined => draw.maybe(odd, value);
  const ms = (): number => drawMs(draw, short);
  return defined({
    maxRetries: some(() => draw.pick([0, 1, 2, 3, 10])),
    timeoutMs: some(ms),
    deadlineMs: some(ms),
    backoff: some(() => ({
      baseMs: draw.chance(0.2) ? 0 : ms(),
      factor: draw.pick([1, 1.5, 3, 100]),
      maxMs: draw.chance(0.2) ? 0 : ms(),
    })),
    retrySameModel: some(() => ({ attempts: draw.pick([0, 1, 2, 10]), maxWaitMs: draw.chance(0.2) ? 0 : ms() })),
    stream: some(() => ({
      ttftMs: ms(),
      idleMs: ms(),
      totalMs: draw.chance(0.5) ? 600_000 : ms(),
      onBreak: draw.chance(0.8) ? ('continue' as const) : ('error' as const),
      toolCalls: draw.chance(0.8) ? ('hold' as const) : ('pass' as const),
    })),
    breaker: some(() => drawBreaker(draw)),
    retryBudget: some(() => ({
      ratio: draw.pick([0, 0.01, 0.1, 0.5, 1, 10]),
      burst: draw.pick([0, 0.5, 1, 3, 10, 1_000_000]),
    })),
    hedge: draw.maybe(0.5, () => ({
      enabled: draw.chance(0.8),
      afterQuantile: draw.pick([0, 0.5, 0.95, 1]),
      minMs: draw.chance(0.2) ? ms() : draw.pick([0, 0, 10, 100]),
      maxShare: draw.pick([0, 0.01, 0.05, 0.5, 1]),
    })),
    onContentFilter: some(() => draw.pick(['return', 'next'] as const)),
    onInvalidOutput: some(() => draw.pick(['return', 'next'] as const)),
  });
}

function drawBreaker(draw: Draw): PolicyOptions['breaker'] & object {
  const openMs = draw.pick([1, 100, 1_000, 5_000, 5_000, 60_000]);
  return {
    windowMs: draw.pick([1, 10, 1_000, 30_000, 30_000, HOUR_MS]),
    minAttempts: draw.pick([1, 2, 10, 10, 1_000_000]),
    failureRate: draw.pick([0.01, 0.3, 0.5, 1]),
    consecutive: draw.pick([1, 2, 3, 5, 1_000_000]),
    openMs,
    openMaxMs: draw.chance(0.1) ? 1 : openMs * draw.pick([1, 3, 10]),
    halfOpenAttempts: draw.pick([1, 1, 1, 2, 1_000]),
    closeAfter: draw.pick([1, 1, 2, 3, 1_000]),
    slowStartMs: draw.pick([0, 1, 1_000, 30_000, 30_000]),
  };
}

/** Whole milliseconds from 1 to an hour; short enough to hurt, or usual, or as long as can be. */
function drawMs(draw: Draw, short: number): number {
  const kind = draw.random();
  return kind < short ? draw.pick(SHORT_MS) : kind < 0.9 ? draw.pick(USUAL_MS) : draw.pick(LONG_MS);
}

/** The words that would make these settings. */
export function asOptions({ providers, models, chains, policy }: WorldShape): FallbackOptions {
  return {
    providers: Object.fromEntries(providers.map((name) => [name, { kind: 'external' as const }])),
    models: Object.fromEntries(models.map(({ name, policy: own, ...model }) => [name, defined({ ...model, ...own })])),
    chains: Object.fromEntries(chains.map(({ name, entries, policy: own }) => [name, { models: entries, ...own }])),
    policy,
  };
}

export function settingsOf({ providers, models, chains, policy: general }: WorldShape): Settings {
  const providerOf = new Map(
    providers.map((name): [string, ProviderSettings] => [name, { name, kind: 'external', baseUrl: '' }]),
  );
  const modelOf = new Map(
    models.map(({ policy: _own, provider, ...model }): [string, ModelSettings] => [
      model.name,
      { ...model, id: model.name, provider: providerOf.get(provider)! },
    ]),
  );
  const chainOf = new Map(
    chains.map((chain): [string, ChainSettings] => [
      chain.name,
      {
        name: chain.name,
        entries: chain.entries.map((entry) => entry.map((name) => modelOf.get(name)!)),
        policy: resolvePolicy(general, chain.policy),
        policyByModel: new Map(models.map((m) => [m.name, resolvePolicy(general, chain.policy, m.policy)])),
        maxRetriesByModel: new Map(
          models.flatMap((m) => (m.policy.maxRetries === undefined ? [] : [[m.name, m.policy.maxRetries] as const])),
        ),
      },
    ]),
  );
  return {
    enabled: true,
    providers: providerOf,
    models: modelOf,
    chains: chainOf,
    health: { intervalMs: 30_000, ping: false },
    simulated: false,
    drills: true,
    logContent: false,
    secrets: [],
    explained: [],
  };
}

function defined<T extends object>(group: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(group).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}
