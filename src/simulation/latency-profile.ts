/**
 * How long a simulated model takes: time to its first token (lognormal, as measured services have it) and the pace of
 * the tokens after it. Chance comes from a seed, so that a run repeats.
 *
 * Pure: gives milliseconds, waits for nothing.
 */

export interface LatencyProfile {
  readonly ttftP50Ms: number;
  /** Spread of the lognormal: standard deviation of ln(ttft). */
  readonly ttftSigma: number;
  readonly tokensPerSecond: number;
}

/**
 * A large model. Median and pace: hourly probes of openai/gpt-5.4 through OpenRouter, n 17 (jonathanwrede.de, 2026):
 * 912 ms, 44.8 tokens/s. Spread: 14 calls of one hosted model with median 2.8 s and mean 4.9 s, which a lognormal with
 * sigma 0.8 fits (cypherex/Copilot-CLI, LLM_TIMING_DEEP_DIVE.md).
 */
const GPT_4_LIKE: LatencyProfile = { ttftP50Ms: 912, ttftSigma: 0.8, tokensPerSecond: 44.8 };

/**
 * A small, fast one. First token: p50 250 ms, p95 700 ms (openai/gpt-4o; deploybase.ai, 2026-03, a vendor's blog), so
 * sigma = ln(700 / 250) / 1.645. Pace: google/gemini-2.5-flash, 235.6 tokens/s (jonathanwrede.de, 2026).
 */
const GPT_35_LIKE: LatencyProfile = { ttftP50Ms: 250, ttftSigma: 0.626, tokensPerSecond: 235.6 };

const FAST_NAMES = /3\.5|mini|nano|flash|haiku|small|lite/iu;

export function profileFor(model: string): LatencyProfile {
  return FAST_NAMES.test(model) ? GPT_35_LIKE : GPT_4_LIKE;
}

/** A generator of numbers in [0, 1), the same ones for the same seed. Mulberry32 (public domain, Tommy Ettinger). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** 32 bits from a text (FNV-1a): makes seeds and choices repeat per text. */
export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let position = 0; position < text.length; position++) {
    hash = Math.imul(hash ^ text.charCodeAt(position), 0x01000193);
  }
  return hash >>> 0;
}

/** Lognormal: half of the draws are below the profile's median. */
export function drawTtftMs(profile: LatencyProfile, random: () => number): number {
  // Box-Muller; 1 - random() keeps the logarithm away from zero.
  const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  return profile.ttftP50Ms * Math.exp(profile.ttftSigma * normal);
}

/** The wait before the next token: the mean pace, half to one and a half times, as real tokens come unevenly. */
export function drawTokenMs(profile: LatencyProfile, random: () => number): number {
  return (1000 / profile.tokensPerSecond) * (0.5 + random());
}
