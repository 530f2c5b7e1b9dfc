/**
 * Puts the simulated models in the place of a configuration's real ones: every provider that is called over HTTP
 * points at the loopback server, everything else stays as it was written.
 */
import type { ChainSettings, ModelSettings, ProviderSettings, Settings } from '../config/settings.js';
import { type SimulatedModels, startSimulatedModels } from './simulated-models.js';

export class SimulatedHost {
  #running: SimulatedModels | undefined;
  /** Replaced by a changed configuration; requests that began with them end on them. */
  readonly #replaced: SimulatedModels[] = [];

  /**
   * Starts the models that the settings name, where they ask for simulated ones.
   * @returns settings that point at them; the same ones where they do not ask.
   */
  async apply(settings: Settings): Promise<Settings> {
    if (!settings.simulated) return settings;
    const ids = [...new Set([...settings.models.values()].map((model) => model.id))];
    const before = this.#running;
    const isKnown = before && ids.every((id) => before.models.includes(id));
    this.#running = isKnown ? before : await startSimulatedModels({ models: ids });
    if (before && !isKnown) this.#replaced.push(before);
    return pointedAt(settings, this.#running.baseUrl);
  }

  /** What runs, to be broken and mended; undefined where nothing is simulated. */
  get models(): SimulatedModels | undefined {
    return this.#running;
  }

  async close(): Promise<void> {
    const all = [...this.#replaced.splice(0), ...(this.#running ? [this.#running] : [])];
    await Promise.all(all.map((models) => models.close()));
    this.#running = undefined;
  }
}

function pointedAt(settings: Settings, baseUrl: string): Settings {
  const providers = new Map([...settings.providers].map(([name, p]) => [name, simulatedProvider(p, baseUrl)] as const));
  const providerOf = (model: ModelSettings): ProviderSettings => providers.get(model.provider.name) ?? model.provider;
  const models = new Map(
    [...settings.models].map(([name, model]) => [name, { ...model, provider: providerOf(model) }] as const),
  );
  const chains = new Map(
    [...settings.chains].map(([name, chain]): [string, ChainSettings] => [
      name,
      { ...chain, entries: chain.entries.map((group) => group.map((model) => models.get(model.name) ?? model)) },
    ]),
  );
  return { ...settings, providers, models, chains, secrets: [] };
}

function simulatedProvider(provider: ProviderSettings, baseUrl: string): ProviderSettings {
  return provider.kind === 'external' ? provider : { name: provider.name, kind: 'openai', baseUrl };
}
