/**
 * How many attempts one model takes at once (`maxConcurrent`), and the short queue for a place: when the large model dies,
 * its whole load must not drown the small one.
 */

/** Woken when a place is free; whoever wakes looks for it again, for another may have been faster. */
export interface Waiter {
  wake(): void;
}

export class Places {
  /** Attempts under way. */
  live = 0;
  #limit: number;
  readonly #waiting = new Set<Waiter>();

  /** @param limit attempts at once; undefined: as many as come. */
  constructor(limit: number | undefined) {
    this.#limit = limit ?? Infinity;
  }

  get isFull(): boolean {
    return this.live >= this.#limit;
  }

  /** As many may wait as can be served at once: a longer queue would only be answered too late. */
  get hasRoom(): boolean {
    return this.#waiting.size < this.#limit;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  wait(waiter: Waiter): void {
    this.#waiting.add(waiter);
  }

  leave(waiter: Waiter): void {
    this.#waiting.delete(waiter);
  }

  take(): void {
    this.live++;
  }

  free(): void {
    this.live--;
    this.wake();
  }

  /** After a reload: attempts under way keep their places, and may be more than there are now. */
  resize(limit: number | undefined): void {
    this.#limit = limit ?? Infinity;
  }

  /** While there are places. Who is woken may find something better, or have no time left: then it is the next one's. */
  wake(): void {
    const waiting = [...this.#waiting];
    for (const next of waiting) {
      if (this.isFull) return;
      this.#waiting.delete(next);
      next.wake();
    }
  }
}
