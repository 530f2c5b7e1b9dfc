/**
 * The nearest known name to one that is not known, for "did you mean …".
 */

export interface Nearest {
  readonly name: string;
  /** Letters to change, add or leave out; 0 where only capitals differ. */
  readonly distance: number;
}

/**
 * @param names in order of preference: of equally near ones, the first is taken.
 * @returns undefined only where there are no names.
 */
export function nearest(wanted: string, names: Iterable<string>): Nearest | undefined {
  let best: Nearest | undefined;
  for (const name of names) {
    const distance = distanceBetween(wanted.toLowerCase(), name.toLowerCase());
    if (best === undefined || distance < best.distance) best = { name, distance };
  }
  return best;
}

/** `retries` for `maxRetries`, `url` for `baseUrl`: a part of a name is as near to it as a slip of the hand. */
const PART_DISTANCE = 2;
const SHORTEST_PART = 3;

function distanceBetween(wanted: string, name: string): number {
  const distance = editDistance(wanted, name);
  const [shorter, longer] = wanted.length < name.length ? [wanted, name] : [name, wanted];
  return shorter.length >= SHORTEST_PART && longer.includes(shorter) ? Math.min(distance, PART_DISTANCE) : distance;
}

/** `; did you mean NAME?`, or nothing where there is no name to offer. */
export function didYouMean(wanted: string, names: Iterable<string>): string {
  const found = nearest(wanted, names);
  return found === undefined ? '' : `; did you mean ${found.name}?`;
}

/** Longer names than any of ours are compared by their beginning: the cost grows with the square of the length. */
const LONGEST_COMPARED = 64;

/** Levenshtein distance, row by row. */
function editDistance(left: string, right: string): number {
  const a = left.slice(0, LONGEST_COMPARED);
  const b = right.slice(0, LONGEST_COMPARED);
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= b.length; column += 1) {
      const replaced = (previous[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1);
      current.push(Math.min(replaced, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[b.length] ?? 0;
}
