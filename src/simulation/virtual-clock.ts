/**
 * Time that only moves when it is told to: what takes an hour in the world takes no time here, and happens in the same
 * order every time.
 *
 * Timers are kept in a binary heap by moment, then by the order in which they were set. It can leap, as the clock of a
 * machine that slept: what was due in between fires late, in its order.
 */
import type { Clock } from '../chain/clock.js';

interface Timer {
  readonly atMs: number;
  readonly order: number;
  fire: (() => void) | undefined;
}

export class VirtualClock implements Clock {
  readonly #startEpochMs: number;
  readonly #heap: Timer[] = [];
  #nowMs = 0;
  #order = 0;
  #liveTimers = 0;
  #wallShiftMs = 0;

  /** @param startEpochMs the wall time of the clock's beginning. */
  constructor(startEpochMs = Date.UTC(2026, 0, 1)) {
    this.#startEpochMs = startEpochMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  wallEpochMs(): number {
    return this.#startEpochMs + this.#nowMs + this.#wallShiftMs;
  }

  /** How many timers are set and have neither fired nor been cancelled. */
  get liveTimers(): number {
    return this.#liveTimers;
  }

  /** When the next timer is due, which after a leap may be in the past; Infinity: none is set. */
  get nextTimerAtMs(): number {
    for (let first = this.#heap[0]; first && !first.fire; first = this.#heap[0]) this.#pop();
    return this.#heap[0]?.atMs ?? Infinity;
  }

  setTimer(delayMs: number, fire: () => void): () => void {
    const timer: Timer = { atMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, fire };
    this.#push(timer);
    this.#liveTimers++;
    return () => {
      if (timer.fire) this.#liveTimers--;
      timer.fire = undefined;
    };
  }

  /** Goes on to the next timer and fires it. @returns false where none is left. */
  step(): boolean {
    for (let timer = this.#pop(); timer; timer = this.#pop()) {
      const { fire } = timer;
      if (!fire) continue;
      this.#nowMs = Math.max(this.#nowMs, timer.atMs);
      timer.fire = undefined;
      this.#liveTimers--;
      fire();
      return true;
    }
    return false;
  }

  /** Fires everything that is due within the next `ms`, then stands there. */
  advance(ms: number): void {
    const untilMs = this.#nowMs + ms;
    while (this.nextTimerAtMs <= untilMs) this.step();
    this.#nowMs = untilMs;
  }

  /** Time has passed and nothing has fired yet: the process, or the whole machine, stood still. */
  leap(ms: number): void {
    this.#nowMs += ms;
  }

  /** The wall clock is set anew, by `ms`, forward or back; the monotonic clock does not notice. */
  shiftWall(ms: number): void {
    this.#wallShiftMs += ms;
  }

  #push(timer: Timer): void {
    const heap = this.#heap;
    heap.push(timer);
    for (let at = heap.length - 1; at > 0;) {
      const parent = (at - 1) >> 1;
      if (!isBefore(timer, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      heap[parent] = timer;
      at = parent;
    }
  }

  #pop(): Timer | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (!first || !last || heap.length === 0) return first;
    heap[0] = last;
    for (let at = 0; ;) {
      const left = at * 2 + 1;
      if (left >= heap.length) break;
      const right = left + 1;
      const child = right < heap.length && isBefore(heap[right]!, heap[left]!) ? right : left;
      if (!isBefore(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      heap[child] = last;
      at = child;
    }
    return first;
  }
}

function isBefore(a: Timer, b: Timer): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
