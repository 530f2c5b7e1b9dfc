/**
 * Carries out one row of the table: starts who is measured, lets the load run, checks that the upstream was asked exactly
 * as often as the scenario says. A figure of a scenario that did not happen would be worse than none.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import type { Child } from './child.ts';
import { startApp, startBareProxy, startCaller, type BenchRun } from './contenders.ts';
import { rssMbOf } from './process-tree.ts';
import { compare, spreadOf, type Comparison, type Contender, type Spread } from './rounds.ts';
import { eventsExpected, MEMORY, START, unitsPerRound, type Scenario } from './scenarios.ts';

export interface Stage extends BenchRun {
  readonly upstream: Child;
  readonly load: Child;
  readonly rounds: number;
  readonly warmUps: number;
  /** The yardstick against itself: what the machine and the harness add to every ratio. */
  readonly isNoise: boolean;
}

/** Apart from streams that end late, nobody works for longer after the last answer. */
const SETTLE_MS = 50;
const MEMORY_SAMPLE_MS = 100;

export async function measureScenario(stage: Stage, scenario: Scenario): Promise<Comparison> {
  const inProcess = scenario.against === 'client';
  const yardstick = await startYardstick(stage, scenario);
  let contender: Child | undefined;
  try {
    if (inProcess) contender = await startCaller(stage, stage.isNoise ? 'client' : 'module');
    else contender = stage.isNoise ? await startBareProxy(stage, scenario.routes) : await startApp(stage);
    const contend = (child: Child): Contender => ({
      pid: child.pid,
      work: () => workAndCheck(stage, scenario, child),
    });
    return await compare(contend(yardstick), contend(contender), {
      rounds: stage.rounds,
      warmUps: stage.warmUps,
      unitsPerRound: unitsPerRound(scenario),
    });
  } finally {
    await Promise.all([yardstick.stop(), contender?.stop()]);
  }
}

function startYardstick(stage: Stage, { against, routes }: Pick<Scenario, 'against' | 'routes'>): Promise<Child> {
  if (stage.vs !== undefined) {
    const before = { ...stage, dist: stage.vs };
    return against === 'client' ? startCaller(before, 'module') : startApp(before);
  }
  return against === 'client' ? startCaller(stage, 'client') : startBareProxy(stage, routes);
}

/** The most that it has in memory while the streams are open, MB. */
export async function measureMemory(stage: Stage, who: 'yardstick' | 'contender'): Promise<number> {
  const child = await startOf(stage, who, 'idle');
  try {
    let mostMb = 0;
    const scenario = {
      ...MEMORY,
      routes: ['idle'],
      size: 'small',
      requests: MEMORY.streams,
      concurrency: MEMORY.streams,
      against: 'proxy',
    } as const;
    const watch = setInterval(() => {
      mostMb = Math.max(mostMb, rssMbOf(child.pid));
    }, MEMORY_SAMPLE_MS);
    try {
      await workAndCheck(stage, scenario, child);
    } finally {
      clearInterval(watch);
    }
    return mostMb;
  } finally {
    await child.stop();
  }
}

/** Seconds from the spawn to the line that says where it listens. */
export async function measureStart(stage: Stage, who: 'yardstick' | 'contender'): Promise<Spread> {
  const seconds: number[] = [];
  for (let start = 0; start <= START.starts; start++) {
    const child = await startOf(stage, who, 'answering');
    await child.stop();
    // The first one reads the files from disk.
    if (start > 0) seconds.push(child.startMs / 1_000);
  }
  return spreadOf(seconds);
}

function startOf(stage: Stage, who: 'yardstick' | 'contender', route: 'idle' | 'answering'): Promise<Child> {
  if (who === 'yardstick' || stage.isNoise) return startYardstick(stage, { against: 'proxy', routes: [route] });
  return startApp(stage);
}

type Work = Pick<Scenario, 'name' | 'routes' | 'size' | 'requests' | 'concurrency' | 'against'>;

async function workAndCheck({ upstream, load }: Stage, work: Work, child: Child): Promise<void> {
  await upstream.ask<'count'>('count');
  const order = {
    requests: work.requests,
    concurrency: work.concurrency,
    url: child.url,
    model: work.name,
    size: work.size,
    eventsPerStream: eventsExpected(work.routes),
  };
  const worker = work.against === 'client' ? child : load;
  const report = await worker.ask<'work'>(order);
  if (report.done !== work.requests) {
    throw new Error(`${work.name}, ${child.name}: ${report.done} of ${work.requests} answered; ${report.firstFault}`);
  }
  await sleep(SETTLE_MS);
  const { calls, openAtOnce } = await upstream.ask<'count'>('count');
  for (const [route, count] of Object.entries(calls)) {
    const expected = work.routes.some((name) => name === route) ? work.requests : 0;
    if (count === expected) continue;
    throw new Error(`${work.name}, ${child.name}: "${route}" was asked ${count} times instead of ${expected}`);
  }
  if (work.name === MEMORY.name && openAtOnce < work.requests) {
    throw new Error(`${work.name}: only ${openAtOnce} of ${work.requests} streams were open at once`);
  }
}
