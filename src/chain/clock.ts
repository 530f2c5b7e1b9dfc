/**
 * Time as the driver sees it: a monotonic clock for decisions, wall time for the wire, one-shot timers. Tests and the
 * simulator bring their own.
 */
export interface Clock {
  /** Monotonic, ms, with fractions. */
  nowMs(): number;
  /** Milliseconds since the epoch. */
  wallEpochMs(): number;
  /** @returns what cancels it; harmless after it has fired. */
  setTimer(delayMs: number, fire: () => void): () => void;
}

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallEpochMs: () => Date.now(),
  setTimer(delayMs, fire) {
    const timer = setTimeout(fire, Math.ceil(delayMs));
    return () => clearTimeout(timer);
  },
};
