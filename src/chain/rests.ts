/**
 * Which models are left alone, and until when: the contract's section 6.
 *
 * A rest is lengthened, never shortened, by a later one. The doubling of rests whose length no provider named happens
 * once per rest, since a burst of requests all meet the same closed door.
 */
import { type Failure, type FailureClass, traitsOf } from '../policy/failure.js';

export interface Rest {
  readonly sinceMs: number;
  /** Monotonic. */
  readonly untilMs: number;
  readonly reason: FailureClass;
  /** The provider named the time. */
  readonly named: boolean;
}

interface Resting {
  rest?: Rest;
  /** Rests in a row without a success between. */
  inARow: number;
}

export class Rests {
  readonly #models = new Map<string, Resting>();
  readonly #providers = new Map<string, Rest>();

  /** @returns the rest that holds the model now, its own or its provider's; the one that lasts longer. */
  current(model: string, provider: string, nowMs: number): Rest | undefined {
    const own = this.#models.get(model)?.rest;
    const shared = this.#providers.get(provider);
    const rest = own && shared ? (own.untilMs >= shared.untilMs ? own : shared) : (own ?? shared);
    return rest && nowMs < rest.untilMs ? rest : undefined;
  }

  /** @returns the rest that begins or is lengthened, and for whom; undefined: nothing changes. */
  note(
    model: string,
    provider: string,
    failure: Failure,
    nowMs: number,
  ): { rest: Rest; isShared: boolean } | undefined {
    const { rest: lengths } = traitsOf(failure.class);
    if (!lengths || failure.restScope === 'none') return undefined;
    const namesTime = failure.class === 'rate_limited' || failure.class === 'overloaded';
    const named = namesTime && failure.retryAfterMs !== undefined;
    const isShared = failure.restScope === 'provider';
    const own = this.#of(model);
    const current = isShared ? this.#providers.get(provider) : own.rest;
    const isResting = current !== undefined && nowMs < current.untilMs;
    if (isResting && !named) return undefined;
    const restMs = named
      ? (failure.retryAfterMs ?? 0)
      : Math.min(lengths.maxMs, lengths.ms * 2 ** Math.min(own.inARow, 30));
    if (isResting && nowMs + restMs <= current.untilMs) return undefined;
    if (!isResting) own.inARow++;
    const rest: Rest = { sinceMs: nowMs, untilMs: nowMs + restMs, reason: failure.class, named };
    if (isShared) this.#providers.set(provider, rest);
    else own.rest = rest;
    return { rest, isShared };
  }

  /** Its limits are used up for so long, as a good answer said: it is skipped before it must refuse. */
  noteUsedUp(model: string, forMs: number, nowMs: number): Rest | undefined {
    const own = this.#of(model);
    const untilMs = nowMs + forMs;
    if (own.rest && own.rest.untilMs >= untilMs) return undefined;
    own.rest = { sinceMs: nowMs, untilMs, reason: 'rate_limited', named: true };
    return own.rest;
  }

  /** An answer came. One that was asked for before the rest began says nothing of what came after. */
  noteSuccess(model: string, startedAtMs: number): void {
    const own = this.#models.get(model);
    if (!own || (own.rest && startedAtMs < own.rest.sinceMs)) return;
    own.inARow = 0;
    delete own.rest;
  }

  /** A check of the provider went well: a rest for `auth` was about a key that works again. */
  endAuth(provider: string): void {
    if (this.#providers.get(provider)?.reason === 'auth') this.#providers.delete(provider);
  }

  forget(model: string): void {
    this.#models.delete(model);
  }

  #of(model: string): Resting {
    let resting = this.#models.get(model);
    if (!resting) this.#models.set(model, (resting = { inARow: 0 }));
    return resting;
  }
}
