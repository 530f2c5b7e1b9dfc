/**
 * Until when a model must be left alone, written from the words of the contract's section 6 and from nothing else: an
 * opinion of its own on what `chain/rests.ts` says.
 */
import type { Failure, FailureClass } from '../../src/policy/failure.js';

/** `soft`: may be tried into, as the one unlikely try. `named`: by the provider. `fixed`: five minutes. */
interface ShadowRest {
  readonly sinceMs: number;
  readonly untilMs: number;
  readonly kind: 'soft' | 'named' | 'fixed';
}

const FIVE_MINUTES_MS = 300_000;
const OPERATORS: ReadonlySet<FailureClass> = new Set(['auth', 'permission', 'quota', 'not_found']);
const DOUBLING: Partial<Record<FailureClass, { firstMs: number; mostMs: number }>> = {
  rate_limited: { firstMs: 2_000, mostMs: 60_000 },
  overloaded: { firstMs: 2_000, mostMs: 15_000 },
};

export class ShadowRests {
  /** By model, and by provider. */
  readonly #own = new Map<string, ShadowRest[]>();
  readonly #shared = new Map<string, ShadowRest[]>();
  readonly #inARow = new Map<string, number>();

  /** When it may be asked again; `hardMs`: of the rests that forbid even a try. */
  untilMs(model: string, provider: string): { readonly softMs: number; readonly hardMs: number } {
    const all = [...(this.#own.get(model) ?? []), ...(this.#shared.get(provider) ?? [])];
    const until = (rests: ShadowRest[]) => Math.max(-Infinity, ...rests.map((rest) => rest.untilMs));
    return { softMs: until(all), hardMs: until(all.filter((rest) => rest.kind !== 'soft')) };
  }

  noteFailure(model: string, provider: string, failure: Failure, nowMs: number): void {
    const { class: reason, restScope, retryAfterMs } = failure;
    if (restScope === 'none') return;
    const doubling = DOUBLING[reason];
    const isOperators = OPERATORS.has(reason);
    if (!isOperators && !doubling) return;
    const [all, whose] = restScope === 'provider' ? [this.#shared, provider] : [this.#own, model];
    const isResting = all.get(whose)?.some((rest) => rest.untilMs > nowMs) ?? false;
    const inARow = this.#inARow.get(model) ?? 0;
    // Whatever rests there are in a row, each lengthens the next whose length nobody names.
    if (!isResting) this.#inARow.set(model, inARow + 1);
    if (isOperators) {
      const rest = { sinceMs: nowMs, untilMs: nowMs + FIVE_MINUTES_MS, kind: 'fixed' as const };
      // Of rests of one length, the first counts: what came after it was asked before it.
      this.#addFirst(all, whose, rest, nowMs);
    } else if (retryAfterMs !== undefined) {
      this.#add(all, whose, { sinceMs: nowMs, untilMs: nowMs + retryAfterMs, kind: 'named' });
    } else if (doubling && !isResting) {
      const lengthMs = Math.min(doubling.mostMs, doubling.firstMs * 2 ** Math.min(inARow, 30));
      this.#add(all, whose, { sinceMs: nowMs, untilMs: nowMs + lengthMs, kind: 'soft' });
    }
  }

  noteUsedUp(model: string, forMs: number, nowMs: number): void {
    this.#add(this.#own, model, { sinceMs: nowMs, untilMs: nowMs + forMs, kind: 'named' });
  }

  /** An answer to what was asked after a rest began ends it. */
  noteSuccess(model: string, startedAtMs: number): void {
    const left = (this.#own.get(model) ?? []).filter((rest) => rest.sinceMs >= startedAtMs);
    this.#own.set(model, left);
    if (left.length === 0) this.#inARow.delete(model);
  }

  forget(model: string): void {
    this.#own.delete(model);
    this.#inARow.delete(model);
  }

  #add(all: Map<string, ShadowRest[]>, whose: string, rest: ShadowRest): void {
    const still = (all.get(whose) ?? []).filter((known) => known.untilMs > rest.sinceMs);
    all.set(whose, [...still, rest]);
  }

  #addFirst(all: Map<string, ShadowRest[]>, whose: string, rest: ShadowRest, nowMs: number): void {
    const isKnown = all.get(whose)?.some((known) => known.kind === 'fixed' && known.untilMs > nowMs);
    if (!isKnown) this.#add(all, whose, rest);
  }
}
