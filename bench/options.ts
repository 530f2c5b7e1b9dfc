/** What may be said on the command line, read once. */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';

import { NAMES } from './scenarios.ts';

export interface BenchOptions {
  readonly only: ReadonlySet<string>;
  /** Pairs of rounds that count. */
  readonly rounds: number;
  readonly warmUps: number;
  readonly isNoise: boolean;
  readonly isJson: boolean;
  readonly dist: string;
  /** Another build, in the yardstick's place. */
  readonly vs: string | undefined;
  /** A directory. */
  readonly profile: string | undefined;
  readonly isHelp: boolean;
}

const ROUNDS = 11;
const MAX_ROUNDS = 50;

export const USAGE = `npm run bench -- [options]
  --only NAME,…   of: ${NAMES.join(', ')}
  --quick         two pairs of rounds instead of ${ROUNDS}: a look, no figure
  --rounds N      pairs of rounds that count, 1 to ${MAX_ROUNDS}
  --noise         the yardstick against itself: what a ratio of 1 scatters by
  --dist DIR      the build to measure (dist)
  --vs DIR        another build as the yardstick: before and after, in one run
  --profile DIR   CPU profiles of all who are measured; they cost, so the figures of such a run count little
  --json          for programs`;

/** Throws with one line that says what is wrong. */
export function readOptions(args: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string' },
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      noise: { type: 'boolean', default: false },
      dist: { type: 'string', default: 'dist' },
      vs: { type: 'string' },
      profile: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const only = new Set(values.only?.split(',') ?? NAMES);
  const unknown = [...only].find((name) => !NAMES.includes(name));
  if (unknown !== undefined) throw new Error(`--only ${unknown}: expected some of ${NAMES.join(', ')}`);
  const rounds = Number(values.rounds ?? (values.quick ? 2 : ROUNDS));
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > MAX_ROUNDS) {
    throw new Error(`--rounds ${values.rounds}: expected a whole number from 1 to ${MAX_ROUNDS}`);
  }
  return {
    only,
    rounds,
    warmUps: values.quick ? 1 : 2,
    isNoise: values.noise,
    isJson: values.json,
    dist: resolve(values.dist),
    vs: values.vs === undefined ? undefined : resolve(values.vs),
    profile: values.profile === undefined ? undefined : resolve(values.profile),
    isHelp: values.help,
  };
}
