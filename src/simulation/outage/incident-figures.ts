/**
 * How often providers have incidents, how long these last and how bad they are: parameters fitted to what their own
 * status pages said. docs/concepts/simulator.md tells how, and how well they fit; no row of the tables is in here.
 *
 * A status page under-reports: an incident is an upper bound of the time in trouble, and says nothing of the share of
 * requests that failed. Where only a status page's own scale was to be had, the figure says so.
 *
 * Sources:
 * - 2021–2024: 222 incidents of the OpenAI API and 72 of Anthropic's, without maintenance and those of no length:
 *   Chu et al., "An Empirical Characterization of Outages and Incidents in Public Services for Large Language Models",
 *   ICPE '25 (arXiv 2501.12469; github.com/atlarge-research/llm-service-analysis).
 * - 2026: 7 of the OpenAI API (August) and 37 of Anthropic's models (21 July to 4 September):
 *   github.com/APVentureEngine/vendor-status-watch, MIT.
 *
 * Providers fail independently of each other: OpenAI's and Anthropic's APIs had incidents at the same time for 9.35 h
 * where chance alone gives 7.37 h (2023-07 to 2024-08) and for 0 h where it gives 2.0 h (2026-08): 9.35 h of 9.37 h in
 * all. So each provider's incidents are drawn from chance of its own, and nothing joins them.
 */
import type { LognormalMix } from './lognormal-mix.js';

/** As status pages grade incidents. */
export const IMPACTS = ['none', 'minor', 'major', 'critical'] as const;
export type Impact = (typeof IMPACTS)[number];

export interface ImpactFigures {
  readonly impact: Impact;
  /** Part of the incidents; those of a provider add up to 1. */
  readonly share: number;
  readonly minutes: LognormalMix;
}

export interface IncidentFigures {
  /** From the start of an incident to the start of the next, hours. */
  readonly gapHours: LognormalMix;
  readonly impacts: readonly ImpactFigures[];
  /** Part of the incidents that are (also) about slowness: titles that name latency, delays or performance. */
  readonly slowShare: number;
}

/** All of 2026: the impacts do not differ in length as far as 37 incidents can tell (means 84, 93 and 122 min). */
const ANTHROPIC_2026_MINUTES: LognormalMix = [
  { share: 0.891, median: 52.1, sigma: 0.684 },
  { share: 0.109, median: 237, sigma: 0.397 },
];

