/**
 * What each probe tells, entry by entry, in Terminus's words: `status` is `up` or `down`, moments are ISO 8601. No text of
 * an upstream or a store gets in here, since some probes are open to everybody.
 */
import { Inject, Injectable } from '@nestjs/common';
import { Engine } from '../chain/engine.js';
import { ConversationMemory } from '../fallback/conversation-memory.js';
import { ModelHealth, type ModelState } from './model-health.js';
import { Readiness } from './readiness.js';
import type { Status } from './since.js';
import type { SeenFailure } from './traffic-log.js';

export type HealthEntries = Record<string, { status: Status } & Record<string, unknown>>;

@Injectable()
export class HealthReport {
  readonly #engine: Engine;
  readonly #health: ModelHealth;
  readonly #readiness: Readiness;
  readonly #memory: ConversationMemory;
  readonly #startedAtMs: number;
  #memoryDownSinceEpochMs: number | undefined;

  constructor(
    @Inject(Engine) engine: Engine,
    @Inject(ModelHealth) health: ModelHealth,
    @Inject(Readiness) readiness: Readiness,
    @Inject(ConversationMemory) memory: ConversationMemory,
  ) {
    this.#engine = engine;
    this.#health = health;
    this.#readiness = readiness;
    this.#memory = memory;
    this.#startedAtMs = engine.clock.nowMs();
  }

  live(): HealthEntries {
    return { process: { status: 'up', since: this.#iso(this.#startedAtMs) } };
  }

  startup(): HealthEntries {
    const { hasStarted } = this.#readiness;
    return { process: { status: hasStarted ? 'up' : 'down', state: hasStarted ? 'started' : 'starting' } };
  }

  ready(): HealthEntries {
    const { isDraining } = this.#readiness;
    const chains = this.#health.chains().map(({ chain, status, sinceMs }) => {
      return [chain, { status, since: this.#iso(sinceMs) }] as const;
    });
    const entries: HealthEntries = Object.fromEntries(chains);
    add(entries, 'process', { status: isDraining ? 'down' : 'up', state: isDraining ? 'draining' : 'serving' });
    return entries;
  }

  chains(): HealthEntries {
    const chains = this.#health.chains().map(({ chain, status, sinceMs, models, lastFailure }) => {
      const usable = models.filter((model) => model.status === 'up').map((model) => model.model);
      return [chain, { status, ...this.#history(sinceMs, lastFailure), usable }] as const;
    });
    return Object.fromEntries(chains);
  }

  /** What can be down without anybody being turned away: single models, the stores. */
  bystanders(): HealthEntries {
    const entries: HealthEntries = Object.fromEntries(
      this.#health.models().map((model) => [model.model, this.#modelEntry(model)]),
    );
    const sinceStart = this.#iso(this.#startedAtMs);
    add(entries, 'redis', { status: 'up', state: 'not configured', since: sinceStart, lastFailureClass: null });
    add(entries, 'memory', this.#memoryEntry(sinceStart));
    return entries;
  }

  #modelEntry({ status, state, sinceMs, untilMs, lastFailure }: ModelState): HealthEntries[string] {
    const until = untilMs === undefined ? {} : { until: this.#iso(untilMs) };
    return { status, state, ...this.#history(sinceMs, lastFailure), ...until };
  }

  /** The conversation store: a chat never fails because of it. */
  #memoryEntry(sinceStart: string): HealthEntries[string] {
    const fault = this.#memory.lastFault;
    if (!fault) {
      this.#memoryDownSinceEpochMs = undefined;
      return { status: 'up', since: sinceStart, lastFailureClass: null };
    }
    const sinceEpochMs = (this.#memoryDownSinceEpochMs ??= fault.atEpochMs);
    return { status: 'down', since: new Date(sinceEpochMs).toISOString(), lastFailureClass: 'store_error' };
  }

  #history(sinceMs: number, lastFailure: SeenFailure | undefined) {
    return {
      since: this.#iso(sinceMs),
      lastFailureClass: lastFailure?.class ?? null,
      ...(lastFailure && { lastFailureAt: this.#iso(lastFailure.atMs) }),
    };
  }

  #iso(atMs: number): string {
    const { clock } = this.#engine;
    return new Date(clock.wallEpochMs() - clock.nowMs() + atMs).toISOString();
  }
}

/** A model or a chain may have that very name; then it is the model's or the chain's. */
function add(entries: HealthEntries, name: string, entry: HealthEntries[string]): void {
  entries[name in entries ? `${name} (our own)` : name] = entry;
}
