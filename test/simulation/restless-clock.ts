/** A virtual clock whose timers are as exact as real ones: up to a millisecond early, or some time late. */
import type { Clock } from '../../src/chain/clock.js';
import type { VirtualClock } from '../../src/simulation/virtual-clock.js';
import type { Draw } from './draw.js';

/** Node fires a timer up to a millisecond before its time. */
const EARLY_MS = 1;

export class RestlessClock implements Clock {
  readonly #clock: VirtualClock;
  readonly #draw: Draw;
  readonly #lateMs: number;

  /** @param lateMs the latest that a timer fires after its time; 0: all are exact. */
  constructor(clock: VirtualClock, draw: Draw, lateMs: number) {
    this.#clock = clock;
    this.#draw = draw;
    this.#lateMs = lateMs;
  }

  nowMs(): number {
    return this.#clock.nowMs();
  }

  wallEpochMs(): number {
    return this.#clock.wallEpochMs();
  }

  setTimer(delayMs: number, fire: () => void): () => void {
    if (this.#lateMs === 0) return this.#clock.setTimer(delayMs, fire);
    const isEarly = delayMs > EARLY_MS && this.#draw.chance(0.3);
    const byMs = isEarly ? -this.#draw.random() * EARLY_MS : this.#draw.random() * this.#lateMs;
    return this.#clock.setTimer(delayMs + byMs, fire);
  }
}
