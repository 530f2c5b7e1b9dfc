/** How wild a random world is: calm ones learn latencies, hedge and recover; in harsh ones everything hurts. */
export interface Temper {
  /** Share of a policy that is drawn at all; the rest are defaults. 0 to 1. */
  readonly odd: number;
  /** How often a time of a policy is so short that it hurts, 0 to 1. */
  readonly short: number;
  /** How often a model's mood changes between two requests, and how often to a good one, 0 to 1. */
  readonly moody: number;
  readonly good: number;
  /** About so long between two requests; about so long until a model says something. One is drawn for each world. */
  readonly gapsMs: readonly number[];
  readonly usualMs: readonly number[];
  /** Deadlines of callers. */
  readonly deadlinesMs: readonly number[];
  readonly requests: readonly [least: number, most: number];
  /** Answers that each model has given before the world begins. */
  readonly known: readonly number[];
}

export const CALM: Temper = {
  odd: 0.25,
  short: 0.04,
  moody: 0.05,
  good: 0.5,
  gapsMs: [10, 100, 500, 2_000],
  usualMs: [1, 20, 200],
  deadlinesMs: [1_000, 10_000],
  requests: [20, 120],
  known: [0, 30, 150],
};

export const HARSH: Temper = {
  odd: 0.7,
  short: 0.25,
  moody: 0.08,
  good: 0.25,
  gapsMs: [0, 1, 10, 100, 1_000, 5_000],
  usualMs: [1, 20, 200, 2_000],
  deadlinesMs: [1, 30, 1_000, 10_000],
  requests: [5, 50],
  known: [0, 0, 30],
};
