/**
 * Plays the outage in the running app and in the simulator, and counts both alike: with the simulator's own tally, which is
 * told what really happened in the order in which it did.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { benchScript, type Child, startChild } from './child.ts';
import { LISTENING } from './listening.ts';
import { ANSWER_FIELDS, type AnswersReport, ATTEMPT_FIELDS } from './orders.ts';
import { configOf, epochMs, loadSimulator, type OutagePlan, scenarioOf, spanMsOf } from './outage-scenario.ts';

type Simulator = Awaited<ReturnType<typeof loadSimulator>>;
export type PolicyReport = ReturnType<InstanceType<Simulator['tallies']['Tally']>['report']>;

export interface RunningOutage {
  readonly report: PolicyReport;
  /** Of bare requests that went past the app meanwhile; ms. What it has, the machine has. */
  readonly bareP99Ms: number;
  readonly bareMaxMs: number;
  readonly statuses: Readonly<Record<number, number>>;
  /** The most requests within one second, by those of a usual one: no model's peak can be below what callers do. */
  readonly callersPeak: number;
}

/** For everyone to be ready. */
const BEFORE_MS = 1_000;

/** Once for each seed. */
export async function simulateOutage(dist: string, plan: OutagePlan, seeds: number): Promise<PolicyReport[]> {
  const simulator = await loadSimulator(dist);
  const scenario = scenarioOf(simulator, plan);
  return Array.from({ length: seeds }, (_, i) => {
    const [report] = simulator.runs.runScenario(scenario, plan.seed + i, ['ours']).policies;
    if (report === undefined) throw new Error('the simulator played nothing');
    return report;
  });
}

/** Takes as long as the plan says, and some seconds. Rejects where it could not be measured. */
export async function runOutage(dist: string, plan: OutagePlan): Promise<RunningOutage> {
  const simulator = await loadSimulator(dist);
  const directory = await mkdtemp(join(tmpdir(), 'outage-'));
  const children: Child[] = [];
  try {
    const upstream = await start(children, 'outage-upstream.ts', [dist, JSON.stringify(plan)], LISTENING);
    const app = await startApp(simulator, { dist, plan, directory, upstreamUrl: upstream.url });
    children.push(app);
    const load = await start(children, 'outage-load.ts', [dist, JSON.stringify(plan), app.url, upstream.url], /ready/);
    const beginEpochMs = epochMs() + BEFORE_MS;
    await Promise.all([upstream, load].map((child) => child.ask<'begin'>({ beginEpochMs })));
    await sleep(BEFORE_MS + spanMsOf(plan));
    const got = await load.ask<'answers'>('answers');
    if (got.firstFault !== undefined) throw new Error(got.firstFault);
    const attempts = await upstream.ask<'attempts'>('attempts');
    const bare = { bareP99Ms: quantile(got.bareMs, 0.99), bareMaxMs: quantile(got.bareMs, 1) };
    return { ...count(simulator, plan, attempts, got), ...bare };
  } finally {
    await Promise.all(children.map((child) => child.stop()));
    await rm(directory, { recursive: true, force: true });
  }
}

async function start(children: Child[], script: string, args: readonly string[], up: RegExp): Promise<Child> {
  const child = await startChild({ name: script, script: benchScript(script), args, up, takesOrders: true });
  children.push(child);
  return child;
}

interface AppStart {
  readonly dist: string;
  readonly plan: OutagePlan;
  readonly directory: string;
  readonly upstreamUrl: string;
}

/** As `npm start` runs it. */
async function startApp(simulator: Simulator, { dist, plan, directory, upstreamUrl }: AppStart): Promise<Child> {
  const configFile = join(directory, 'fallback.json');
  const cwd = join(directory, 'cwd');
  await mkdir(cwd);
  await writeFile(configFile, JSON.stringify(configOf(simulator, plan, `${upstreamUrl}/v1`, '${OUTAGE_KEY}')));
  return startChild({
    name: 'app',
    script: join(dist, 'main.js'),
    nodeArgs: ['--enable-source-maps'],
    env: {
      HOST: '127.0.0.1',
      PORT: '0',
      FALLBACK_CONFIG_FILE: configFile,
      FALLBACK_LOG_FILE: join(directory, 'fallback.log'),
      OUTAGE_KEY: 'outage',
    },
    cwd,
    up: LISTENING,
    takesOrders: false,
  });
}

function count(
  simulator: Simulator,
  plan: OutagePlan,
  attempts: readonly number[],
  { answers }: AnswersReport,
): Omit<RunningOutage, 'bareP99Ms' | 'bareMaxMs'> {
  const scenario = scenarioOf(simulator, plan);
  const { runs, tallies } = simulator;
  let nowMs = 0;
  const tally = new tallies.Tally(runs.frameOf(scenario, () => nowMs));
  const attemptsOf = new Map<number, number>();
  const statuses: Record<number, number> = {};
  const perSecond = new Map<number, number>();
  const events: { readonly atMs: number; readonly tell: () => void }[] = [];
  for (const [atMs = 0, model = 0, isDown, isRetry, request = 0] of rowsOf(attempts, ATTEMPT_FIELDS)) {
    attemptsOf.set(request, (attemptsOf.get(request) ?? 0) + 1);
    events.push({ atMs, tell: () => tally.begins(model, isDown === 1, isRetry === 1) });
  }
  for (const [request = 0, sentAtMs = 0, waitMs = 0, model = -1, status = 0] of rowsOf(answers, ANSWER_FIELDS)) {
    statuses[status] = (statuses[status] ?? 0) + 1;
    const second = Math.floor(sentAtMs / 1_000);
    perSecond.set(second, (perSecond.get(second) ?? 0) + 1);
    const atMs = sentAtMs + waitMs;
    const tried = attemptsOf.get(request) ?? 0;
    events.push({ atMs, tell: () => tally.finished(sentAtMs, tried, model < 0 ? undefined : model, atMs) });
  }
  for (const { atMs, tell } of events.toSorted((a, b) => a.atMs - b.atMs)) {
    nowMs = atMs;
    tell();
  }
  return { report: tally.report('ours'), statuses, callersPeak: Math.max(...perSecond.values()) / plan.perSecond };
}

function* rowsOf(numbers: readonly number[], fields: number): Generator<readonly number[]> {
  for (let at = 0; at < numbers.length; at += fields) yield numbers.slice(at, at + fields);
}

function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? 0;
}
