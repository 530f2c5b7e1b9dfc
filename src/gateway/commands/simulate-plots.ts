/**
 * The curves of a simulation as the page draws them: thinned out to what a screen can show, in a unit of time in which
 * their figures are readable, and each plot in words for those who cannot see it.
 *
 * Knows nothing of HTML and of the library that draws.
 */
import type { PolicyReport, ScenarioReport } from '../../simulation/outage/report.js';
import { countText, durationText, percentText, plainNumber } from './simulate-words.js';

/** More would be several to a pixel. */
export const MOST_POINTS = 2_000;

export interface Curve {
  readonly name: string;
  /** A colour of the page's, by its role: `model-0`, `policy-ours`. */
  readonly ink: string;
  /** Null: nothing was measured. */
  readonly values: readonly (number | null)[];
}

export interface Plot {
  readonly kind: 'answers' | 'attempts' | 'wait';
  readonly title: string;
  readonly subtitle: string;
  /** In words what it shows. */
  readonly text: string;
  /** What a value is: `requests a second`. */
  readonly unit: string;
  /** Of the values, shared by plots that are compared; `wait` is drawn on a logarithmic scale. */
  readonly range: readonly [number, number];
  readonly curves: readonly Curve[];
}

export interface ScenarioPlots {
  readonly spanMs: number;
  /** Of one point. */
  readonly stepMs: number;
  readonly points: number;
  /** One per policy. */
  readonly answers: readonly Plot[];
  /** One per policy. */
  readonly attempts: readonly Plot[];
  readonly wait: Plot;
}

export function plotsOf(report: ScenarioReport): ScenarioPlots {
  const { stepMs, policies } = report;
  const steps = Math.max(1, ...policies.map(({ timeline }) => timeline.requests.length));
  const merged = Math.ceil(steps / MOST_POINTS);
  const rate = rateUnit(report);
  const perUnit = rate.ms / (stepMs * merged);
  const perTime = (counts: readonly number[]) => merge(counts, merged, sum).map((count) => rounded(count * perUnit));
  const drawn = policies.map((policy) => ({
    policy,
    requests: perTime(policy.timeline.requests),
    answered: perTime(policy.timeline.answered),
    attempts: policy.timeline.attempts.map(perTime),
    wait: merge(policy.timeline.waitP99Ms, merged, greatest).map((ms) => (ms > 0 ? rounded(ms) : null)),
  }));
  const most = (values: readonly (readonly number[])[]) => greatest(values.map(greatest)) || 1;
  const mostRequests = most(drawn.map(({ requests }) => requests));
  const mostAttempts = most(drawn.flatMap(({ attempts }) => attempts));
  const waits = drawn.flatMap(({ wait }) => wait.filter((ms) => ms !== null));
  return {
    spanMs: report.spanMs,
    stepMs: stepMs * merged,
    points: Math.ceil(steps / merged),
    answers: drawn.map(({ policy, requests, answered }) => ({
      kind: 'answers',
      title: policy.policy,
      subtitle: `${percentText(policy.answered, policy.requests)} answered`,
      text: answersInWords(policy, requests, answered, { rate, stepMs: stepMs * merged }),
      unit: `requests ${rate.words}`,
      range: [0, mostRequests],
      curves: [
        { name: 'asked', ink: 'asked', values: requests },
        { name: 'answered', ink: 'answered', values: answered },
      ],
    })),
    attempts: drawn.map(({ policy, attempts }) => ({
      kind: 'attempts',
      title: policy.policy,
      subtitle: `${plainNumber(policy.attemptsPerRequest)} attempts per request`,
      text: attemptsInWords(policy, report, attempts, rate),
      unit: `attempts ${rate.words}`,
      range: [0, mostAttempts],
      curves: report.models.map((name, index) => ({ name, ink: `model-${index}`, values: attempts[index] ?? [] })),
    })),
    wait: {
      kind: 'wait',
      title: 'Wait',
      subtitle: 'p99, until the first token',
      text: waitInWords(report),
      unit: 'wait, p99',
      range: [Math.min(...waits, SHORTEST_WAIT_MS), Math.max(...waits, SHORTEST_WAIT_MS * 10)],
      curves: drawn.map(({ policy, wait }) => ({ name: policy.policy, ink: policyInk(policy), values: wait })),
    },
  };
}

const SHORTEST_WAIT_MS = 1_000;

export function policyInk({ policy }: PolicyReport): string {
  return `policy-${policy.replaceAll(' ', '-')}`;
}

interface RateUnit {
  readonly ms: number;
  readonly words: string;
}

const RATE_UNITS: readonly RateUnit[] = [
  { ms: 1_000, words: 'a second' },
  { ms: 60_000, words: 'a minute' },
  { ms: 3_600_000, words: 'an hour' },
  { ms: 86_400_000, words: 'a day' },
];

/** The shortest in which there is a request at all. */
function rateUnit({ requests, spanMs }: ScenarioReport): RateUnit {
  return RATE_UNITS.find(({ ms }) => (requests / Math.max(1, spanMs)) * ms >= 1) ?? RATE_UNITS.at(-1)!;
}

/** So many neighbours become one. */
function merge(
  values: readonly number[],
  merged: number,
  into: (values: readonly number[]) => number,
): readonly number[] {
  if (merged === 1) return values;
  const groups = Math.ceil(values.length / merged);
  // The last group may be a shorter one: its sum is made as long as the others'.
  return Array.from({ length: groups }, (_, group) => {
    const slice = values.slice(group * merged, (group + 1) * merged);
    return into === sum ? (sum(slice) * merged) / slice.length : into(slice);
  });
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function greatest(values: readonly number[]): number {
  return values.reduce((most, value) => Math.max(most, value), 0);
}

/** Four digits are more than a screen can show. */
function rounded(value: number): number {
  return Number(value.toPrecision(4));
}

function answersInWords(
  { policy, requests, answered }: PolicyReport,
  asked: readonly number[],
  got: readonly number[],
  { rate, stepMs }: { readonly rate: RateUnit; readonly stepMs: number },
): string {
  const total = `${policy}: ${countText(answered)} of ${countText(requests)} requests answered.`;
  const ratios = asked.map((count, index) => (count === 0 ? 1 : (got[index] ?? 0) / count));
  const worst = ratios.reduce((least, ratio, index) => (ratio < ratios[least]! ? index : least), 0);
  if (ratios.length === 0 || answered === requests) return total;
  const at = durationText(worst * stepMs);
  return `${total} Fewest after ${at}: ${plainNumber(got[worst]!)} of ${plainNumber(asked[worst]!)} ${rate.words}.`;
}

function attemptsInWords(
  { policy, models }: PolicyReport,
  report: ScenarioReport,
  drawn: readonly (readonly number[])[],
  rate: RateUnit,
): string {
  const parts = report.models.map((name, index) => {
    const load = models.find(({ model }) => model === name);
    const whileDown = report.outages.some(({ model }) => model === name)
      ? `, ${countText(load?.attemptsWhileDown ?? 0)} of them while it was down`
      : '';
    const most = `at most ${plainNumber(greatest(drawn[index] ?? []))} ${rate.words}`;
    return `${countText(load?.attempts ?? 0)} attempts on ${name}${whileDown}, ${most}`;
  });
  return `${policy}: ${parts.join('; ')}.`;
}

function waitInWords({ policies }: ScenarioReport): string {
  const parts = policies.map(
    ({ policy, waitMs }) => `${policy} ${durationText(waitMs.p99)}, longest ${durationText(waitMs.max)}`,
  );
  return `How long answered requests waited over time. p99 of all: ${parts.join('; ')}.`;
}
