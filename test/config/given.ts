/**
 * Loads settings from what a test gives: variables, a file's text, options.
 */
import { FallbackConfigError } from '../../src/config/config-error.js';
import { loadSettings } from '../../src/config/load-settings.js';
import type { Settings } from '../../src/config/settings.js';

export interface Given {
  env?: Record<string, unknown>;
  /** The text of `f.yaml`, which FALLBACK_CONFIG_FILE then names. */
  file?: string;
  /** Not typed: tests try what the types forbid. */
  options?: object;
}

export function load({ env = {}, file, options }: Given): Settings {
  const variables = file === undefined ? env : { FALLBACK_CONFIG_FILE: 'f.yaml', ...env };
  return loadSettings({
    readVariable: (name) => (Object.hasOwn(variables, name) ? Reflect.get(variables, name) : undefined),
    readFile: () => file ?? '',
    ...(options === undefined ? {} : { options }),
  });
}

/** The lines of the FallbackConfigError, none where it loads. */
export function faultsOf(given: Given): readonly string[] {
  return faultsIn(() => load(given));
}

export function faultsIn(run: () => unknown): readonly string[] {
  try {
    run();
  } catch (error) {
    if (error instanceof FallbackConfigError) return error.faults;
    throw error;
  }
  return [];
}

/** A chain by the names of its models; a group of equals as a list. */
export function chainOf(settings: Settings, name = 'default'): unknown {
  const entries = settings.chains.get(name)?.entries.map((entry) => entry.map((model) => model.name));
  return entries?.map((entry) => (entry.length === 1 ? entry[0] : entry));
}
