/**
 * Which models are left alone, and until when: the contract's section 6.
 *
 * A rest is lengthened, never shortened, by a later one. The doubling of rests whose length no provider named happens
 * once per rest, since a burst of requests all meet the same closed door. What the provider named, and what no repetition
 * can mend, is kept apart from that: there is no trying while it lasts.
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
  /** Waits for better times; may be tried into, where nobody else is left. */
  soft?: Rest;
  /** For a time that its provider named, or for what no repetition can mend. */
  hard?: Rest;
  /** Rests in a row without a success between. */
  inARow: number;
}

export class Rests {
  readonly #models = new Map<string, Resting>();
  /** All of them hard. */
  readonly #providers = new Map<string, Rest>();

  /** @returns the rest that holds the model now, its own or its provider's: a hard one, while any is; until the last ends. */
  current(model: string, provider: string, nowMs: number): Rest | undefined {
    const own = this.#models.get(model);
    const shared = this.#providers.get(provider);
    if (!own) return lasting(shared, nowMs);
    const hard = longer(lasting(own.hard, nowMs), lasting(shared, nowMs));
    const soft = lasting(own.soft, nowMs);
    return hard && soft && soft.untilMs > hard.untilMs ? { ...hard, untilMs: soft.untilMs } : (hard ?? soft);
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
    const isFixed = lengths.ms === lengths.maxMs;
    const namedMs = isFixed ? undefined : failure.retryAfterMs;
    const named = namedMs !== undefined;
    const isShared = failure.restScope === 'provider';
    const own = this.#of(model);
    const hard = lasting(isShared ? this.#providers.get(provider) : own.hard, nowMs);
    const soft = isShared ? undefined : lasting(own.soft, nowMs);
    // Its like was noted already: what was asked before it says nothing new.
    if (isFixed ? hard && !hard.named : !named && (hard || soft)) return undefined;
    const restMs = namedMs ?? Math.min(lengths.maxMs, lengths.ms * 2 ** Math.min(own.inARow, 30));
    const rest: Rest = { sinceMs: nowMs, untilMs: nowMs + restMs, reason: failure.class, named };
    if (hard && hard.untilMs >= rest.untilMs) return undefined;
    if (!hard && !soft) own.inARow++;
    if (isShared) this.#providers.set(provider, rest);
    else if (named || isFixed) own.hard = rest;
    else own.soft = rest;
    return { rest, isShared };
  }

  /** Its limits are used up for so long, as a good answer said: it is skipped before it must refuse. */
  noteUsedUp(model: string, forMs: number, nowMs: number): Rest | undefined {
    const own = this.#of(model);
    const untilMs = nowMs + forMs;
    if (own.hard && own.hard.untilMs >= untilMs) return undefined;
    own.hard = { sinceMs: nowMs, untilMs, reason: 'rate_limited', named: true };
    return own.hard;
  }

  /** An answer came. One that was asked for before a rest began says nothing of what came after. */
  noteSuccess(model: string, startedAtMs: number): void {
    const own = this.#models.get(model);
    if (!own) return;
    if (own.hard && own.hard.sinceMs < startedAtMs) delete own.hard;
    if (own.soft && own.soft.sinceMs < startedAtMs) delete own.soft;
    if (!own.hard && !own.soft) own.inARow = 0;
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

function lasting(rest: Rest | undefined, nowMs: number): Rest | undefined {
  return rest && nowMs < rest.untilMs ? rest : undefined;
}

function longer(a: Rest | undefined, b: Rest | undefined): Rest | undefined {
  return a && b ? (a.untilMs >= b.untilMs ? a : b) : (a ?? b);
}
