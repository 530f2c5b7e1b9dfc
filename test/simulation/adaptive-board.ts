/**
 * An experiment: boards that learn how many attempts a model takes at a time, as a concurrency limit does. Kept outside of
 * the product; docs/concepts/simulator.md says what came of it.
 * Sources: Chiu and Jain, "Analysis of the Increase and Decrease Algorithms for Congestion Avoidance", 1989 (additive
 * increase, multiplicative decrease); Netflix concurrency-limits (a gradient of latencies).
 */
import { type Claim, type EndedAttempt, ModelBoard } from '../../src/chain/model-board.js';
import type { Availability } from '../../src/policy/health-view.js';

const SHED_MS = 1_000;
const DECREASE = 0.9;
const LEAST = 1;
/** An answer that took so many times the usual says that too much is under way. */
const TOO_SLOW = 2;
const SLOWLY = 0.02;

interface Learnt {
  live: number;
  limit: number;
  usualMs: number | undefined;
}

abstract class AdaptiveBoard extends ModelBoard {
  readonly #learnt = new Map<string, Learnt>();

  override availability(model: string, nowMs: number, lot?: number): Availability {
    const known = super.availability(model, nowMs, lot);
    const { live, limit } = this.#of(model);
    const isFull = (known.state === 'usable' || known.state === 'ramping') && live >= limit;
    return isFull ? { state: 'full', hasRoom: false, untilMs: nowMs + SHED_MS } : known;
  }

  override begin(...order: Parameters<ModelBoard['begin']>): Claim {
    this.#of(order[0].model).live++;
    return super.begin(...order);
  }

  override release(...claim: Parameters<ModelBoard['release']>): void {
    this.#of(claim[0].model).live--;
    super.release(...claim);
  }

  override record(...ended: Parameters<ModelBoard['record']>): void {
    const learnt = this.#of(ended[0].model);
    if (this.isTooMuch(ended[0], learnt))
      learnt.limit = Math.max(LEAST, Math.min(learnt.limit, learnt.live) * DECREASE);
    else if (ended[0].outcome === 'ok' && learnt.live * 2 > learnt.limit) learnt.limit += 1 / learnt.limit;
    super.record(...ended);
  }

  protected abstract isTooMuch(ended: EndedAttempt, learnt: Learnt): boolean;

  #of(model: string): Learnt {
    const known = this.#learnt.get(model);
    if (known) return known;
    const learnt: Learnt = { live: 0, limit: Infinity, usualMs: undefined };
    this.#learnt.set(model, learnt);
    return learnt;
  }
}

/** Learns from refusals. */
export class LimitedByRefusals extends AdaptiveBoard {
  protected isTooMuch({ outcome }: EndedAttempt): boolean {
    return outcome === 'overloaded';
  }
}

/** Learns from refusals, and from answers that take much longer than they did. */
export class LimitedByLatency extends AdaptiveBoard {
  protected isTooMuch({ outcome, latencyMs }: EndedAttempt, learnt: Learnt): boolean {
    if (outcome !== 'ok') return outcome === 'overloaded' || outcome === 'timeout_total';
    learnt.usualMs ??= latencyMs;
    const isSlow = latencyMs > learnt.usualMs * TOO_SLOW;
    learnt.usualMs += (latencyMs - learnt.usualMs) * SLOWLY;
    return isSlow;
  }
}
