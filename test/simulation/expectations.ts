/**
 * What must still happen before time may go on. With a clock that only moves when it is told to, nothing in the app waits
 * but for bytes that are on their way; whoever sends some says here what they will lead to.
 */
import { setImmediate as turn } from 'node:timers/promises';

/** Bytes on loopback take less than this on any machine; what has not come by then never will. */
const LOST_AFTER_MS = 20_000;

export class Expectations {
  /** The longest that something took to come, ms. */
  slowestMs = 0;
  readonly #open = new Map<string, number>();
  #onChange = (): void => {};

  expect(what: string): void {
    this.#open.set(what, performance.now());
  }

  meet(what: string): void {
    const sinceMs = this.#open.get(what);
    if (sinceMs === undefined) return;
    this.#open.delete(what);
    this.slowestMs = Math.max(this.slowestMs, performance.now() - sinceMs);
    this.#onChange();
  }

  /** Resolves when all has come, and all that it led to within the process. Rejects where something is lost. */
  async settled(): Promise<void> {
    for (;;) {
      // A limit that has passed looks once more at its socket before it acts, one turn later.
      for (let turns = 0; turns < 3; turns++) await turn();
      if (this.#open.size === 0) return;
      await this.#change();
    }
  }

  async #change(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const lost = setTimeout(() => reject(new Error(`never came: ${[...this.#open.keys()].join('; ')}`)), LOST_AFTER_MS);
    this.#onChange = resolve;
    try {
      await promise;
    } finally {
      clearTimeout(lost);
      this.#onChange = () => {};
    }
  }
}
