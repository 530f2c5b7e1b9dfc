/**
 * When requests come and how long they are: evenly, by chance, or in bursts; at the same rate all day or with a day's
 * rise and fall. One request costs a fraction of a microsecond, so that a million of them do not show in a simulation.
 *
 * Pure: chance comes in; lazy: a day of traffic is never held.
 */
import { drawFromMix, drawNormal, type LognormalMix } from './lognormal-mix.js';
import type { Arrival } from './run-scenario.js';

export interface Traffic {
  /** Mean of a whole day, in requests per second. */
  readonly perSecond: number;
  /** `regular`: exactly as far apart as the rate says. `poisson`: independent of each other. `bursts`: in clusters. */
  readonly pattern: 'regular' | 'poisson' | 'bursts';
  /** Standard deviation of the gaps by their mean, for `bursts`; above 0, 1 is Poisson. */
  readonly burstCv?: number;
  /** Rise and fall over the day; absent: the same rate always. */
  readonly day?: DayShape;
  readonly tokens?: TokenFigures;
}

/** A sine: once a day up, once down. Moments in ms from the start of the simulation. */
export interface DayShape {
  /** The highest rate by the mean, from 1 to below 2; the lowest is as far below. */
  readonly peak: number;
  readonly peakAtMs: number;
}

export interface TokenFigures {
  readonly input: LognormalMix;
  readonly output: LognormalMix;
}

const DAY_MS = 86_400_000;

/**
 * Four times as many at the height of the day as at night. An assumption: the trace at hand is an hour long and says
 * nothing of days. The simulation begins at midnight.
 */
export const USUAL_DAY: DayShape = { peak: 1.6, peakAtMs: (14 / 24) * DAY_MS };

/**
 * Gaps with a Gamma distribution, after BurstGPT (arXiv 2401.17644). How bursty is an assumption, on the bad side: in the
 * first 20 minutes of Azure's conversations of 2023 it was 1.06, nearly Poisson.
 */
const USUAL_BURST_CV = 2;

/**
 * The conversations of Azure's LLM inference trace of 2023 (AzurePublicDataset, CC BY 4.0; Patel et al., "Splitwise", ISCA
 * 2024), a whole hour. Input p50/p90/p99: data 1020/2735/4142, fit 1018/2623/4209; output 129/424/601, fit 129/426/600.
 * Drawn independently of each other: their logarithms correlate by 0.13.
 */
export const CONVERSATION_TOKENS: TokenFigures = {
  input: [
    { share: 0.557, median: 435.5, sigma: 0.777 },
    { share: 0.443, median: 1940, sigma: 0.378 },
  ],
  output: [
    { share: 0.674, median: 87.1, sigma: 0.607 },
    { share: 0.326, median: 372.3, sigma: 0.252 },
  ],
};

/** Requests in the order of time, without end. */
export function* arrivals(traffic: Traffic, random: () => number): Generator<Arrival, never, undefined> {
  const { perSecond, day, tokens = CONVERSATION_TOKENS } = traffic;
  const drawGap = gapsOf(traffic, random);
  const meanGapMs = 1_000 / perSecond;
  let gaps = 0;
  let atMs = 0;
  for (;;) {
    const gap = drawGap();
    gaps += gap;
    // Counted, not added up: the 12,000th of 200 a second comes at a minute, and not a rounding error before.
    atMs = day ? atMs + (gap * meanGapMs) / rateNear(day, atMs, gap * meanGapMs) : (gaps * 1_000) / perSecond;
    yield { atMs, inputTokens: drawTokens(tokens.input, random), outputTokens: drawTokens(tokens.output, random) };
  }
}

export function drawTokens(mix: LognormalMix, random: () => number): number {
  return Math.max(1, Math.round(drawFromMix(mix, random)));
}

/** The rate in the middle of the gap that begins at `atMs`, by the mean rate. */
function rateNear(day: DayShape, atMs: number, gapMs: number): number {
  return rateAt(day, atMs + gapMs / rateAt(day, atMs) / 2);
}

/** By the mean. */
function rateAt({ peak, peakAtMs }: DayShape, atMs: number): number {
  return 1 + (peak - 1) * Math.cos((2 * Math.PI * (atMs - peakAtMs)) / DAY_MS);
}

/** Gaps with a mean of 1. */
function gapsOf({ pattern, burstCv = USUAL_BURST_CV }: Traffic, random: () => number): () => number {
  switch (pattern) {
    case 'regular':
      return () => 1;
    case 'poisson':
      return () => -Math.log(1 - random());
    case 'bursts': {
      const shape = 1 / (burstCv * burstCv);
      return () => drawGamma(shape, random) / shape;
    }
    default:
      return pattern satisfies never;
  }
}

/**
 * Gamma distribution of scale 1. Marsaglia and Tsang, "A Simple Method for Generating Gamma Variables", ACM TOMS 2000; a
 * shape below 1 by theirs of one more, times a power of a uniform draw.
 */
function drawGamma(shape: number, random: () => number): number {
  if (shape < 1) return drawGamma(shape + 1, random) * (1 - random()) ** (1 / shape);
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const normal = drawNormal(random);
    const v = (1 + c * normal) ** 3;
    if (v > 0 && Math.log(1 - random()) < normal * normal * 0.5 + d - d * v + d * Math.log(v)) return d * v;
  }
}
