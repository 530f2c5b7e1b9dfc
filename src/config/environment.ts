/**
 * The environment as a layer of settings: which variable stands for which key. What it says of the default chain's
 * models is kept apart, since it replaces parts of a list rather than a key.
 */
import type { FaultList } from './config-error.js';
import { type Path, SettingTree } from './setting-tree.js';
import { MODULE_VARIABLES, readVariableOf, type Variable } from './variables.js';

const PATHS: readonly (readonly [Variable<unknown>, Path])[] = [
  [MODULE_VARIABLES.enabled, ['enabled']],
  [MODULE_VARIABLES.maxRetries, ['policy', 'maxRetries']],
  [MODULE_VARIABLES.timeoutMs, ['policy', 'timeoutMs']],
  [MODULE_VARIABLES.idleMs, ['policy', 'stream', 'idleMs']],
  [MODULE_VARIABLES.deadlineMs, ['policy', 'deadlineMs']],
  [MODULE_VARIABLES.backoffBaseMs, ['policy', 'backoff', 'baseMs']],
  [MODULE_VARIABLES.backoffFactor, ['policy', 'backoff', 'factor']],
  [MODULE_VARIABLES.backoffMaxMs, ['policy', 'backoff', 'maxMs']],
  [MODULE_VARIABLES.configFile, ['configFile']],
  [MODULE_VARIABLES.openaiApiKey, ['providers', 'openai', 'apiKey']],
  [MODULE_VARIABLES.openaiBaseUrl, ['providers', 'openai', 'baseUrl']],
  [MODULE_VARIABLES.logContent, ['logContent']],
];

export interface Environment {
  readonly tree: SettingTree;
  /** FALLBACK_PRIMARY_MODEL. */
  readonly firstModel: string | undefined;
  /** FALLBACK_MODEL: the models after the first. */
  readonly furtherModels: readonly string[] | undefined;
}

export function readEnvironment(readVariable: (name: string) => unknown, faults: FaultList): Environment {
  const tree = new SettingTree();
  for (const [variable, path] of PATHS) {
    const value = readVariableOf(variable, readVariable, faults);
    const { name } = variable;
    if (value !== undefined) tree.set(path, value, { source: 'environment', from: name, label: name });
  }
  return {
    tree,
    firstModel: readVariableOf(MODULE_VARIABLES.primaryModel, readVariable, faults),
    furtherModels: readVariableOf(MODULE_VARIABLES.furtherModels, readVariable, faults),
  };
}
