/** Scenario reports that no simulation made: of the shape that real ones have, for tests of what is made of them. */
import type {
  ModelLoad,
  Outage,
  PolicyName,
  PolicyReport,
  ScenarioReport,
  Timeline,
} from '../../src/simulation/outage/report.js';

const SECOND_MS = 1_000;
const MODELS = ['gpt-4', 'gpt-3.5-turbo'];

/** Three minutes, twenty requests a second; in the second minute the named models are down. */
export function madeUpReport(
  over: Partial<ScenarioReport> & { readonly down?: readonly string[] } = {},
): ScenarioReport {
  const { down = ['gpt-4'], ...rest } = over;
  const models = rest.models ?? MODELS;
  const stepMs = rest.stepMs ?? SECOND_MS;
  const spanMs = rest.spanMs ?? 180 * SECOND_MS;
  const outages =
    rest.outages ?? down.map((model) => ({ model, fromMs: spanMs / 3, toMs: (spanMs / 3) * 2 }) satisfies Outage);
  const world: World = { models, outages, stepMs, steps: spanMs / stepMs };
  const policies = (['first only', 'plain loop', 'fixed cooldown', 'ours'] as const).map((policy) => {
    return policyReport(policy, world);
  });
  return {
    scenario: 'first model down',
    about: 'The first model of the chain answers nothing but errors for a minute; the others are well.',
    seed: 7,
    replicas: 1,
    sharedState: false,
    requests: policies[0]!.requests,
    policies,
    ...rest,
    spanMs,
    models,
    outages,
    stepMs,
  };
}

interface World {
  readonly models: readonly string[];
  readonly outages: readonly Outage[];
  readonly stepMs: number;
  readonly steps: number;
}

/** Attempts on a model that is down, by the requests: how stubborn a policy is. */
const STUBBORN: Readonly<Record<PolicyName, number>> = {
  'first only': 1,
  'plain loop': 1.2,
  'fixed cooldown': 0.35,
  ours: 0.02,
};

function policyReport(policy: PolicyName, world: World): PolicyReport {
  const timeline = timelineOf(policy, world);
  const requests = sum(timeline.requests);
  const answered = sum(timeline.answered);
  const attempts = sum(timeline.attempts.map(sum));
  const isAllDown = world.models.every((name) => world.outages.some(({ model }) => model === name));
  return {
    policy,
    requests,
    answered,
    availability: answered / requests,
    waitMs: { p50: 640, p99: Math.max(...timeline.waitP99Ms), max: Math.max(...timeline.waitP99Ms) * 1.4 },
    refusalMs: { p50: 2, p99: policy === 'ours' ? 4.2 : 2_310, max: 12_000 },
    attempts,
    attemptsPerRequest: attempts / requests,
    attemptsPerRequestInOutage: isAllDown ? STUBBORN[policy] * world.models.length : null,
    refusalMsInOutage: isAllDown ? { p50: 1, p99: 3, max: 9 } : null,
    retryShare: policy === 'first only' || policy === 'ours' ? 0 : 0.21,
    costUsd: answered * 0.00214,
    models: world.models.map((model, index) => loadOf(model, timeline.attempts[index]!, world, policy)),
    recoveries: world.outages.flatMap(({ model, toMs }) => {
      const usedAgainMs = policy === 'plain loop' ? null : STUBBORN[policy] * 2_000 + 6_800;
      return toMs === null
        ? []
        : [{ model, usedAgainMs, backMs: 30_000, answeredAgainMs: 900, peak: policy === 'ours' ? 1.04 : 2.6 }];
    }),
    timeline,
  };
}

function loadOf(model: string, attempts: readonly number[], world: World, policy: PolicyName): ModelLoad {
  const total = sum(attempts);
  const whileDown = sum(attempts.filter((_, step) => isDown(model, step, world)));
  const isEverDown = world.outages.some((outage) => outage.model === model);
  return {
    model,
    attempts: total,
    answered: total - whileDown,
    share: world.models.indexOf(model) === 0 ? 0.667 : 0.333,
    attemptsWhileDown: whileDown,
    loadWhileDown: isEverDown ? STUBBORN[policy] : null,
  };
}

function timelineOf(policy: PolicyName, world: World): Timeline {
  const requests: number[] = [];
  const answered: number[] = [];
  const waitP99Ms: number[] = [];
  const attempts = world.models.map((): number[] => []);
  for (let step = 0; step < world.steps; step++) {
    const asked = Math.round(20 + 4 * Math.sin(step / 9) + 3 * Math.sin(step * 2.3));
    const usable = world.models.findIndex((model) => !isDown(model, step, world));
    const isReached = usable === 0 || (usable > 0 && policy !== 'first only');
    const got = isReached ? asked - (policy === 'plain loop' && step % 17 === 0 ? 1 : 0) : 0;
    requests.push(asked);
    answered.push(got);
    waitP99Ms.push(got === 0 ? 0 : 1_600 + 300 * Math.sin(step) + (usable > 0 ? WAIT_MORE_MS[policy] : 0));
    for (const [index, own] of attempts.entries()) {
      const isAsked = index === usable && (index === 0 || policy !== 'first only');
      const isTried = (policy !== 'first only' || index === 0) && (usable === -1 || index < usable);
      own.push(isAsked ? asked : isTried ? Math.round(asked * STUBBORN[policy]) : 0);
    }
  }
  return { requests, answered, waitP99Ms, attempts };
}

const WAIT_MORE_MS: Readonly<Record<PolicyName, number>> = {
  'first only': 0,
  'plain loop': 9_000,
  'fixed cooldown': 2_700,
  ours: 180,
};

function isDown(model: string, step: number, { outages, stepMs }: World): boolean {
  return outages.some(
    (outage) => outage.model === model && step * stepMs >= outage.fromMs && step * stepMs < (outage.toMs ?? Infinity),
  );
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
