/**
 * What real traffic has last said of each model. Listens; drills and callers who left say nothing.
 *
 * A moment is monotonic ms. What was known of a model is forgotten when it moves to another provider.
 */
import type { Engine } from '../chain/engine.js';
import type { AttemptFinished } from '../chain/events.js';
import type { ModelSettings } from '../config/settings.js';
import type { FailureClass } from '../policy/failure.js';

export interface SeenFailure {
  readonly class: FailureClass;
  readonly atMs: number;
}

export interface ModelTraffic {
  /** The last attempt that ended, however. */
  readonly lastAtMs?: number;
  readonly lastSuccessAtMs?: number;
  readonly lastFailure?: SeenFailure;
}

const NONE: ModelTraffic = {};

export class TrafficLog {
  readonly #engine: Engine;
  readonly #byModel = new Map<string, { readonly provider: string; seen: ModelTraffic }>();

  constructor(engine: Engine) {
    this.#engine = engine;
    engine.events.on('attempt.finished', (attempt) => this.#note(attempt));
  }

  of({ name, provider }: ModelSettings): ModelTraffic {
    const known = this.#byModel.get(name);
    return known?.provider === provider.name ? known.seen : NONE;
  }

  /** Of all models at a provider: the last moment at which one of them was heard of, and succeeded; -Infinity: never. */
  ofProvider(provider: string): { readonly lastAtMs: number; readonly lastSuccessAtMs: number } {
    let lastAtMs = -Infinity;
    let lastSuccessAtMs = -Infinity;
    for (const known of this.#byModel.values()) {
      if (known.provider !== provider) continue;
      lastAtMs = Math.max(lastAtMs, known.seen.lastAtMs ?? -Infinity);
      lastSuccessAtMs = Math.max(lastSuccessAtMs, known.seen.lastSuccessAtMs ?? -Infinity);
    }
    return { lastAtMs, lastSuccessAtMs };
  }

  #note({ model: name, class: outcome, drilled, failure }: AttemptFinished): void {
    const model = this.#engine.settings.models.get(name);
    if (drilled || outcome === 'cancelled' || !model) return;
    const atMs = this.#engine.clock.nowMs();
    const before = this.of(model);
    // An answer that its model's filter cut short was delivered: no failure of the model.
    const news: ModelTraffic = failure ? { lastFailure: { class: failure.class, atMs } } : { lastSuccessAtMs: atMs };
    this.#byModel.set(name, { provider: model.provider.name, seen: { ...before, ...news, lastAtMs: atMs } });
  }
}
