/** The changes of a configuration that an operator would think of after an outage, each in one place. */
import type { ChainSettings, ModelSettings, Settings } from '../../config/settings.js';
import type { Policy } from '../../policy/policy.js';
import type { Scenario } from './run-scenario.js';
import { chainModels, natureOf } from './scenarios.js';

export interface Change {
  /** As a config file names it: `policy.breaker.openMs`, `chains.default`, `models.small.maxConcurrent`. */
  readonly setting: string;
  readonly from: string;
  readonly to: string;
  /** What the change takes for granted. */
  readonly provided?: string;
  /** The scenario as it is with this change: everything else is as it was. */
  readonly scenario: Scenario;
}

export interface ChangeRules {
  /** The order of the models may change: not where a scenario breaks whichever model is the first. */
  readonly mayReorder: boolean;
}

const LEAST_LIMIT_MS = 1_000;
const MOST_RETRIES = 10;
const MORE_RETRIES = 2;
/** So many models are tried as the first one. */
const MOST_FIRSTS = 4;

export function changesOf(scenario: Scenario, { mayReorder }: ChangeRules): Change[] {
  return [
    ...policyChanges(scenario),
    ...concurrencyChanges(scenario),
    ...(mayReorder ? orderChanges(scenario) : []),
    oneMoreModel(scenario),
  ].filter(({ from, to }) => from !== to);
}

function policyChanges(scenario: Scenario): Change[] {
  const chain = chainOf(scenario.settings);
  const limit = (ms: number) => Math.max(LEAST_LIMIT_MS, Math.round(ms));
  const tried = <T extends number | boolean>(field: PolicyField<T>, values: (now: T) => readonly T[]): Change[] => {
    const now = field.read(chain.policy);
    return values(now).map((to) => {
      const changed = withPolicy(scenario, field, to);
      return { setting: `policy.${field.name}`, from: String(now), to: String(to), scenario: changed };
    });
  };
  return [
    ...tried(TIMEOUT, (ms) => [ms / 4, ms / 2].map(limit)),
    ...(scenario.streaming ? tried(TTFT, (ms) => [ms / 4, ms / 2].map(limit)) : []),
    ...tried(OPEN, (ms) => [ms / 4, ms / 2, ms * 2].map(limit)),
    ...tried(RETRIES, (most) => [0, Math.min(MOST_RETRIES, most + MORE_RETRIES)]),
    ...tried(HEDGE, () => [true]),
  ];
}

interface PolicyField<T> {
  readonly name: string;
  read(policy: Policy): T;
  write(policy: Policy, value: T): Policy;
}

const TIMEOUT: PolicyField<number> = {
  name: 'timeoutMs',
  read: ({ timeoutMs }) => timeoutMs,
  write: (policy, timeoutMs) => ({ ...policy, timeoutMs }),
};

const TTFT: PolicyField<number> = {
  name: 'stream.ttftMs',
  read: ({ stream }) => stream.ttftMs,
  write: (policy, ttftMs) => ({ ...policy, stream: { ...policy.stream, ttftMs } }),
};

const OPEN: PolicyField<number> = {
  name: 'breaker.openMs',
  read: ({ breaker }) => breaker.openMs,
  write: (policy, openMs) => {
    const openMaxMs = Math.max(openMs, policy.breaker.openMaxMs);
    return { ...policy, breaker: { ...policy.breaker, openMs, openMaxMs } };
  },
};

const RETRIES: PolicyField<number> = {
  name: 'maxRetries',
  read: ({ maxRetries }) => maxRetries,
  write: (policy, maxRetries) => ({ ...policy, maxRetries }),
};

const HEDGE: PolicyField<boolean> = {
  name: 'hedge.enabled',
  read: ({ hedge }) => hedge.enabled,
  write: (policy, enabled) => ({ ...policy, hedge: { ...policy.hedge, enabled } }),
};

