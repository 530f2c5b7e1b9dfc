/** Chance for random worlds: everything of a world is drawn from one seed, so that the seed alone repeats it. */
import { seededRandom } from '../../src/simulation/latency-profile.js';

export class Draw {
  /** Uniform in [0, 1). */
  readonly random: () => number;

  constructor(seed: number) {
    this.random = seededRandom(Math.imul(seed + 1, 0x9e3779b1) ^ (seed >>> 7));
  }

  chance(p: number): boolean {
    return this.random() < p;
  }

  /** A whole number from `min` to `max`, both included. */
  whole(min: number, max: number): number {
    return min + Math.floor(this.random() * (max - min + 1));
  }

  pick<T>(from: readonly T[]): T {
    const picked = from[Math.floor(this.random() * from.length)];
    if (picked === undefined) throw new Error('picked from nothing');
    return picked;
  }

  maybe<T>(p: number, draw: () => T): T | undefined {
    return this.chance(p) ? draw() : undefined;
  }

  /** Half to one and a half times so much. */
  about(usual: number): number {
    return usual * (0.5 + this.random());
  }

  shuffled<T>(list: readonly T[]): T[] {
    const all = [...list];
    for (let i = all.length - 1; i > 0; i--) {
      const j = this.whole(0, i);
      [all[i], all[j]] = [all[j]!, all[i]!];
    }
    return all;
  }
}
