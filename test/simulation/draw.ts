/**
 * Chance for random worlds: everything of a world is drawn from one seed, so that the seed alone repeats it. What draws more
 * or less often as the code under test decides has a stream of its own, so that a change of the code changes little else.
 */
import { seededRandom } from '../../src/simulation/latency-profile.js';

export class Draw {
  /** Uniform in [0, 1). */
  readonly random: () => number;

  readonly #seed: number;

  constructor(seed: number) {
    this.#seed = seed;
    this.random = seededRandom(Math.imul(seed + 1, 0x9e3779b1) ^ (seed >>> 7));
  }

  /** A stream of its own, by a name or by chance. */
  fork(name: number = this.whole(0, 0x7fff_ffff)): Draw {
    return new Draw(Math.imul(this.#seed ^ 0x5bd1e995, 0x1b873593) + name);
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
