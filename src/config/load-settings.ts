/**
 * Puts the configuration together: options over variables over the file over defaults, key by key. The only place of
 * precedence; what comes out is checked, complete and frozen.
 *
 * Precedence is between layers of one key. A key that says more exactly what it is about is another key: a chain's own
 * `deadlineMs` in the file holds for that chain, whatever FALLBACK_DEADLINE_MS says of all.
 */
import { buildChain, checkNames, listChains } from './chains.js';
import { FaultList } from './config-error.js';
import { readConfigFile, readTextFile } from './config-file.js';
import { DEFAULT_CHAIN_PATH, defaultChain } from './default-chain.js';
import { readEnvironment } from './environment.js';
import { explain } from './explained.js';
import { frozenMap, freezeDeep } from './frozen.js';
import { LayerReader, type LayerSource, placeText } from './layer-reader.js';
import { buildModels } from './models.js';
import type { FallbackOptions } from './options.js';
import { buildProviders, OPENAI } from './providers.js';
import { PROVIDER_FIELDS, TOP_FIELDS } from './ranges.js';
import type { Settings } from './settings.js';
import { SettingTree } from './setting-tree.js';
import { MODULE_VARIABLES } from './variables.js';

export interface SettingsInput {
  /** As the host gave them; extras of the module definition (`controllers`, `path`, …) taken out. */
  readonly options?: FallbackOptions;
  /** What the host's configuration holds under a name: text, number or boolean; undefined or empty is unset. */
  readonly readVariable: (name: string) => unknown;
  /** Gives the config file's text, or throws as `node:fs` does. */
  readonly readFile?: (path: string) => string;
}

const CONFIG_FILE = MODULE_VARIABLES.configFile.kind;
const OPENAI_KIND_PATH = ['providers', OPENAI, 'kind'] as const;
const DEFAULT_HEALTH_INTERVAL_MS = 30_000;

/** @throws FallbackConfigError with every fault at once; no key in any. */
export function loadSettings(input: SettingsInput): Settings {
  const { readVariable } = input;
  const faults = new FaultList();
  const environment = readEnvironment(readVariable, faults);
  const options = new SettingTree();
  new LayerReader(OPTIONS_SOURCE, options, faults).read(input.options, { configFile: CONFIG_FILE });

  const configFile = options.value(CONFIG_FILE, ['configFile']) ?? environment.tree.value(CONFIG_FILE, ['configFile']);
  const file = new SettingTree();
  if (configFile !== undefined) {
    const read = readConfigFile(configFile, input.readFile ?? readTextFile, readVariable, faults);
    // Without the file's names, whatever else refers to them would look wrong.
    if (!read) faults.throwIfAny();
    else new LayerReader(read.source, file, faults).read(read.content);
  }

  const tree = new SettingTree();
  tree.overlay(file);
  const kind =
    [options, file].map((layer) => layer.value(PROVIDER_FIELDS.kind, OPENAI_KIND_PATH)).find(Boolean) ?? 'openai';
  // The variables speak of OpenAI's own API: they say nothing of an `openai` that is made something else.
  tree.overlay(environment.tree, ([record]) => record !== 'providers' || kind === 'openai');
  tree.overlay(options);

  const declared = tree.names('models');
  const answering = declared.filter((name) => !tree.has(['models', name, 'embeddingSpace']));
  const byDefault = defaultChain({ file, environment, options }, answering.length > 0 ? answering : declared, faults);
  tree.setEntries(DEFAULT_CHAIN_PATH, byDefault.entries, byDefault.origin);
  const lists = listChains(tree, byDefault.entries, faults);
  const providers = buildProviders(tree, faults);
  const members = [...lists.values()].flat(2);
  const models = buildModels(tree, { providers, members, namedByVariables: byDefault.namedByVariables }, faults);
  checkNames(lists, models, tree, faults);
  faults.throwIfAny();

  const chains = [...lists].map(([name, entries]) => [name, buildChain(name, entries, models, tree)] as const);
  const simulated = tree.value(TOP_FIELDS.simulated, ['simulated']) ?? false;
  const secrets = [...providers.values()].flatMap((provider) => provider.apiKey ?? []);
  const settings = {
    enabled: tree.value(TOP_FIELDS.enabled, ['enabled']) ?? true,
    providers: frozenMap(providers),
    models: frozenMap(models),
    chains: frozenMap(chains),
    health: {
      intervalMs: tree.value(TOP_FIELDS.health.intervalMs, ['health', 'intervalMs']) ?? DEFAULT_HEALTH_INTERVAL_MS,
      ping: tree.value(TOP_FIELDS.health.ping, ['health', 'ping']) ?? false,
    },
    simulated,
    drills: tree.value(TOP_FIELDS.drills, ['drills']) ?? simulated,
    logContent: tree.value(MODULE_VARIABLES.logContent.kind, ['logContent']) ?? false,
    ...(configFile === undefined ? {} : { configFile }),
    secrets: [...new Set(secrets)],
  };
  return freezeDeep({ ...settings, explained: explain(settings, tree, byDefault.origin) });
}

const BESIDE_FACTORY = 'is fixed when the module is defined: it stands beside the factory, never in its result';

const OPTIONS_SOURCE: LayerSource = {
  origin: (place) => ({ source: 'options', label: placeText(['options', ...place]) }),
  expand: () => undefined,
  secretsAreNamed: false,
  misplaced: {
    isGlobal: BESIDE_FACTORY,
    controllers: BESIDE_FACTORY,
    path: BESIDE_FACTORY,
    conversationStore: BESIDE_FACTORY,
    logContent: 'is set by FALLBACK_LOG_CONTENT alone',
  },
};
