/**
 * Those who are measured: the bare proxy, the app, and the two ways of calling from within a process. Each is started
 * fresh for a scenario, so that none profits or suffers from what the one before left in its heap.
 */
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { benchScript, startChild, type Child } from './child.ts';
import { LISTENING } from './listening.ts';
import { MEMORY, SCENARIOS, type Scenario } from './scenarios.ts';
import { ROUTES, type Route } from './wire.ts';

export interface BenchRun {
  /** Origin of the upstream. */
  readonly upstreamUrl: string;
  /** The build that is measured. */
  readonly dist: string;
  /** Another build, in the yardstick's place. */
  readonly vs: string | undefined;
  /** For config, logs and working directories. */
  readonly directory: string;
  /** Where CPU profiles go; they cost, so that figures of such a run count little. */
  readonly profile: string | undefined;
}

/** A first model that fails for ever must be asked for ever, or the scenario measures the second alone. */
const NEVER_OPENS = { minAttempts: 1_000_000, consecutive: 1_000_000 };

export function startBareProxy(run: BenchRun, routes: readonly Route[]): Promise<Child> {
  return startChild({
    name: 'bare proxy',
    script: benchScript('bare-proxy.ts'),
    nodeArgs: profiling(run, 'bare'),
    args: routes.map((route) => `${run.upstreamUrl}/${route}/v1`),
    up: LISTENING,
    takesOrders: true,
  });
}

/** Those of `npm start`; docs/benchmarks.md says why. */
const START_FLAGS = ['--max-semi-space-size=8', '--no-maglev'];

/** As `npm start` runs it: logs to a file and to standard output, metrics on. */
export async function startApp(run: BenchRun): Promise<Child> {
  const directory = await mkdtemp(join(run.directory, 'app-'));
  const configFile = join(directory, 'fallback.json');
  const cwd = join(directory, 'cwd');
  await mkdir(cwd);
  await writeFile(configFile, JSON.stringify(appConfig(run.upstreamUrl)));
  return startChild({
    name: 'app',
    script: join(run.dist, 'main.js'),
    nodeArgs: [...START_FLAGS, ...profiling(run, 'app')],
    env: {
      HOST: '127.0.0.1',
      PORT: '0',
      FALLBACK_CONFIG_FILE: configFile,
      FALLBACK_LOG_FILE: join(directory, 'fallback.log'),
      BENCH_KEY: 'bench',
    },
    cwd,
    up: LISTENING,
    takesOrders: false,
  });
}

export function startCaller(run: BenchRun, way: 'client' | 'module'): Promise<Child> {
  return startChild({
    name: way === 'client' ? 'openai client' : 'module',
    script: benchScript('in-process.ts'),
    nodeArgs: profiling(run, way),
    args: [way, `${run.upstreamUrl}/answering/v1`, run.dist],
    up: /ready/,
    takesOrders: true,
  });
}

function profiling({ profile }: BenchRun, name: string): string[] {
  if (profile === undefined) return [];
  return ['--cpu-prof', `--cpu-prof-dir=${profile}`, `--cpu-prof-name=${name}-${Date.now()}.cpuprofile`];
}

/** A model for each route, a chain for each scenario; everything else as it is by default. */
function appConfig(upstreamUrl: string): object {
  const providers = ROUTES.map((route) => [route, { baseUrl: `${upstreamUrl}/${route}/v1`, apiKey: '${BENCH_KEY}' }]);
  const models = ROUTES.map((route) => [`bench/${route}`, { provider: route, id: 'gpt-4-0613', breaker: NEVER_OPENS }]);
  const chains = SCENARIOS.map(({ name, routes }: Scenario) => [name, routes.map((route) => `bench/${route}`)]);
  return {
    providers: Object.fromEntries(providers),
    models: Object.fromEntries(models),
    chains: { default: ['bench/answering'], [MEMORY.name]: ['bench/idle'], ...Object.fromEntries(chains) },
  };
}
