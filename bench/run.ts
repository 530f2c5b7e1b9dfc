/**
 * `npm run bench`: what a request and a chunk cost in CPU, beside a bare Node proxy in the same run. See docs/benchmarks.md.
 *
 * Everything is on 127.0.0.1, bounded in count and time, and ended by its id, also on Ctrl-C. Measures, never judges: the
 * exit code tells whether all could be measured, not whether the goals were met.
 */
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { benchScript, startChild, stopAll } from './child.ts';
import { LISTENING } from './listening.ts';
import { measureMemory, measureScenario, measureStart, type Stage } from './measure.ts';
import { readOptions, USAGE, type BenchOptions } from './options.ts';
import { describeMachine, jsonOf, tableOf, type Row } from './report.ts';
import { spreadOf } from './rounds.ts';
import { MEMORY, NAMES, SCENARIOS, START } from './scenarios.ts';

/** A whole run takes three minutes on two free cores. */
const RUN_LIMIT_MS = 20 * 60_000;

const options = optionsOrExit();
const directory = await mkdtemp(join(tmpdir(), 'bench-'));
const stopping = new AbortController();
const stopped = once(stopping.signal, 'abort').then(() => 130);
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopping.abort());
setTimeout(() => {
  console.error(`Stopped after ${RUN_LIMIT_MS / 60_000} minutes.`);
  stopping.abort();
}, RUN_LIMIT_MS);

const measured = bench(options).then(
  () => 0,
  (error: unknown) => {
    // What fails because it was stopped, is no news.
    if (!stopping.signal.aborted) console.error(messageOf(error));
    return 1;
  },
);
const exitCode = await Promise.race([stopped, measured]);
await stopAll();
await rm(directory, { recursive: true, force: true });
process.exit(exitCode);

async function bench({ only, rounds, warmUps, isNoise, isJson, dist, vs, profile }: BenchOptions): Promise<void> {
  if (!existsSync('/proc/self/schedstat')) throw new Error('CPU is read from /proc: the bench needs Linux.');
  for (const build of isNoise ? [] : [dist, ...(vs === undefined ? [] : [vs])]) {
    if (!existsSync(join(build, 'main.js'))) throw new Error(`${join(build, 'main.js')} is missing: build it first.`);
  }
  if (profile !== undefined) await mkdir(profile, { recursive: true });
  const facts = { machine: describeMachine(), isNoise, rounds, vs };
  // Progress goes to standard error, beside the figures.
  console.error(facts.machine);
  const upstream = await startChild({
    name: 'upstream',
    script: benchScript('upstream.ts'),
    up: LISTENING,
    takesOrders: true,
  });
  const load = await startChild({ name: 'load', script: benchScript('load.ts'), up: /ready/, takesOrders: true });
  const stage = { upstream, load, upstreamUrl: upstream.url, directory, dist, vs, profile, rounds, warmUps, isNoise };
  const rows: Row[] = [];
  for (const name of NAMES.filter((each) => only.has(each))) {
    console.error(`${name} …`);
    try {
      rows.push(await measure(stage, name));
    } catch (error) {
      if (stopping.signal.aborted) throw error;
      // The other rows are worth having all the same.
      console.error(messageOf(error));
    }
  }
  console.log(isJson ? jsonOf(rows, facts) : tableOf(rows, facts));
  if (rows.length < only.size) throw new Error(`${only.size - rows.length} of ${only.size} could not be measured.`);
}

async function measure(stage: Stage, name: string): Promise<Row> {
  if (name === MEMORY.name) {
    const yardstick = spreadOf([await measureMemory(stage, 'yardstick')]);
    const contender = spreadOf([await measureMemory(stage, 'contender')]);
    return { ...MEMORY, unit: 'MB', yardstick, contender, value: contender };
  }
  if (name === START.name) {
    const yardstick = await measureStart(stage, 'yardstick');
    const contender = await measureStart(stage, 'contender');
    return { ...START, unit: 's', yardstick, contender, value: contender };
  }
  const scenario = SCENARIOS.find((each) => each.name === name);
  if (scenario === undefined) throw new Error(`There is no scenario ${name}.`);
  const { yardstickUs, contenderUs, ratio } = await measureScenario(stage, scenario);
  const { title, unit, goal } = scenario;
  return { name, title, unit: `µs/${unit}`, goal, yardstick: yardstickUs, contender: contenderUs, value: ratio };
}

function optionsOrExit(): BenchOptions {
  try {
    const read = readOptions(process.argv.slice(2));
    return read.isHelp ? leave(USAGE, 0) : read;
  } catch (error) {
    return leave(`${messageOf(error)}\n\n${USAGE}`, 64);
  }
}

function leave(text: string, code: number): never {
  console.error(text);
  process.exit(code);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
