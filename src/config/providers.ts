/**
 * Providers out of the merged tree: what each kind needs, and what has no meaning for it.
 */
import type { FaultList } from './config-error.js';
import { PROVIDER_FIELDS } from './ranges.js';
import type { ProviderSettings } from './settings.js';
import type { SettingTree } from './setting-tree.js';

/** The provider that is always there. */
export const OPENAI = 'openai';
const OPENAI_BASE_URL = 'https://api.openai.com/v1';

type ProviderKey = 'baseUrl' | 'endpoint' | 'apiVersion' | 'apiKey';
const KEYS_BY_KIND: Record<
  ProviderSettings['kind'],
  { needs: readonly ProviderKey[]; refuses: readonly ProviderKey[] }
> = {
  openai: { needs: [], refuses: ['endpoint', 'apiVersion'] },
  azure: { needs: ['endpoint', 'apiVersion'], refuses: ['baseUrl'] },
  // A key is taken, though nobody is called with it: it is blotted out wherever it would show.
  external: { needs: [], refuses: ['baseUrl', 'endpoint', 'apiVersion'] },
};

export function buildProviders(tree: SettingTree, faults: FaultList): Map<string, ProviderSettings> {
  const names = new Set([OPENAI, ...tree.names('providers')]);
  return new Map([...names].map((name) => [name, buildProvider(name, tree, faults)]));
}

function buildProvider(name: string, tree: SettingTree, faults: FaultList): ProviderSettings {
  const path = ['providers', name];
  const read = (key: ProviderKey): string | undefined => tree.value(PROVIDER_FIELDS[key], [...path, key]);
  const kind = tree.value(PROVIDER_FIELDS.kind, [...path, 'kind']) ?? 'openai';
  const { needs, refuses } = KEYS_BY_KIND[kind];
  const label = tree.origin(path)?.label ?? `providers.${name}`;
  for (const key of needs) {
    if (!tree.has([...path, key])) faults.add(`${label}: expected ${key}, which a provider of kind ${kind} needs`);
  }
  for (const key of refuses) {
    const origin = tree.origin([...path, key]);
    if (origin) faults.add(`${origin.label}: a provider of kind ${kind} takes no ${key}`);
  }
  const address = { openai: read('baseUrl') ?? OPENAI_BASE_URL, azure: read('endpoint') ?? '', external: '' }[kind];
  const apiVersion = kind === 'azure' ? read('apiVersion') : undefined;
  const apiKey = read('apiKey');
  return {
    name,
    kind,
    baseUrl: address,
    ...(apiVersion === undefined ? {} : { apiVersion }),
    ...(apiKey === undefined ? {} : { apiKey }),
  };
}
