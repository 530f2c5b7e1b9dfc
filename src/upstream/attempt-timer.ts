/**
 * The one timer of an attempt. Every token moves its due time on, which costs an assignment: the timer itself is set anew
 * only when it fires too early, or when something is due sooner than it would fire.
 */

/** The runtime's timers take no more, and fire at once instead; what is due later is looked at again then. */
const LONGEST_DELAY_MS = 2 ** 31 - 1;

export interface TimerClock {
  nowMs(): number;
  setTimer(delayMs: number, fire: () => void): () => void;
}

export class AttemptTimer {
  readonly #clock: TimerClock;
  readonly #onDue: () => void;
  #dueAtMs = Infinity;
  #firesAtMs = Infinity;
  #cancel: (() => void) | null = null;

  constructor(clock: TimerClock, onDue: () => void) {
    this.#clock = clock;
    this.#onDue = onDue;
  }

  /** @param dueAtMs on the clock's `nowMs`; `Infinity`: nothing is due. */
  aim(dueAtMs: number): void {
    this.#dueAtMs = dueAtMs;
    if (dueAtMs < this.#firesAtMs) this.#arm();
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = null;
    this.#dueAtMs = Infinity;
    this.#firesAtMs = Infinity;
  }

  #arm(): void {
    this.#cancel?.();
    this.#firesAtMs = this.#dueAtMs;
    const delayMs = Math.min(Math.max(0, this.#dueAtMs - this.#clock.nowMs()), LONGEST_DELAY_MS);
    this.#cancel = this.#clock.setTimer(delayMs, () => this.#fire());
  }

  #fire(): void {
    this.#cancel = null;
    this.#firesAtMs = Infinity;
    if (this.#clock.nowMs() >= this.#dueAtMs) {
      this.#dueAtMs = Infinity;
      this.#onDue();
    } else if (this.#dueAtMs < Infinity) this.#arm();
  }
}
