/**
 * Chains: their members checked and looked up, and the policy of each of them and of every model in them.
 */
import { type PolicyOptions, resolvePolicy } from '../policy/policy.js';
import type { FaultList } from './config-error.js';
import { frozenMap } from './frozen.js';
import type { ChainSettings, ModelSettings } from './settings.js';
import type { Entries, SettingTree } from './setting-tree.js';

/** @returns what each chain lists, `default` first; a chain whose list is a fault is left out. */
export function listChains(
  tree: SettingTree,
  defaultEntries: Entries | undefined,
  faults: FaultList,
): Map<string, Entries> {
  const chains = new Map<string, Entries>();
  if (defaultEntries) chains.set('default', defaultEntries);
  for (const name of tree.names('chains')) {
    if (name === 'default') continue;
    const path = ['chains', name, 'models'];
    const entries = tree.entries(path);
    if (entries) chains.set(name, entries);
    else if (!tree.has(path)) faults.add(`${tree.origin(['chains', name])?.label}: expected models: a list of models`);
  }
  for (const entries of chains.values()) checkOnce(entries, faults);
  return chains;
}

function checkOnce(entries: Entries, faults: FaultList): void {
  const seen = new Set<string>();
  for (const { name, label } of entries.flat()) {
    // A repeated variable has its own words already.
    if (seen.has(name) && !label.startsWith('FALLBACK_'))
      faults.add(`${label}: stands in this chain already; expected each model once`);
    seen.add(name);
  }
}

/** In requests, one word names a model or a chain: it must be clear which. */
export function checkNames(
  chains: ReadonlyMap<string, Entries>,
  models: ReadonlyMap<string, ModelSettings>,
  tree: SettingTree,
  faults: FaultList,
): void {
  for (const name of new Set([...chains.keys(), ...tree.names('chains'), 'default'])) {
    if (!models.has(name)) continue;
    const member = [...chains.values()].flat(2).find((each) => each.name === name);
    const label = tree.origin(['models', name])?.label ?? member?.label ?? `models.${name}`;
    const chain = tree.origin(['chains', name])?.label ?? `chains.${name}`;
    faults.add(`${label}: no name may be both a model and a chain; ${chain} is a chain`);
  }
}

export function buildChain(
  name: string,
  entries: Entries,
  models: ReadonlyMap<string, ModelSettings>,
  tree: SettingTree,
): ChainSettings {
  const general = tree.policyUnder(['policy']);
  const ofChain = tree.policyUnder(['chains', name]);
  const ofModel = new Map<string, PolicyOptions>(
    [...models.keys()].map((model) => [model, tree.policyUnder(['models', model])]),
  );
  return {
    name,
    entries: entries.map((entry) => entry.flatMap((member) => models.get(member.name) ?? [])),
    policy: resolvePolicy(general, ofChain),
    policyByModel: frozenMap([...ofModel].map(([model, own]) => [model, resolvePolicy(general, ofChain, own)])),
    maxRetriesByModel: frozenMap(
      [...ofModel].flatMap(([model, own]) => (own.maxRetries === undefined ? [] : [[model, own.maxRetries] as const])),
    ),
  };
}
