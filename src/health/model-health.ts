/**
 * Which models and chains can be used, from what traffic and the background check learnt. Calls nobody: a probe may ask
 * as often as it likes.
 *
 * A model is down while it rests, while its breaker is open, or while a check speaks against it; one whose rest or open
 * time is over is up again, untested. A
 * chain is up while one of its models is.
 */
import { Inject, Injectable } from '@nestjs/common';
import { Engine } from '../chain/engine.js';
import { unknownModelError } from '../chain/errors.js';
import type { ChainSettings, ModelSettings, Settings } from '../config/settings.js';
import { traitsOf } from '../policy/failure.js';
import { CheckBoard } from './check-board.js';
import { Since, type Status } from './since.js';
import { type SeenFailure, TrafficLog } from './traffic-log.js';

/** Moments are monotonic ms. */
export interface ModelState {
  readonly model: string;
  readonly status: Status;
  /** `untested`: nothing is known of it, or nothing since its rest ended. `unavailable`: a check speaks against it. */
  readonly state: 'usable' | 'untested' | 'resting' | 'open' | 'unavailable';
  readonly sinceMs: number;
  /** Of a rest, or of an open breaker. */
  readonly untilMs?: number;
  readonly lastFailure?: SeenFailure;
}

export interface ChainState {
  readonly chain: string;
  readonly status: Status;
  readonly sinceMs: number;
  readonly models: readonly ModelState[];
  /** The last of any of its models. */
  readonly lastFailure?: SeenFailure;
}

@Injectable()
export class ModelHealth {
  readonly traffic: TrafficLog;
  readonly checks: CheckBoard;
  readonly #engine: Engine;
  readonly #since: Since;
  #settings: Settings;

  constructor(@Inject(Engine) engine: Engine) {
    this.#engine = engine;
    this.#settings = engine.settings;
    this.traffic = new TrafficLog(engine);
    this.checks = new CheckBoard(this.traffic);
    this.#since = new Since(engine.clock.nowMs());
    // Between two looks a model may have rested twice.
    const look = ({ model }: { readonly model: string }): void => {
      const changed = engine.settings.models.get(model);
      if (changed) this.#stateOf(changed);
    };
    engine.events.on('model.rested', look);
    engine.events.on('breaker.changed', look);
  }

  models(): ModelState[] {
    return [...this.#inForce().models.values()].map((model) => this.#stateOf(model));
  }

  chains(): ChainState[] {
    return [...this.#inForce().chains.values()].map((chain) => this.#chainStateOf(chain));
  }

  /** @throws FallbackRejectedError, 404 `model_not_found`, for a name that no model has. */
  model(name: string): ModelState {
    const { models } = this.#inForce();
    const model = models.get(name);
    if (model) return this.#stateOf(model);
    throw unknownModelError(`No model is called "${name}"; there are: ${[...models.keys()].join(', ')}.`);
  }

  /** @throws FallbackRejectedError, 404 `model_not_found`, for a name that no chain has. */
  chain(name: string): ChainState {
    const { chains } = this.#inForce();
    const chain = chains.get(name);
    if (chain) return this.#chainStateOf(chain);
    throw unknownModelError(`No chain is called "${name}"; there are: ${[...chains.keys()].join(', ')}.`);
  }

  #inForce(): Settings {
    const { settings } = this.#engine;
    if (settings !== this.#settings) {
      this.#settings = settings;
      this.#since.keepOnly((name) => settings.models.has(name) || settings.chains.has(name));
    }
    return settings;
  }

  #stateOf(model: ModelSettings): ModelState {
    const { board, clock } = this.#engine;
    const nowMs = clock.nowMs();
    const availability = board.availability(model.name, nowMs);
    const fault = this.checks.faultOf(model);
    const lastFailure = later(this.traffic.of(model).lastFailure, fault);
    const known = { model: model.name, ...(lastFailure && { lastFailure }) };
    const { state } = availability;
    // One that is half-open is being tried: as good as untested.
    if (state === 'resting' || (state === 'open' && board.breakerState(model.name, nowMs) === 'open')) {
      const { untilMs } = availability;
      const sinceMs = this.#since.note(model.name, 'down', nowMs, { untilMs });
      return { ...known, status: 'down', state, sinceMs, untilMs };
    }
    if (fault) {
      const sinceMs = this.#since.note(model.name, 'down', nowMs, { changedAtMs: fault.atMs });
      return { ...known, status: 'down', state: 'unavailable', sinceMs };
    }
    const sinceMs = this.#since.note(model.name, 'up', nowMs);
    return { ...known, status: 'up', state: this.#isTested(model) ? 'usable' : 'untested', sinceMs };
  }

  #isTested(model: ModelSettings): boolean {
    const { lastAtMs, lastFailure } = this.traffic.of(model);
    if (lastAtMs === undefined) return this.checks.hasFound(model);
    return lastFailure?.atMs !== lastAtMs || traitsOf(lastFailure.class).rest === null;
  }

  #chainStateOf({ name, entries }: ChainSettings): ChainState {
    const all = entries.flat();
    // Without fallback nobody but the first model is ever asked.
    const asked = this.#engine.settings.enabled ? all : all.slice(0, 1);
    const models = asked.map((model) => this.#stateOf(model));
    const up = models.filter((model) => model.status === 'up');
    const status = up.length > 0 ? 'up' : 'down';
    const changedAtMs = Math.max(...models.map((model) => model.sinceMs));
    const sinceMs = this.#since.note(
      name,
      status,
      this.#engine.clock.nowMs(),
      status === 'down' ? { changedAtMs } : {},
    );
    const lastFailure = models.reduce<SeenFailure | undefined>(
      (last, model) => later(last, model.lastFailure),
      undefined,
    );
    return { chain: name, status, sinceMs, models, ...(lastFailure && { lastFailure }) };
  }
}

function later(a: SeenFailure | undefined, b: SeenFailure | undefined): SeenFailure | undefined {
  return !a || (b && b.atMs > a.atMs) ? b : a;
}
