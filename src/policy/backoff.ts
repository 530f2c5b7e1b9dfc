/**
 * Exponential backoff with full jitter: how long to wait before a retry.
 *
 * Pure: chance comes in. Full jitter (a uniform draw from zero to the bound) spreads the retries of many callers best.
 * Source: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
 */
import type { Policy } from './policy.js';

/**
 * The longest wait before a retry.
 * @param retriesBefore how many retries this request has already made, 0 or more.
 */
export function backoffBoundMs(backoff: Policy['backoff'], retriesBefore: number): number {
  return Math.min(backoff.maxMs, backoff.baseMs * backoff.factor ** retriesBefore);
}

/** @param random uniform in [0, 1). */
export function backoffMs(backoff: Policy['backoff'], retriesBefore: number, random: () => number): number {
  return backoffBoundMs(backoff, retriesBefore) * random();
}
