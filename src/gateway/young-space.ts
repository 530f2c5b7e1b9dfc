/**
 * How much garbage the process lets lie. What a gateway reads are pieces of 64 KB, which lie outside of the runtime's
 * heap; what it counts before it cleans up are the small objects that hold them. Hundreds of pieces pile up until those
 * fill their 32 MB: a stream of 50 MB to a slow reader made the process grow by 60 MB, of which it held none.
 *
 * With an eighth of it, that stream takes 9 to 16 MB, and requests cost what they did (docs/benchmarks.md has the
 * figures). What `npm start` says to the runtime holds for the start; this does however the gateway was started.
 */
import { setFlagsFromString } from 'node:v8';

/** Two halves of that size, of which one is in use. */
const HALF_MB = 2;
/** Older runtimes do not know the flag, and would say so on standard error. */
const KNOWN_SINCE_NODE = 24;

/** From now on; what the space has grown to by then, it gives back as it is cleaned. */
export function keepYoungSpaceSmall(): void {
  const [major] = process.versions.node.split('.').map(Number);
  if (major !== undefined && major >= KNOWN_SINCE_NODE) {
    setFlagsFromString(`--scavenger-max-new-space-capacity-mb=${HALF_MB}`);
  }
}
