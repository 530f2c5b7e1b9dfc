/**
 * How a request's time is shared out among the models that may still be asked, so that one which hangs does not eat what
 * the next ones need.
 *
 * Pure. A model gets what is left less what the later ones usually take; of a model nothing is known of yet, an equal part.
 * Source of the idea: "deadline propagation" of the Google SRE book; LESSONS: 490 s gone before the fallback was reached.
 */

export interface ShareRequest {
  /** Until the deadline, ms. */
  readonly leftMs: number;
  /** The longest that the attempt may take in any case, ms. */
  readonly timeoutMs: number;
  /** What the model itself usually takes, ms; undefined: not known. */
  readonly usualMs: number | undefined;
  /** What each of the models that could be asked after it usually takes, ms; undefined: not known. */
  readonly laterMs: readonly (number | undefined)[];
}

/** However fast it usually is: an attempt needs some time, or it need not be begun. */
const LEAST_MS = 10;

/** One answer in twenty takes longer than is usual: cut off there, a model that is well would look ill. */
const MARGIN = 3;

/** Where it does not suffice for all, the earlier model comes first: it gets what it usually takes, and some more. */
export function shareOfDeadlineMs({ leftMs, timeoutMs, usualMs, laterMs }: ShareRequest): number {
  const equalMs = leftMs / (laterMs.length + 1);
  const reservedMs = laterMs.reduce<number>((sum, laterUsualMs) => sum + (laterUsualMs ?? equalMs), 0);
  const spareMs = leftMs - reservedMs;
  const leastMs = Math.max(LEAST_MS, usualMs ?? equalMs);
  const ownMs = spareMs >= leastMs ? spareMs : Math.max(leastMs, Math.min(equalMs, leastMs * MARGIN));
  return Math.min(timeoutMs, leftMs, ownMs);
}
