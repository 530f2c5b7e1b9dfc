/**
 * Models out of the merged tree: the declared ones, and those that stand at `openai` without being declared.
 */
import type { FaultList } from './config-error.js';
import { didYouMean } from './nearest.js';
import { OPENAI } from './providers.js';
import { MODEL_FIELDS } from './ranges.js';
import type { ModelSettings, ProviderSettings } from './settings.js';
import type { Member, SettingTree } from './setting-tree.js';

type Facts = Pick<ModelSettings, 'contextWindow' | 'price'>;

/** What is known of the models of the built-in chain, where nobody declares them. */
const BUILT_IN_FACTS: Readonly<Record<string, Facts>> = {
  'gpt-4': { contextWindow: 8_192, price: { inputPerMTok: 30, outputPerMTok: 60 } },
  'gpt-3.5-turbo': { contextWindow: 16_385, price: { inputPerMTok: 0.5, outputPerMTok: 1.5 } },
};

interface Known {
  readonly providers: ReadonlyMap<string, ProviderSettings>;
  /** Every member of every chain. */
  readonly members: readonly Member[];
  readonly namedByVariables: ReadonlySet<string>;
}

export function buildModels(tree: SettingTree, known: Known, faults: FaultList): Map<string, ModelSettings> {
  const declared = tree.names('models');
  const models = new Map(declared.map((name) => [name, declaredModel(name, tree, known.providers, faults)]));
  const openai = known.providers.get(OPENAI);
  for (const { name, label } of known.members) {
    if (models.has(name)) continue;
    const needsNoDeclaration =
      declared.length === 0 || known.namedByVariables.has(name) || Object.hasOwn(BUILT_IN_FACTS, name);
    if (!needsNoDeclaration) {
      faults.add(`${label}: expected a model that is declared under models${didYouMean(name, declared)}`);
    } else if (openai) {
      const facts = Object.hasOwn(BUILT_IN_FACTS, name) ? BUILT_IN_FACTS[name] : {};
      models.set(name, { name, provider: openai, id: name, weight: 1, continuation: 'prompt', ...facts });
    }
  }
  return models;
}

function declaredModel(
  name: string,
  tree: SettingTree,
  providers: ReadonlyMap<string, ProviderSettings>,
  faults: FaultList,
): ModelSettings {
  const path = ['models', name];
  const wanted = tree.value(MODEL_FIELDS.provider, [...path, 'provider']) ?? OPENAI;
  const provider = providers.get(wanted);
  if (!provider) {
    const origin = tree.origin([...path, 'provider']);
    faults.add(
      `${origin?.label}=${origin?.said}: expected the name of a provider${didYouMean(wanted, providers.keys())}`,
    );
  }
  const contextWindow = tree.value(MODEL_FIELDS.contextWindow, [...path, 'contextWindow']);
  const embeddingSpace = tree.value(MODEL_FIELDS.embeddingSpace, [...path, 'embeddingSpace']);
  const maxConcurrent = tree.value(MODEL_FIELDS.maxConcurrent, [...path, 'maxConcurrent']);
  return {
    name,
    provider: provider ?? { name: wanted, kind: 'openai', baseUrl: '' },
    id: tree.value(MODEL_FIELDS.id, [...path, 'id']) ?? name,
    weight: tree.value(MODEL_FIELDS.weight, [...path, 'weight']) ?? 1,
    continuation: tree.value(MODEL_FIELDS.continuation, [...path, 'continuation']) ?? 'prompt',
    ...(contextWindow === undefined ? {} : { contextWindow }),
    ...(embeddingSpace === undefined ? {} : { embeddingSpace }),
    ...(maxConcurrent === undefined ? {} : { maxConcurrent }),
    ...priceOf(name, tree, faults),
  };
}

/** Half a price would make every cost wrong without a word. */
function priceOf(name: string, tree: SettingTree, faults: FaultList): Facts {
  const path = ['models', name, 'price'];
  const isGiven = (key: string): boolean => tree.has([...path, key]);
  if (!isGiven('inputPerMTok') && !isGiven('outputPerMTok')) return {};
  for (const key of ['inputPerMTok', 'outputPerMTok']) {
    if (isGiven(key)) continue;
    const other = key === 'inputPerMTok' ? 'outputPerMTok' : 'inputPerMTok';
    faults.add(`${tree.origin([...path, other])?.label}: expected ${key} beside ${other}`);
  }
  return {
    price: {
      inputPerMTok: tree.value(MODEL_FIELDS.price.inputPerMTok, [...path, 'inputPerMTok']) ?? 0,
      outputPerMTok: tree.value(MODEL_FIELDS.price.outputPerMTok, [...path, 'outputPerMTok']) ?? 0,
    },
  };
}
