/**
 * Retry budget: successes pay for retries and hedges, so that in an outage, where nothing succeeds, they die out by
 * themselves and our load on a failing provider does not multiply. Fallbacks are free: each model is asked once.
 *
 * Pure. One per process, not shared by replicas, since each sees its own part of the traffic.
 * Source: Finagle's RetryBudget; Google SRE book, "Handling Overload".
 */
import type { Policy } from './policy.js';

export class RetryBudget {
  readonly #policy: Policy['retryBudget'];
  #balance: number;

  /** Begins full: a process that has just started may retry. */
  constructor(policy: Policy['retryBudget']) {
    this.#policy = policy;
    this.#balance = policy.burst;
  }

  isOf(policy: Policy['retryBudget']): boolean {
    return policy.ratio === this.#policy.ratio && policy.burst === this.#policy.burst;
  }

  /** What is left, 0 to `burst`; a retry or hedge costs 1. */
  get balance(): number {
    return this.#balance;
  }

  get canPay(): boolean {
    // Ten tenths are a little less than one.
    return this.#balance >= 1 - 1e-9;
  }

  deposit(): void {
    this.#balance = Math.min(this.#policy.burst, this.#balance + this.#policy.ratio);
  }

  /** @returns whether it could be paid. */
  tryWithdraw(): boolean {
    if (!this.canPay) return false;
    this.#balance = Math.max(0, this.#balance - 1);
    return true;
  }
}
