/**
 * Takes up a changed configuration, whole or not at all: a bad one is refused with its faults in the log, and the last
 * good one stays in force. Requests under way end as they began.
 */
import type { Engine } from '../chain/engine.js';
import { FallbackConfigError } from '../config/config-error.js';
import { loadSettings } from '../config/load-settings.js';
import type { FallbackOptions } from '../config/options.js';
import type { SimulatedHost } from '../simulation/simulated-host.js';
import type { LogSink } from '../telemetry/log-sink.js';
import { chainsInWords, weakPoints } from './configuration-summary.js';

export interface ConfigReloadDeps {
  readonly engine: Engine;
  readonly simulated: SimulatedHost;
  readonly options: FallbackOptions;
  readonly readVariable: (name: string) => unknown;
  readonly log: LogSink;
}

export class ConfigReload {
  readonly #deps: ConfigReloadDeps;
  /** One at a time: a second change waits for the first. */
  #last: Promise<boolean> = Promise.resolve(true);

  constructor(deps: ConfigReloadDeps) {
    this.#deps = deps;
  }

  /** @param why for the log. @returns whether the configuration was taken up. Never rejects. */
  reload(why: string): Promise<boolean> {
    this.#last = this.#last.then(() => this.#reload(why));
    return this.#last;
  }

  async #reload(why: string): Promise<boolean> {
    const { engine, simulated, options, readVariable, log } = this.#deps;
    try {
      const settings = loadSettings({ options, readVariable });
      engine.useSettings(await simulated.apply(settings));
      log.info({ why, chains: [...settings.chains.keys()] }, `Configuration reloaded: ${chainsInWords(settings)}`);
      for (const weak of weakPoints(settings, { ofProviders: !settings.simulated })) log.warn({}, weak);
      return true;
    } catch (error) {
      const faults = error instanceof FallbackConfigError ? error.faults : [String(error)];
      const message = `Configuration refused, the last good one stays in force: ${faults.join('; ')}`;
      log.error({ why, faults }, message);
      return false;
    }
  }
}
