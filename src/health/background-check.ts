/**
 * Probes model availability where traffic does not: one `GET /models` per provider and interval at most, and only where
 * nothing was heard of that provider's models in that time. Costs nothing, unless `health.ping` asks for a billed token.
 *
 * Starts and stops with the application. A provider without that route is left alone for an hour. Replicas that were
 * started together drift apart, since each sleeps a little longer than it must.
 */
import { Inject, Injectable, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { Engine } from '../chain/engine.js';
import { checkModel, checkProvider, isPolled } from '../chain/model-check.js';
import type { ModelSettings, ProviderSettings } from '../config/settings.js';
import { isSamePlace } from './check-board.js';
import { IdleTimer } from './idle-timer.js';
import { ModelHealth } from './model-health.js';

/** How long a provider that lists no models is not asked again. */
const SILENT_MS = 3_600_000;
/** A new configuration may want shorter intervals than the one that is being slept through. */
const LONGEST_SLEEP_MS = 60_000;
/** Longer than the interval, by up to this share of it. */
const JITTER = 0.1;

interface Asked {
  readonly provider: ProviderSettings;
  readonly atMs: number;
  /** Its list is not asked for before. */
  readonly silentUntilMs: number;
}

@Injectable()
export class BackgroundCheck implements OnApplicationBootstrap, OnModuleDestroy {
  readonly #engine: Engine;
  readonly #health: ModelHealth;
  readonly #timer: IdleTimer;
  readonly #asked = new Map<string, Asked>();
  readonly #stopping = new AbortController();
  #startedAtMs = 0;
  #cancelTimer: (() => void) | undefined;

  constructor(
    @Inject(Engine) engine: Engine,
    @Inject(ModelHealth) health: ModelHealth,
    @Inject(IdleTimer) timer: IdleTimer,
  ) {
    this.#engine = engine;
    this.#health = health;
    this.#timer = timer;
  }

  onApplicationBootstrap(): void {
    this.#startedAtMs = this.#engine.clock.nowMs();
    this.#sleep();
  }

  onModuleDestroy(): void {
    this.#stopping.abort();
    this.#cancelTimer?.();
  }

  #sleep(): void {
    if (this.#stopping.signal.aborted) return;
    const nowMs = this.#engine.clock.nowMs();
    const dueAtMs = Math.min(...this.#polled().map(({ provider }) => this.#dueAtMs(provider)));
    const jitterMs = Math.random() * JITTER * this.#engine.settings.health.intervalMs;
    const delayMs = Math.ceil(Math.min(Math.max(1, dueAtMs - nowMs + jitterMs), LONGEST_SLEEP_MS));
    this.#cancelTimer = this.#timer(delayMs, () => void this.#wake());
  }

  /** Sleeps again only when everybody has answered or run out of time: checks never pile up. */
  async #wake(): Promise<void> {
    const nowMs = this.#engine.clock.nowMs();
    const due = this.#polled().filter(({ provider }) => this.#dueAtMs(provider) <= nowMs);
    await Promise.allSettled(due.map(({ provider, models }) => this.#check(provider, models, nowMs)));
    this.#sleep();
  }

  async #check(provider: ProviderSettings, models: readonly ModelSettings[], nowMs: number): Promise<void> {
    const { clock, settings } = this.#engine;
    const { checks } = this.#health;
    const silentUntilMs = this.#askedOf(provider)?.silentUntilMs ?? -Infinity;
    this.#asked.set(provider.name, { provider, atMs: nowMs, silentUntilMs });
    if (silentUntilMs <= nowMs) {
      const check = await checkProvider(this.#engine, provider);
      if (this.#stopping.signal.aborted) return;
      checks.noteProvider(provider, check, clock.nowMs());
      const isSilent = check.reading.type === 'silent';
      this.#asked.set(provider.name, {
        provider,
        atMs: nowMs,
        silentUntilMs: isSilent ? nowMs + SILENT_MS : -Infinity,
      });
    }
    if (!settings.health.ping) return;
    const pings = models.map(async (model) => {
      const ping = await checkModel(this.#engine, model, this.#stopping.signal);
      checks.notePing(model, ping, clock.nowMs());
    });
    await Promise.allSettled(pings);
  }

  /** With the models that are to be asked for a token. */
  #polled(): { readonly provider: ProviderSettings; readonly models: readonly ModelSettings[] }[] {
    const { providers, models } = this.#engine.settings;
    return [...providers.values()]
      .filter(isPolled)
      .map((provider) => ({ provider, models: [...models.values()].filter((m) => m.provider.name === provider.name) }))
      .filter((polled) => polled.models.length > 0);
  }

  /** One interval after the last that was heard of it, from traffic or from a check. */
  #dueAtMs(provider: ProviderSettings): number {
    const { intervalMs, ping } = this.#engine.settings.health;
    const asked = this.#askedOf(provider);
    const { lastAtMs } = this.#health.traffic.ofProvider(provider.name);
    const dueAtMs = Math.max(this.#startedAtMs, asked?.atMs ?? -Infinity, lastAtMs) + intervalMs;
    return ping ? dueAtMs : Math.max(dueAtMs, asked?.silentUntilMs ?? -Infinity);
  }

  /** A provider that moved, or has another key, is a new one. */
  #askedOf(provider: ProviderSettings): Asked | undefined {
    const asked = this.#asked.get(provider.name);
    return asked && isSamePlace(asked.provider, provider) ? asked : undefined;
  }
}
