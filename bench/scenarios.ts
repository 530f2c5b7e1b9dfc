/**
 * What is measured, and the goals of it: one row each. A round does a fixed amount of work, about a second of CPU, so that
 * counts and not clocks decide when it is over.
 */
import { eventsPerStream, STREAM_SHAPES, type BodySize, type Route, type StreamRoute } from './wire.ts';

export interface Goal {
  readonly atMost: number;
  readonly stretch?: number;
}

export interface Scenario {
  readonly name: string;
  readonly title: string;
  /** What a figure is per. */
  readonly unit: 'request' | 'chunk';
  /** App by yardstick, CPU. */
  readonly goal: Goal;
  /** Where the bare proxy asks, in turn; the app has a chain of the scenario's name with a model for each. */
  readonly routes: readonly Route[];
  readonly size: BodySize;
  readonly requests: number;
  readonly concurrency: number;
  /** The yardstick: the bare proxy, or the official client in a process of its own. */
  readonly against: 'proxy' | 'client';
}

export const SCENARIOS = [
  {
    name: 'plain',
    title: 'plain request',
    unit: 'request',
    goal: { atMost: 1, stretch: 0.75 },
    routes: ['answering'],
    size: 'small',
    requests: 5_000,
    concurrency: 32,
    against: 'proxy',
  },
  {
    name: 'large-body',
    title: 'plain request, body of 200 KB',
    unit: 'request',
    goal: { atMost: 1, stretch: 0.75 },
    routes: ['answering'],
    size: 'large',
    requests: 2_000,
    concurrency: 16,
    against: 'proxy',
  },
  {
    name: 'failed-first',
    title: 'first model answers 500',
    unit: 'request',
    goal: { atMost: 1 },
    routes: ['failing', 'answering'],
    size: 'small',
    requests: 4_000,
    concurrency: 32,
    against: 'proxy',
  },
  {
    name: 'burst',
    title: 'stream, chunks in a burst',
    unit: 'chunk',
    goal: { atMost: 1.3, stretch: 1.1 },
    routes: ['burst'],
    size: 'small',
    requests: 300,
    concurrency: 4,
    against: 'proxy',
  },
  {
    name: 'paced',
    title: 'stream, a chunk each 20 ms',
    unit: 'chunk',
    goal: { atMost: 1.1, stretch: 1 },
    routes: ['paced'],
    size: 'small',
    requests: 100,
    concurrency: 100,
    against: 'proxy',
  },
  {
    name: 'in-process',
    title: 'call from within a Nest app',
    unit: 'request',
    goal: { atMost: 0.6 },
    routes: ['answering'],
    size: 'small',
    requests: 2_000,
    concurrency: 16,
    against: 'client',
  },
] as const satisfies readonly Scenario[];

/** Not ratios: the app alone, against a limit. */
export const MEMORY = { name: 'memory', title: '1,000 open streams', streams: 1_000, goal: { atMost: 170 } } as const;
export const START = { name: 'start', title: 'start until it listens', starts: 5, goal: { atMost: 1.2 } } as const;

export const NAMES: readonly string[] = [...SCENARIOS.map(({ name }) => name), MEMORY.name, START.name];

/** The routes that a scenario of streams uses have one shape; undefined: no stream. */
export function streamRouteOf(routes: readonly Route[]): StreamRoute | undefined {
  return routes.find((route): route is StreamRoute => route in STREAM_SHAPES);
}

/** Requests, or chunks with content, in one round. */
export function unitsPerRound({ routes, requests }: Scenario): number {
  const stream = streamRouteOf(routes);
  return stream === undefined ? requests : requests * STREAM_SHAPES[stream].contentChunks;
}

export function eventsExpected(routes: readonly Route[]): number {
  const stream = streamRouteOf(routes);
  return stream === undefined ? 0 : eventsPerStream(STREAM_SHAPES[stream]);
}
