/**
 * What a simulation is judged by: each measure with its words, its meaning and its value for a policy. The rows of the
 * table in the terminal and of the one on the page.
 */
import type { ModelLoad, PolicyName, PolicyReport, Recovery, ScenarioReport } from '../../simulation/outage/report.js';
import {
  costText,
  countOf,
  countText,
  durationText,
  NOTHING,
  percentText,
  plainNumber,
  timesText,
} from './simulate-words.js';

export interface Measure {
  readonly title: string;
  /** How to read it. */
  readonly note: string;
  readonly of: (policy: PolicyReport) => string;
}

/** What each policy does, in a sentence without its end. */
export const POLICY_WORDS: Readonly<Record<PolicyName, string>> = {
  'first only': 'asks the first model once, and no other',
  'plain loop': 'goes on to the next model at each failure, after a second of sleep, and gives up after three tries',
  'fixed cooldown':
    'retries the same model twice, then falls back; a model that fails more than half of its calls in a minute is left ' +
    'alone for 5 seconds: what common gateways do',
  ours: 'is this package, its own code with these settings',
};

export function measuresOf(report: ScenarioReport): Measure[] {
  const models = report.models.filter((name) => report.outages.some(({ model }) => model === name));
  const isKnown = (value: (policy: PolicyReport) => unknown) =>
    report.policies.some((policy) => value(policy) !== null);
  return [
    ...ANSWERS,
    ...ATTEMPTS,
    ...(isKnown(({ attemptsPerRequestInOutage }) => attemptsPerRequestInOutage) ? IN_OUTAGE : []),
    RETRIES,
    ...models.filter((model) => isKnown((policy) => loadOf(policy, model)?.loadWhileDown ?? null)).map(loadWhileDown),
    ...models.flatMap((model) => recoveryMeasures(report, model)),
    ...COST,
  ];
}

const ANSWERS: readonly Measure[] = [
  {
    title: 'Answered',
    note: 'availability: requests that got an answer',
    of: ({ answered, requests }) => percentText(answered, requests),
  },
  { title: 'Not answered', note: 'requests', of: ({ answered, requests }) => countText(requests - answered) },
  { title: 'Wait, usual', note: 'p50; of a stream, until its first token', of: waitText(({ p50 }) => p50) },
  { title: 'Wait, 1 of 100', note: 'p99; of a stream, until its first token', of: waitText(({ p99 }) => p99) },
  {
    title: 'Refusal, 1 of 100',
    note: 'p99, until the error of requests that got no answer',
    of: ({ refusalMs, answered, requests }) => (answered < requests ? durationText(refusalMs.p99) : NOTHING),
  },
];

function waitText(quantile: (spread: PolicyReport['waitMs']) => number): Measure['of'] {
  return ({ waitMs, answered }) => (answered > 0 ? durationText(quantile(waitMs)) : NOTHING);
}

const ATTEMPTS: readonly Measure[] = [
  {
    title: 'Attempts per request',
    note: 'upstream calls',
    of: ({ attemptsPerRequest }) => plainNumber(attemptsPerRequest),
  },
];

const IN_OUTAGE: readonly Measure[] = [
  {
    title: 'Attempts per request, all down',
    note: 'once that could be noticed',
    of: ({ attemptsPerRequestInOutage: attempts }) => (attempts === null ? NOTHING : plainNumber(attempts)),
  },
  {
    title: 'Refusal, 1 of 100, all down',
    note: 'p99',
    of: ({ refusalMsInOutage: refusal }) => (refusal === null ? NOTHING : durationText(refusal.p99)),
  },
];

const RETRIES: Measure = {
  title: 'Retries',
  note: 'of all attempts',
  of: ({ retryShare }) => `${plainNumber(retryShare * 100)} %`,
};

const COST: readonly Measure[] = [
  { title: 'Cost', note: 'of all attempts', of: ({ costUsd }) => costText(costUsd) },
  {
    title: 'Cost of 1,000 answers',
    note: 'cost by what was answered',
    of: ({ costUsd, answered }) => (answered > 0 ? costText((costUsd / answered) * 1_000) : NOTHING),
  },
];

/** Of the answers: what a model that hardly ever answers gets while it is down is not told by what it usually gets. */
const LEAST_SHARE = 0.05;

function loadWhileDown(model: string): Measure {
  return {
    title: `Load on ${model} while down`,
    note: 'attempts a second, by the usual',
    of: (policy) => {
      const load = loadOf(policy, model);
      return load && load.attempts > 0 ? loadText(load) : NOTHING;
    },
  };
}

export function loadText({ loadWhileDown: load, attemptsWhileDown, share }: ModelLoad): string {
  if (load === null) return NOTHING;
  return share < LEAST_SHARE ? countOf(attemptsWhileDown, 'attempt') : timesText(load);
}

function loadOf({ models }: PolicyReport, model: string) {
  return models.find((load) => load.model === model);
}

/** Recoveries are watched for an hour: of fewer requests than these, they tell nothing. */
const LEAST_REQUESTS_AN_HOUR = 600;
const HOUR_MS = 3_600_000;

function recoveryMeasures({ policies, requests, spanMs }: ScenarioReport, model: string): Measure[] {
  if (requests * HOUR_MS < LEAST_REQUESTS_AN_HOUR * spanMs) return [];
  const of = (write: (recoveries: readonly Recovery[]) => string) => (policy: PolicyReport) => {
    const own = recoveriesOf(policy, model);
    return own.length === 0 || loadOf(policy, model)?.attempts === 0 ? NOTHING : write(own);
  };
  const most = Math.max(...policies.map((policy) => recoveriesOf(policy, model).length));
  if (most === 0) return [];
  const lengths = (title: string, note: string, lengthMs: (recovery: Recovery) => number | null): Measure[] => [
    { title, note, of: of((recoveries) => usualText(recoveries.map(lengthMs))) },
    ...(most === 1
      ? []
      : [
          { title: `${title}, worst`, note: `of ${most}`, of: of((recoveries) => worstText(recoveries.map(lengthMs))) },
        ]),
  ];
  return [
    ...lengths(`${model} answers again after`, 'its recovery', ({ usedAgainMs }) => usedAgainMs),
    ...lengths(`${model} has its share again after`, 'nine tenths of it', ({ backMs }) => backMs),
    ...lengths(`All answered again, ${model} back`, 'after its recovery', ({ answeredAgainMs }) => answeredAgainMs),
    {
      title: `Peak on ${model} after`,
      note: 'attempts in its busiest second, by the usual requests',
      of: of((recoveries) => timesText(Math.max(...recoveries.map(({ peak }) => peak)))),
    },
  ];
}

function recoveriesOf({ recoveries }: PolicyReport, model: string): Recovery[] {
  return recoveries.filter((recovery) => recovery.model === model);
}

/** The middle one of those that came. */
function usualText(lengthsMs: readonly (number | null)[]): string {
  const known = lengthsMs.filter((ms) => ms !== null).toSorted((a, b) => a - b);
  const middle = known[Math.floor((known.length - 1) / 2)];
  return middle === undefined ? 'never' : durationText(middle);
}

/** `14 s`, `14 s, 2 never`. */
function worstText(lengthsMs: readonly (number | null)[]): string {
  const known = lengthsMs.filter((ms) => ms !== null);
  const never = lengthsMs.length - known.length;
  if (known.length === 0) return 'never';
  return `${durationText(Math.max(...known))}${never === 0 ? '' : `, ${never} never`}`;
}