export const INCIDENT_FIGURES = {
  'openai-api-2021-2024': {
    // n 221. p10/p50/p90/p99/mean: data 4.6/51.4/318/1253/138.5 h, fit 4.7/53.6/317/1287/138.4; K-S distance 0.054.
    gapHours: [
      { share: 0.8, median: 69.6, sigma: 1.263 },
      { share: 0.2, median: 6.74, sigma: 2.192 },
    ],
    // All together: data 18/74/301/1723, mean 154 min; fit 18/78/310/1446, mean 154; K-S distance 0.046.
    impacts: [
      {
        // n 118: 99 minor ones and 19 graded none, which the daily outage minutes show to be alike.
        impact: 'minor',
        share: 0.532,
        minutes: [
          { share: 0.982, median: 69.3, sigma: 1.09 },
          { share: 0.018, median: 1429, sigma: 0.25 },
        ],
      },
      {
        impact: 'major', // n 81
        share: 0.365,
        minutes: [
          { share: 0.376, median: 127.5, sigma: 0.65 },
          { share: 0.624, median: 65.6, sigma: 1.47 },
        ],
      },
      { impact: 'critical', share: 0.103, minutes: [{ share: 1, median: 66.6, sigma: 0.74 }] }, // n 23
    ],
    slowShare: 0.19, // 42 of 222 titles
  },
  'anthropic-api-2023-2024': {
    // n 71. Data 3.6/50.2/202/1299, mean 131.6 h; fit 3.6/56.1/229/1316, mean 129.2; K-S distance 0.113.
    gapHours: [
      { share: 0.393, median: 92.8, sigma: 0.644 },
      { share: 0.607, median: 22.7, sigma: 1.903 },
    ],
    // All together: data 14/46/247/2260, mean 169 min; fit 11.5/45.5/257/2312, mean 170; K-S distance 0.059.
    impacts: [
      {
        // n 42: 28 minor, 14 graded none.
        impact: 'minor',
        share: 0.583,
        minutes: [
          { share: 0.416, median: 62.9, sigma: 0.47 },
          { share: 0.584, median: 98.5, sigma: 1.67 },
        ],
      },
      {
        impact: 'major', // n 30; none was critical
        share: 0.417,
        minutes: [
          { share: 0.878, median: 20.3, sigma: 0.62 },
          { share: 0.122, median: 175, sigma: 0.25 },
        ],
      },
    ],
    slowShare: 0.06, // 4 of 72 titles
  },
  'openai-api-2026': {
    // n 6 and 7: little more than an order of magnitude. Data p10/p50/p90/mean 16/100/240/119 h, fit 21/75/270/124.
    gapHours: [{ share: 1, median: 75, sigma: 1 }],
    // Data 61/226/954, mean 426 min; fit 55/226/925, mean 414. None was graded above minor.
    impacts: [{ impact: 'minor', share: 1, minutes: [{ share: 1, median: 226, sigma: 1.1 }] }],
    slowShare: 0.14, // 1 of 7 titles
  },
  'anthropic-api-2026': {
    // n 36. Data 2.3/15.2/66/210, mean 29.3 h; fit 2.3/14.3/67/219, mean 28.7; K-S distance 0.065.
    gapHours: [
      { share: 0.147, median: 2.24, sigma: 0.491 },
      { share: 0.853, median: 18.1, sigma: 1.1 },
    ],
    // n 37. Data 23/63/188/379, mean 90 min; fit 23/58/194/413, mean 87; K-S distance 0.067.
    impacts: [
      { impact: 'minor', share: 21 / 37, minutes: ANTHROPIC_2026_MINUTES },
      { impact: 'major', share: 13 / 37, minutes: ANTHROPIC_2026_MINUTES },
      { impact: 'critical', share: 3 / 37, minutes: ANTHROPIC_2026_MINUTES },
    ],
    slowShare: 0.24, // 9 of 37 titles
  },
} as const satisfies Record<string, IncidentFigures>;

/**
 * Share of requests that fail while an incident of this impact is at its height, 0 to 1. Statuspage counts a minute of a
 * partial outage as 0.3 and one of a major outage as 1.0, and of what is only degraded as 0. That a request in twenty
 * fails there is an assumption: titles say "elevated errors", post-mortems give no figure.
 */
export const ERROR_RATIO: Readonly<Record<Impact, number>> = { none: 0.05, minor: 0.05, major: 0.3, critical: 1 };

/**
 * How often an incident is an outage at all, rather than elevated errors: how many days with incidents of one impact had
 * outage minutes. Major: 46 of 70 at OpenAI, 12 of 18 at Anthropic; minor or none: 10 of 133; critical ones are taken as
 * all. An outage that is not critical is a partial one, as bad as a major incident.
 */
export const OUTAGE_SHARE: Readonly<Record<Impact, number>> = { none: 0.075, minor: 0.075, major: 0.66, critical: 1 };

/**
 * The stages of an incident, as parts of its length. `fixed`: OpenAI's take 0.72 h to investigate, 1.63 h to repair and
 * 1.46 h to watch until they are closed (ICPE '25), so that the trouble ends at 0.62; the outage minutes of days with a
 * major incident say 0.64. `recovering`: traffic comes back in steps before that (traffic limited, then ramped slowly: OpenAI
 * 2023-11-08); of the 262 min of 2024-12-11, the API was substantially back after 140.
 */
export const STAGES = { recovering: 0.53, fixed: 0.62 } as const;

/**
 * Part of the requests that fail with no incident open: answers without a token at an Azure OpenAI regional service,
 * (1429.7 - 1404.3) / 1429.7 thousand lines of BurstGPT's first trace; 0.019 and 0.073 in the other two.
 */
export const BACKGROUND_FAILURE_RATIO = 0.0178;
