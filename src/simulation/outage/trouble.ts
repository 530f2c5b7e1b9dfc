/**
 * What is wrong with a model, and when: the weather that a simulated outage is made of. Spells may overlap; at any
 * moment the worst of them holds.
 *
 * Pure: no clock, no chance.
 */
import type { FailureClass } from '../../policy/failure.js';

export interface Trouble {
  /** Part of the attempts that fail, 0 to 1. */
  readonly errorRatio: number;
  /** What they fail with. */
  readonly failsWith: FailureClass;
  /** How long it takes until a failing attempt is told so, ms. */
  readonly errorMs: number;
  /** What the provider says how long to stay away (`retry-after`), ms; absent: nothing. */
  readonly retryAfterMs?: number;
  /** Nothing is answered at all: only our own time limits end an attempt. */
  readonly hangs: boolean;
  /** Answers take so many times as long; 1 is usual. */
  readonly slowBy: number;
}

/** Moments in ms from the start of the simulation; `toMs` is the first moment after it. */
export interface Spell extends Partial<Trouble> {
  readonly fromMs: number;
  readonly toMs: number;
}

export const NO_TROUBLE: Trouble = { errorRatio: 0, failsWith: 'server_error', errorMs: 150, hangs: false, slowBy: 1 };

/** A model that answers fewer than half of what it is asked is down. */
const DOWN_RATIO = 0.5;

export function isDown({ errorRatio, hangs }: Trouble): boolean {
  return hangs || errorRatio >= DOWN_RATIO;
}

interface Stretch {
  readonly fromMs: number;
  readonly trouble: Trouble;
}

/** Of one model. Asked in the order of time, it answers without a search. */
export class Weather {
  readonly #stretches: readonly Stretch[];
  #at = 0;

  /** @param usual what holds outside of the spells, as a service's everyday failures. */
  constructor(spells: readonly Spell[], usual: Trouble = NO_TROUBLE) {
    this.#stretches = stretchesOf(spells, usual);
  }

  at(nowMs: number): Trouble {
    const stretches = this.#stretches;
    if (nowMs < stretches[this.#at]!.fromMs) this.#at = 0;
    for (let next = stretches[this.#at + 1]; next && next.fromMs <= nowMs; next = stretches[this.#at + 1]) this.#at++;
    return stretches[this.#at]!.trouble;
  }

  /** When it is down, from and to, in order. */
  *outages(): Generator<{ readonly fromMs: number; readonly toMs: number }> {
    let fromMs: number | undefined;
    for (const stretch of this.#stretches) {
      if (isDown(stretch.trouble)) fromMs ??= stretch.fromMs;
      else if (fromMs !== undefined) {
        yield { fromMs, toMs: stretch.fromMs };
        fromMs = undefined;
      }
    }
    if (fromMs !== undefined) yield { fromMs, toMs: Infinity };
  }
}

/** Between two moments at which a spell begins or ends, nothing changes. */
function stretchesOf(spells: readonly Spell[], usual: Trouble): Stretch[] {
  const edges = [...new Set([-Infinity, ...spells.flatMap(({ fromMs, toMs }) => [fromMs, toMs])])];
  const byStart = spells.toSorted((a, b) => a.fromMs - b.fromMs);
  let begun = 0;
  let open: Spell[] = [];
  return edges
    .toSorted((a, b) => a - b)
    .map((fromMs) => {
      while (begun < byStart.length && byStart[begun]!.fromMs <= fromMs) open.push(byStart[begun++]!);
      open = open.filter((spell) => spell.toMs > fromMs);
      return { fromMs, trouble: open.reduce<Trouble>(worse, usual) };
    });
}

function worse(trouble: Trouble, { fromMs: _from, toMs: _to, ...spell }: Spell): Trouble {
  const more = { ...NO_TROUBLE, ...spell };
  const harder = more.errorRatio >= trouble.errorRatio && more.errorRatio > 0 ? more : trouble;
  return {
    ...harder,
    errorRatio: Math.max(trouble.errorRatio, more.errorRatio),
    hangs: trouble.hangs || more.hangs,
    slowBy: Math.max(trouble.slowBy, more.slowBy),
  };
}
