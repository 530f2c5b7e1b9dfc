/** The two hundred scenarios: those that somebody thought of, and as many again by chance as are left. */
import type { Script } from '../script.js';
import { AFTER_A_FAILURE, EVERY_FAULT } from './after-a-failure.js';
import { randomScript } from './drawn.js';
import { LOAD } from './load.js';
import { OUTAGES } from './outages.js';
import { STREAMS } from './streams.js';

const COUNT = 200;
/** Those that once were decided differently, or never came to an end. */
const KEPT_SEEDS = [58, 1_514, 1_880];
const written: readonly Script[] = [
  ...EVERY_FAULT,
  ...AFTER_A_FAILURE,
  ...OUTAGES,
  ...STREAMS,
  ...LOAD,
  ...KEPT_SEEDS.map(randomScript),
];

/** @param seed of the drawn ones. */
export function allScripts(seed: number): readonly Script[] {
  const drawn = Array.from({ length: COUNT - written.length }, (_, i) => randomScript(seed + i));
  return [...written, ...drawn];
}
