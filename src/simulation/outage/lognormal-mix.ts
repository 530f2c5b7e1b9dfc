/**
 * Mixtures of lognormal distributions: what the lengths of incidents, the gaps between them and the tokens of requests
 * are drawn from. One lognormal has a tail too thin for incidents (the rare day-long one) and one peak too few for
 * answers (short replies and long texts); two have neither fault.
 *
 * Pure: chance comes in.
 */

export interface LognormalPart {
  /** Part of the draws that come from here; those of a mixture add up to 1. */
  readonly share: number;
  readonly median: number;
  /** Standard deviation of the logarithm. */
  readonly sigma: number;
}

export type LognormalMix = readonly LognormalPart[];

export function drawFromMix(mix: LognormalMix, random: () => number): number {
  const { median, sigma } = mix.length === 1 ? mix[0]! : pickByShare(mix, random);
  return median * Math.exp(sigma * drawNormal(random));
}

export function meanOfMix(mix: LognormalMix): number {
  return mix.reduce((sum, { share, median, sigma }) => sum + share * median * Math.exp((sigma * sigma) / 2), 0);
}

/** One of several, each as often as its share says. The shares add up to 1; what rounding leaves goes to the last. */
export function pickByShare<T extends { readonly share: number }>(parts: readonly T[], random: () => number): T {
  let left = random();
  for (const part of parts) {
    left -= part.share;
    if (left < 0) return part;
  }
  return parts.at(-1)!;
}

/** Mean 0, standard deviation 1. Box-Muller; `1 - random()` keeps the logarithm away from zero. */
export function drawNormal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}
