import { Inject, Injectable } from '@nestjs/common';
import { ModelHealth, type ModelState } from './model-health.js';

/** Terminus's HealthIndicatorResult by shape, so that a host without Terminus compiles. */
export type HealthResult<K extends string> = Record<K, { status: 'up' | 'down' } & Record<string, unknown>>;

/** For a host's own health checks, with Terminus or without. */
@Injectable()
export class FallbackHealthIndicator {
  readonly #health: ModelHealth;

  constructor(@Inject(ModelHealth) health: ModelHealth) {
    this.#health = health;
  }

  /**
   * Up while the chain (default: every chain) has a usable or untested model; with `model`, while that one is. Calls no
   * model.
   * @throws FallbackRejectedError, 404 `model_not_found`, for a name that nobody has.
   */
  async isHealthy<const K extends string>(
    key: K,
    options: { readonly chain?: string; readonly model?: string } = {},
  ): Promise<HealthResult<K>> {
    const { chain, model } = options;
    const one = model === undefined ? undefined : this.#health.model(model);
    const chains = chain !== undefined ? [this.#health.chain(chain)] : one ? [] : this.#health.chains();
    const models = one ? [one] : chains.flatMap((state) => state.models);
    const isUp = one?.status !== 'down' && chains.every((state) => state.status === 'up');
    return entry(key, {
      status: isUp ? 'up' : 'down',
      ...(chains.length > 0 && { chains: Object.fromEntries(chains.map((state) => [state.chain, state.status])) }),
      models: Object.fromEntries(models.map((state) => [state.model, wordsOf(state)])),
    });
  }
}

type Entry = HealthResult<string>[string];

function entry<K extends string>(key: K, value: Entry): HealthResult<K>;
function entry(key: string, value: Entry): HealthResult<string> {
  return { [key]: value };
}

/** `usable`; `resting: rate_limited`. */
function wordsOf({ status, state, lastFailure }: ModelState): string {
  return status === 'down' && lastFailure ? `${state}: ${lastFailure.class}` : state;
}
