/**
 * Since when each thing is up or down, as far as anyone looked or was told. Moments are monotonic ms.
 *
 * A rest ends by itself, with nobody looking: it is noted with its end, so that whoever looks next tells the right moment.
 */
export type Status = 'up' | 'down';

interface Noted {
  readonly status: Status;
  readonly sinceMs: number;
  /** When it ends by itself. */
  readonly untilMs: number;
}

export class Since {
  readonly #bornAtMs: number;
  readonly #noted = new Map<string, Noted>();

  constructor(bornAtMs: number) {
    this.#bornAtMs = bornAtMs;
  }

  /**
   * @param changedAtMs when it changed, where that is known and it has; default: now.
   * @param untilMs when it ends by itself.
   * @returns since when it has been so.
   */
  note(
    name: string,
    status: Status,
    nowMs: number,
    { changedAtMs = nowMs, untilMs = Infinity }: { readonly changedAtMs?: number; readonly untilMs?: number } = {},
  ): number {
    const before = this.#noted.get(name) ?? { status: 'up', sinceMs: this.#bornAtMs, untilMs: Infinity };
    const hasEnded = before.untilMs <= nowMs;
    const isSame = before.status === status && !hasEnded;
    const sinceMs = isSame
      ? before.sinceMs
      : Math.max(before.sinceMs, hasEnded && status === 'up' ? before.untilMs : changedAtMs);
    this.#noted.set(name, { status, sinceMs, untilMs });
    return sinceMs;
  }

  /** Forgets what is not named any more. */
  keepOnly(isNamed: (name: string) => boolean): void {
    for (const name of this.#noted.keys()) if (!isNamed(name)) this.#noted.delete(name);
  }
}