/** Who knows how many requests a model takes at a time should say so. */
function concurrencyChanges(scenario: Scenario): Change[] {
  return scenario.natures.flatMap(({ name, capacity }) => {
    const model = scenario.settings.models.get(name);
    if (capacity === undefined || !model) return [];
    const changed = { ...model, maxConcurrent: capacity };
    const from = model.maxConcurrent === undefined ? 'unset' : String(model.maxConcurrent);
    const setting = `models.${name}.maxConcurrent`;
    return [
      { setting, from, to: String(capacity), scenario: withModels(scenario, (one) => (one === model ? changed : one)) },
    ];
  });
}

/** Each of the others as the first one. */
function orderChanges(scenario: Scenario): Change[] {
  const chain = chainOf(scenario.settings);
  const { entries } = chain;
  return entries.slice(1, MOST_FIRSTS).map((entry) => {
    const reordered = [entry, ...entries.filter((other) => other !== entry)];
    const names = reordered.flat().map(({ name }) => name);
    const natures = names.flatMap((name) => scenario.natures.find((nature) => nature.name === name) ?? []);
    const settings = withChain(scenario.settings, { ...chain, entries: reordered });
    return {
      setting: 'chains.default',
      from: entriesText(entries),
      to: entriesText(reordered),
      scenario: { ...scenario, settings, natures },
    };
  });
}

/** The first model once more, at a provider of its own, after all others. */
function oneMoreModel(scenario: Scenario): Change {
  const { settings, natures } = scenario;
  const chain = chainOf(settings);
  const [first] = chainModels(settings);
  if (!first) return { setting: 'chains.default', from: '', to: '', scenario };
  const provider = { ...first.provider, name: freeName('another-provider', settings.providers) };
  const more: ModelSettings = { ...first, name: freeName(`${first.name}-elsewhere`, settings.models), provider };
  const entries = [...chain.entries, [more]];
  const policyByModel = new Map(chain.policyByModel).set(
    more.name,
    chain.policyByModel.get(first.name) ?? chain.policy,
  );
  const changed: Settings = {
    ...settings,
    providers: new Map(settings.providers).set(provider.name, provider),
    models: new Map(settings.models).set(more.name, more),
  };
  return {
    setting: 'chains.default',
    from: entriesText(chain.entries),
    to: entriesText(entries),
    provided: `${more.name} is at another provider, which this outage does not touch`,
    scenario: {
      ...scenario,
      settings: withChain(changed, { ...chain, entries, policyByModel }),
      natures: [...natures, { ...natureOf(more, []), latency: natures[0]?.latency ?? natureOf(more, []).latency }],
    },
  };
}

function freeName(wanted: string, taken: ReadonlyMap<string, unknown>): string {
  return taken.has(wanted) ? freeName(`${wanted}-2`, taken) : wanted;
}

/** Of the chain, and of those of its models that say nothing else. */
function withPolicy<T>(scenario: Scenario, field: PolicyField<T>, value: T): Scenario {
  const chain = chainOf(scenario.settings);
  const now = field.read(chain.policy);
  const change = (policy: Policy) => (field.read(policy) === now ? field.write(policy, value) : policy);
  const policyByModel = new Map([...chain.policyByModel].map(([name, policy]) => [name, change(policy)]));
  return {
    ...scenario,
    settings: withChain(scenario.settings, { ...chain, policy: change(chain.policy), policyByModel }),
  };
}

function withModels(scenario: Scenario, change: (model: ModelSettings) => ModelSettings): Scenario {
  const { settings } = scenario;
  const chain = chainOf(settings);
  const models = new Map([...settings.models].map(([name, model]) => [name, change(model)]));
  const entries = chain.entries.map((entry) => entry.map(change));
  return { ...scenario, settings: withChain({ ...settings, models }, { ...chain, entries }) };
}

function withChain(settings: Settings, chain: ChainSettings): Settings {
  return { ...settings, chains: new Map(settings.chains).set(chain.name, chain) };
}

function chainOf(settings: Settings): ChainSettings {
  const chain = settings.chains.get('default');
  if (!chain) throw new Error('settings always hold the default chain');
  return chain;
}

/** `[gpt-4, [a, b]]`. */
function entriesText(entries: ChainSettings['entries']): string {
  const texts = entries
    .map((entry) => entry.map(({ name }) => name))
    .map((names) => {
      return names.length === 1 ? names.join() : `[${names.join(', ')}]`;
    });
  return `[${texts.join(', ')}]`;
}
