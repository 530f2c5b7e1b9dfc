/**
 * Which models the chain `default` holds: options, else what the variables make of the file's chain, else the file's,
 * else the declared models in order, else the built-in two.
 */
import type { FaultList } from './config-error.js';
import type { Environment } from './environment.js';
import type { Entries, Origin, SettingTree } from './setting-tree.js';
import { BUILT_IN_CHAIN } from './variables.js';

export const DEFAULT_CHAIN_PATH = ['chains', 'default', 'models'] as const;

interface Layers {
  readonly file: SettingTree;
  readonly environment: Environment;
  readonly options: SettingTree;
}

export interface DefaultChain {
  /** Undefined where what was written is a fault. */
  readonly entries: Entries | undefined;
  readonly origin: Origin;
  /** Models that variables named: they need no declaration. */
  readonly namedByVariables: ReadonlySet<string>;
}

/** @param declared models that options or file declare, in order; embedding models do not answer chats. */
export function defaultChain(layers: Layers, declared: readonly string[], faults: FaultList): DefaultChain {
  const { file, environment, options } = layers;
  const none: ReadonlySet<string> = new Set();
  const byOptions = options.origin(DEFAULT_CHAIN_PATH);
  if (byOptions) return { entries: options.entries(DEFAULT_CHAIN_PATH), origin: byOptions, namedByVariables: none };

  const byFile = file.origin(DEFAULT_CHAIN_PATH);
  const origin: Origin = byFile ?? { source: 'default', label: 'chains.default' };
  const written: Entries | undefined = byFile
    ? file.entries(DEFAULT_CHAIN_PATH)
    : (declared.length > 0 ? declared : BUILT_IN_CHAIN).map((name) => [{ name, label: `chains.default: ${name}` }]);
  const { firstModel, furtherModels } = environment;
  if (firstModel === undefined && furtherModels === undefined) {
    return { entries: written, origin, namedByVariables: none };
  }

  const head: Entries =
    firstModel === undefined
      ? (written ?? []).slice(0, 1)
      : [[{ name: firstModel, label: `FALLBACK_PRIMARY_MODEL=${firstModel}` }]];
  const headNames = new Set(head.flat().map((member) => member.name));
  // Of a list that nobody wrote as a chain, the first model was no choice: naming another one moves that to the front.
  const kept = byFile || declared.length === 0 ? (written ?? []).slice(1) : (written ?? []);
  const tail: Entries =
    furtherModels === undefined
      ? kept.map((entry) => entry.filter((member) => !headNames.has(member.name))).filter((entry) => entry.length > 0)
      : furtherModels.map((name) => [{ name, label: `FALLBACK_MODEL=${name}` }]);
  const names = [
    firstModel === undefined ? [] : 'FALLBACK_PRIMARY_MODEL',
    furtherModels ? 'FALLBACK_MODEL' : [],
  ].flat();
  const label = names.join(', ');
  const repeated = furtherModels?.filter((name, index) => headNames.has(name) || furtherModels.indexOf(name) < index);
  for (const name of repeated ?? []) {
    const where = headNames.has(name) ? 'is the first model of the default chain already' : 'stands there twice';
    faults.add(`FALLBACK_MODEL=${furtherModels?.join(',')}: ${name} ${where}; expected each model once`);
  }
  return {
    entries: [...head, ...tail],
    origin: { source: 'environment', from: label, label },
    namedByVariables: new Set([firstModel ?? [], furtherModels ?? []].flat()),
  };
}
