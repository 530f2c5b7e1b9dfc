/**
 * Plays one scenario in virtual time, once for each policy: the same requests, the same weather, the same luck. The same
 * seed gives the same report, byte by byte.
 */
import { seededRandom } from '../latency-profile.js';
import { VirtualClock } from '../virtual-clock.js';
import { type Contestant, firstOnly, fixedCooldown, ours, type OurRules, plainLoop } from './contestants.js';
import { type Call, Field, type ModelNature } from './field.js';
import type { Outage, PolicyName, PolicyReport, ScenarioReport } from './report.js';
import { Tally, type TallyFrame } from './tally.js';
import { NO_TROUBLE, Weather } from './trouble.js';

/** One request, as traffic has it. */
export interface Arrival {
  /** From the start of the simulation, ms; never before the one before. */
  readonly atMs: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
}

export interface Scenario extends OurRules {
  readonly name: string;
  /** One sentence: what happens in it. */
  readonly about: string;
  readonly spanMs: number;
  /** In the order of the chain. */
  readonly natures: readonly ModelNature[];
  readonly streaming: boolean;
  /** Requests in the order of time; ends by itself or with the simulation. */
  readonly arrivals: (random: () => number) => Iterator<Arrival>;
  /** What comes before is played and not counted; 0 where nothing is said. */
  readonly countedFromMs?: number;
}

export const POLICY_NAMES: readonly PolicyName[] = ['first only', 'plain loop', 'fixed cooldown', 'ours'];

const STEPS = 240;
/** Seeds of what must not share its luck. */
const TRAFFIC = 0x1f123bb5;
const JITTER = 0x6c62272e;

/** @param policies which to play; all where nothing is said. */
export function runScenario(
  scenario: Scenario,
  seed: number,
  policies: readonly PolicyName[] = POLICY_NAMES,
  onPolicy: (name: PolicyName) => void = () => {},
): ScenarioReport {
  const { name, about, spanMs, replicas, sharedState, natures } = scenario;
  const outages = outagesOf(natures, spanMs);
  const reports = policies.map((policy) => {
    onPolicy(policy);
    return play(scenario, seed, policy);
  });
  return {
    scenario: name,
    about,
    seed,
    spanMs,
    requests: reports[0]?.requests ?? 0,
    replicas,
    sharedState,
    models: natures.map((nature) => nature.name),
    outages: outages.map(({ model, fromMs, toMs }): Outage => {
      return { model: natures[model]!.name, fromMs, toMs: toMs < spanMs ? toMs : null };
    }),
    policies: reports,
    stepMs: stepMsOf(scenario),
  };
}

function play(scenario: Scenario, seed: number, policy: PolicyName): PolicyReport {
  const { natures, spanMs, streaming } = scenario;
  const clock = new VirtualClock();
  const models = natures.map((nature) => nature.name);
  const tally = new Tally(frameOf(scenario, () => clock.nowMs()));
  const field = new Field(natures, clock, seed, tally);
  const contestant = makeContestant(policy, field, scenario, seededRandom(seed ^ JITTER));
  const arrivals = arrivalsOf(scenario, seed);
  let index = 0;
  for (let next = arrivals.next(); !next.done && next.value.atMs < spanMs; next = arrivals.next()) {
    const { atMs, inputTokens, outputTokens } = next.value;
    clock.advance(atMs - clock.nowMs());
    const call: Call = { index: index++, streaming, inputTokens, outputTokens, asked: models.map(() => 0) };
    contestant.start(call, ({ model, answeredAtMs }) => {
      const attempts = call.asked.reduce((sum, times) => sum + times, 0);
      const answeredBy = model === undefined ? undefined : models.indexOf(model);
      tally.finished(atMs, attempts, answeredBy, answeredAtMs ?? clock.nowMs());
    });
  }
  while (clock.step());
  return tally.report(policy);
}

/** The requests of a scenario, the same ones for the same seed. */
export function arrivalsOf(scenario: Scenario, seed: number): Iterator<Arrival> {
  return scenario.arrivals(seededRandom(seed ^ TRAFFIC));
}

/** What is counted of a scenario, whoever plays it. @param nowMs from its beginning. */
export function frameOf(scenario: Scenario, nowMs: () => number): TallyFrame {
  const { natures, spanMs, settings, countedFromMs = 0 } = scenario;
  const outages = outagesOf(natures, spanMs);
  const windowMs = settings.chains.get('default')?.policy.breaker.windowMs ?? 0;
  const totalOutages = totalOutagesOf(outages, natures.length, windowMs);
  const models = natures.map((nature) => nature.name);
  return { models, spanMs, countedFromMs, outages, totalOutages, stepMs: stepMsOf(scenario), nowMs };
}

function stepMsOf({ spanMs }: Scenario): number {
  return Math.max(1, Math.ceil(spanMs / STEPS));
}

function makeContestant(policy: PolicyName, field: Field, scenario: Scenario, random: () => number): Contestant {
  const models = scenario.natures.map((nature) => nature.name);
  switch (policy) {
    case 'first only':
      return firstOnly(field, models);
    case 'plain loop':
      return plainLoop(field, models);
    case 'fixed cooldown':
      return fixedCooldown(field, models, random);
    case 'ours':
      return ours(field, scenario, random);
    default:
      return policy satisfies never;
  }
}

function outagesOf(natures: readonly ModelNature[], spanMs: number): TallyFrame['outages'] {
  return natures
    .flatMap(({ spells }, model) =>
      [...new Weather(spells, NO_TROUBLE).outages()].map((outage) => ({ model, ...outage })),
    )
    .filter((outage) => outage.fromMs < spanMs)
    .toSorted((a, b) => a.toMs - b.toMs || a.model - b.model);
}

/** When all models are down at once, without what a breaker needs to see it. */
function totalOutagesOf(outages: TallyFrame['outages'], models: number, windowMs: number): TallyFrame['totalOutages'] {
  const edges = outages
    .flatMap(({ fromMs, toMs }) => [
      { atMs: fromMs, by: 1 },
      { atMs: toMs, by: -1 },
    ])
    .toSorted((a, b) => a.atMs - b.atMs || a.by - b.by);
  const total: { fromMs: number; toMs: number }[] = [];
  let down = 0;
  for (const [i, { atMs, by }] of edges.entries()) {
    down += by;
    const toMs = edges[i + 1]?.atMs ?? Infinity;
    if (down === models && toMs > atMs + windowMs) total.push({ fromMs: atMs + windowMs, toMs });
  }
  return total;
}
