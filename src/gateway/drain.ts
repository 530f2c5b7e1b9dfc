/**
 * Leaving without losing a request: what is under way, when the last caller came, and the wait until both are quiet.
 *
 * The listener stays open meanwhile: a load balancer goes on sending for a moment after it was told. Whoever comes is
 * served, and told to come back elsewhere (`connection: close`). Probes are no callers.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';

export interface DrainLimits {
  /** Nobody has come for so long: nobody sends any more. */
  readonly quietMs: number;
  /** Longest wait for what is under way. */
  readonly graceMs: number;
}

const LOOK_EVERY_MS = 20;

export class Drain {
  #underWay = 0;
  #lastCameAtMs = 0;
  #isDraining = false;

  /** Every request passes here first. */
  enter(request: IncomingMessage, response: ServerResponse): void {
    this.#underWay += 1;
    response.once('close', () => {
      this.#underWay -= 1;
    });
    if (!this.#isDraining) return;
    response.setHeader('connection', 'close');
    if (!isProbe(request)) this.#lastCameAtMs = performance.now();
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  /** Requests that have come and are not answered whole. */
  get underWay(): number {
    return this.#underWay;
  }

  /** @returns whether everything has finished; false: the grace is over. */
  async untilQuiet({ quietMs, graceMs }: DrainLimits): Promise<boolean> {
    this.#isDraining = true;
    const startedAtMs = performance.now();
    this.#lastCameAtMs = startedAtMs;
    for (;;) {
      const nowMs = performance.now();
      if (this.#underWay === 0 && nowMs - this.#lastCameAtMs >= Math.min(quietMs, graceMs)) return true;
      if (nowMs - startedAtMs >= graceMs) return this.#underWay === 0;
      await new Promise((look) => setTimeout(look, LOOK_EVERY_MS));
    }
  }
}

function isProbe({ url }: IncomingMessage): boolean {
  return url?.startsWith('/health') ?? false;
}
