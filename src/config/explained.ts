/**
 * Every effective value and where it came from, for `verify --explain`. Keys show as `[secret]`.
 */
import { resolvePolicy } from '../policy/policy.js';
import { leavesOf, POLICY_FIELDS } from './ranges.js';
import { blotOut, SECRET_SHOWN } from './secrets.js';
import type { ChainSettings, ExplainedSetting, ModelSettings, ProviderSettings, Settings } from './settings.js';
import type { Origin, Path, SettingTree } from './setting-tree.js';

type Explained = Omit<Settings, 'explained'>;

export function explain(settings: Explained, tree: SettingTree, byDefault: Origin): ExplainedSetting[] {
  const say = (path: Path, value: unknown, origin: Origin | undefined = tree.origin(path)): ExplainedSetting => ({
    path: path.join('.'),
    value: path.at(-1) === 'apiKey' ? SECRET_SHOWN : blotOut(String(value), settings.secrets),
    source: origin?.source ?? 'default',
    ...(origin?.from === undefined ? {} : { from: origin.from }),
  });
  /** The policy keys that are said there, and nothing that is only inherited. */
  const overrides = (prefix: Path): ExplainedSetting[] =>
    [...leavesOf(POLICY_FIELDS)]
      .filter((path) => tree.has([...prefix, ...path]))
      .map((path) => say([...prefix, ...path], valueAt(tree.policyUnder(prefix), path)));

  const general = ['enabled', 'simulated', 'drills', 'logContent', 'configFile'] as const;
  return [
    ...general.filter((key) => settings[key] !== undefined).map((key) => say([key], settings[key])),
    say(['health', 'intervalMs'], settings.health.intervalMs),
    say(['health', 'ping'], settings.health.ping),
    ...explainPolicy(tree, say),
    ...[...settings.providers.values()].flatMap((provider) => explainProvider(provider, say)),
    ...[...settings.models.values()].flatMap((model) => [
      ...explainModel(model, say),
      ...overrides(['models', model.name]),
    ]),
    ...[...settings.chains.values()].flatMap((chain) => {
      const origin = chain.name === 'default' ? byDefault : tree.origin(['chains', chain.name, 'models']);
      return [say(['chains', chain.name], listOf(chain), origin), ...overrides(['chains', chain.name])];
    }),
  ];
}

type Say = (path: Path, value: unknown) => ExplainedSetting;

function explainPolicy(tree: SettingTree, say: Say): ExplainedSetting[] {
  const policy = resolvePolicy(tree.policyUnder(['policy']));
  return [...leavesOf(POLICY_FIELDS)].map((path) => say(['policy', ...path], valueAt(policy, path)));
}

function explainProvider(provider: ProviderSettings, say: Say): ExplainedSetting[] {
  const address = { openai: 'baseUrl', azure: 'endpoint', external: undefined }[provider.kind];
  const values = {
    kind: provider.kind,
    ...(address === undefined ? {} : { [address]: provider.baseUrl }),
    apiVersion: provider.apiVersion,
    apiKey: provider.apiKey,
  };
  return present(['providers', provider.name], values, say);
}

function explainModel(model: ModelSettings, say: Say): ExplainedSetting[] {
  const { name, provider, price, ...rest } = model;
  return [
    ...present(['models', name], { provider: provider.name, ...rest }, say),
    ...present(['models', name, 'price'], price ?? {}, say),
  ];
}

function present(prefix: Path, values: Readonly<Record<string, unknown>>, say: Say): ExplainedSetting[] {
  return Object.entries(values).flatMap(([key, value]) => (value === undefined ? [] : [say([...prefix, key], value)]));
}

/** `gpt-4, [a, b], gpt-3.5-turbo`. */
function listOf(chain: ChainSettings): string {
  return chain.entries
    .map((entry) => entry.map((model) => model.name).join(', '))
    .map((names, index) => (chain.entries[index]?.length === 1 ? names : `[${names}]`))
    .join(', ');
}

function valueAt(policy: object, path: Path): unknown {
  return path.reduce(valueBelow, policy);
}

function valueBelow(group: unknown, key: string): unknown {
  return typeof group === 'object' && group !== null ? Reflect.get(group, key) : undefined;
}
