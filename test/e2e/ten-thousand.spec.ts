/**
 * Ten thousand requests through the running gateway, fifty at a time, while its models fail at random in twelve ways:
 * what the callers got, what the models were asked and what the gateway counted must be one and the same story.
 */
import { execFile } from 'node:child_process';
import { performance } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { asObject, parseJsonObject } from '../../src/simulation/json-value.js';
import { hashText } from '../../src/simulation/latency-profile.js';
import { askGateway, type CallerView } from '../app/ask-gateway.js';
import { type FlakyUpstream, startFlakyUpstream } from '../app/flaky-upstream.js';
import { readModelMetrics, readSeries } from '../app/read-metrics.js';
import { NEVER_OPENS, PAYS_FOR_ALL } from '../app/policies.js';
import { type RunningGateway, startGateway } from '../app/start-gateway.js';

/** The whole run; it takes a fraction of that on two idle cores. */
const RUN_LIMIT_MS = 90_000;
vi.setConfig({ testTimeout: 30_000, hookTimeout: RUN_LIMIT_MS });

const REQUESTS = 10_000;
const AT_A_TIME = 50;
const SEED = 7_341;
/** Until buffers, pools and compiled code have grown to what this load needs. */
const WARM_UP = 3_000;
/** Collects its garbage early, so that its size is that of what it holds, not of what it was allowed to let lie. */
const SMALL_HEAP = '--max-old-space-size=96 --max-semi-space-size=8';
/** What a process that keeps its size may still come and go by. */
const RSS_TOLERANCE = 1.08;
const LONGEST_BLOCK_MS = 3_000;

/** Not one of them answers every time. `retired` is not there at all: it rests after its first 404s. */
const FAILURE_RATIOS = { 'gpt-4': 0.35, 'gpt-4o': 0.35, 'gpt-3.5-turbo': 0.15 };
const CHAIN = ['retired', ...Object.keys(FAILURE_RATIOS)];
const USAGE_PER_ANSWER = { input: 7, output: 3 };

interface Asked {
  readonly nonce: string;
  readonly chain: string;
  readonly view: CallerView;
  /** What the caller read, if he was answered. */
  readonly said: string | undefined;
}

const WAYS = ['whole', 'stream', 'chat', 'chat stream'] as const;

let upstream: FlakyUpstream;
let gateway: RunningGateway;
let asked: readonly Asked[];
let rssMb: readonly { readonly answered: number; readonly mb: number }[];
let probeMs: readonly number[];

beforeAll(async () => {
  upstream = await startFlakyUpstream({ seed: SEED, failureRatios: FAILURE_RATIOS });
  gateway = await startGateway({
    config: {
      providers: { openai: { baseUrl: upstream.baseUrl } },
      models: Object.fromEntries(CHAIN.map((name) => [name, { provider: 'openai' }])),
      chains: { default: CHAIN, direct: CHAIN.slice(1) },
      policy: {
        maxRetries: 2,
        timeoutMs: 2_000,
        deadlineMs: 15_000,
        backoff: { baseMs: 5, maxMs: 20 },
        breaker: NEVER_OPENS,
        retryBudget: PAYS_FOR_ALL,
      },
    },
    env: { FALLBACK_LOG_FILE: 'logs/fallback.log', NODE_OPTIONS: SMALL_HEAP },
  });
  const startedAtMs = performance.now();
  const run = await runLoad();
  ({ asked, rssMb, probeMs } = run);
  console.log(`${asked.length} requests in ${Math.round(performance.now() - startedAtMs)} ms; RSS ${rssInWords()}`);
});

afterAll(async () => {
  await gateway.stop();
  await upstream.close();
});

async function runLoad() {
  const answered: Asked[] = [];
  const rss: { answered: number; mb: number }[] = [];
  const probes: number[] = [];
  let begun = 0;
  const over = new AbortController();
  const work = async () => {
    while (begun < REQUESTS) {
      begun += 1;
      answered.push(await ask(begun));
    }
  };
  const watch = async () => {
    for (; !over.signal.aborted; await pause(100)) {
      rss.push({ answered: answered.length, mb: await readRssMb(gateway.child.pid) });
      const sentAtMs = performance.now();
      await fetch(`${gateway.url}/health/live`);
      probes.push(performance.now() - sentAtMs);
    }
  };
  const watching = watch();
  await Promise.all(Array.from({ length: AT_A_TIME }, work));
  over.abort();
  await watching;
  return { asked: answered, rssMb: rss, probeMs: probes };
}

async function ask(number: number): Promise<Asked> {
  const nonce = `nonce-${number}-${hashText(String(number)).toString(16)}`;
  const way = WAYS[number % WAYS.length] ?? 'whole';
  // Some want the first model alone: those are the ones that fail.
  const isAlone = number % 40 < 2;
  const headers = isAlone ? { 'x-fallback': 'off' } : {};
  const chain = isAlone ? 'direct' : 'default';
  const stream = way.endsWith('stream');
  const view = way.startsWith('chat')
    ? await askGateway(gateway.url, { message: nonce, chain, stream }, { path: '/chat', headers })
    : await askGateway(
        gateway.url,
        { model: chain, stream, messages: [{ role: 'user', content: nonce }] },
        { headers },
      );
  return { nonce, chain, view, said: view.status === 200 ? textOf(view, way) : undefined };
}

/** As the reader of that way puts it together. */
function textOf(view: CallerView, way: (typeof WAYS)[number]): string {
  if (way === 'chat') return String(objectOf(view.body)['content']);
  if (way !== 'chat stream') return view.text;
  const objects = view.events.map(({ data }) => objectOf(data));
  return objects.map(({ delta }) => (typeof delta === 'string' ? delta : '')).join('');
}

const objectOf = (text: string) => parseJsonObject(Buffer.from(text)) ?? {};

async function readRssMb(pid: number | undefined): Promise<number> {
  const { stdout } = await promisify(execFile)('ps', ['-o', 'rss=', '-p', String(pid)]);
  return Number(stdout) / 1_024;
}

/** After the warm-up: its first and its second half. */
function rssHalves(): [number[], number[]] {
  const middle = (WARM_UP + REQUESTS) / 2;
  const of = (from: number, to: number) =>
    rssMb.filter(({ answered }) => answered >= from && answered < to).map(({ mb }) => mb);
  return [of(WARM_UP, middle), of(middle, REQUESTS + 1)];
}

const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;

function rssInWords(): string {
  const [first = 0] = rssMb.map(({ mb }) => mb);
  return [first, ...rssHalves().map(median), Math.max(...rssMb.map(({ mb }) => mb))]
    .map((mb) => `${Math.round(mb)} MB`)
    .join(', ');
}

function countBy<T>(items: readonly T[], keyOf: (item: T) => string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const item of items) counts[keyOf(item)] = (counts[keyOf(item)] ?? 0) + 1;
  return counts;
}

/** Samples of `/metrics` as `label label` → count, those that counted. */
async function counted(series: string, labels: readonly string[]): Promise<Record<string, number>> {
  const samples = (await readSeries(gateway.url, series)).filter(({ value }) => value > 0);
  return Object.fromEntries(samples.map((one) => [labels.map((label) => one.labels[label]).join(' '), one.value]));
}

describe('of ten thousand requests', () => {
  it('none is lost: each gets an answer or an error, whole, with one end', () => {
    expect(new Set(asked.map(({ nonce }) => nonce)).size).toBe(REQUESTS);
    for (const { view } of asked) {
      expect(view.isWhole).toBe(true);
      expect([200, 502, 504]).toContain(view.status);
      if (view.events.length === 0) continue;
      expect(view.events.filter(({ kind }) => kind === 'done' || kind === 'error')).toHaveLength(1);
      expect(view.events.at(-1)?.kind).toBe('done');
    }
  });

  it('none is answered twice, or with the answer of another', () => {
    const wrong = asked.filter(({ nonce, said }) => said !== undefined && said !== `echo ${nonce}`);
    expect(wrong).toEqual([]);
  });

  it('nearly all are answered; those that fail say why', () => {
    const failed = asked.filter(({ said }) => said === undefined);
    expect(failed.length).toBeGreaterThan(0);
    expect(failed.length).toBeLessThan(REQUESTS / 50);
    for (const { view } of failed) {
      expect(view.error).toMatchObject({ attempts: view.trace.map((one) => expect.objectContaining(one)) });
    }
  });

  it('every model that failed is one that the next ones made up for', () => {
    const classes = countBy(
      asked.flatMap(({ view }) => view.trace),
      (attempt) => attempt.class,
    );
    expect(Object.keys(classes).toSorted()).toEqual([
      'bad_response',
      'empty_answer',
      'network',
      'not_found',
      'ok',
      'overloaded',
      'rate_limited',
      'server_error',
      'stream_cut',
      'timeout_total',
      'timeout_ttft',
    ]);
  });
});

describe('what the gateway counted is what happened:', () => {
  it('requests by outcome', async () => {
    const outcomes = countBy(asked, ({ chain, said }) => `${chain} ${said === undefined ? 'failed' : 'ok'}`);
    expect(await counted('fallback_requests_total', ['chain', 'outcome'])).toEqual(outcomes);
  });

  it('attempts by model and outcome, as the models and as the callers saw them', async () => {
    const attempts = await counted('fallback_attempts_total', ['model', 'outcome']);
    expect(attempts).toEqual(Object.fromEntries(upstream.outcomes));
    const traced = countBy(
      asked.flatMap(({ view }) => view.trace),
      (attempt) => `${attempt.model} ${attempt.class}`,
    );
    expect(traced).toEqual(attempts);
  });

  it('switches by model and reason', async () => {
    const switches = asked.flatMap(({ view: { trace } }) =>
      trace.flatMap(({ model }, at) => {
        const left = trace[at - 1];
        const isRetry = trace.slice(0, at).some((before) => before.model === model);
        return left === undefined || isRetry ? [] : [`${left.model} ${model} ${left.class}`];
      }),
    );
    const expected = countBy(switches, (key) => key);
    expect(await counted('fallback_switches_total', ['from', 'to', 'reason'])).toEqual(expected);
  });

  it('the deadlines that passed', async () => {
    const late = asked.filter(({ view }) => view.status === 504).length;
    const [sample] = await readSeries(gateway.url, 'fallback_deadline_exceeded_total');
    expect(sample?.value).toBe(late);
  });

  it('the duration of each attempt, and the tokens of each answer', async () => {
    const durations = await readSeries(gateway.url, 'gen_ai_client_operation_duration_seconds_count');
    const attempts = asked.flatMap(({ view }) => view.trace).length;
    expect(durations.reduce((sum, { value }) => sum + value, 0)).toBe(attempts);
    for (const model of CHAIN) {
      const answers = upstream.outcomes.get(`${model} ok`) ?? 0;
      const metrics = await readModelMetrics(gateway.url, model);
      expect(metrics).toMatchObject({
        requests: [...upstream.outcomes].reduce((sum, [key, n]) => (key.startsWith(`${model} `) ? sum + n : sum), 0),
        successes: answers,
      });
      const { input, output } = asObject(metrics?.['tokens']);
      expect(output).toBe(answers * USAGE_PER_ANSWER.output);
      // An empty answer has read the prompt, too; one that is whole tells so, a stream is left before it could.
      const empty = upstream.outcomes.get(`${model} empty_answer`) ?? 0;
      expect(input).toBeGreaterThanOrEqual(answers * USAGE_PER_ANSWER.input);
      expect(input).toBeLessThanOrEqual((answers + empty) * USAGE_PER_ANSWER.input);
    }
  });
});

describe('the process', () => {
  it('keeps its size', () => {
    const [before, after] = rssHalves();
    expect(before.length).toBeGreaterThan(5);
    expect(median(after)).toBeLessThan(median(before) * RSS_TOLERANCE);
  });

  it('never stops answering others', () => {
    expect(Math.max(...probeMs)).toBeLessThan(LONGEST_BLOCK_MS);
  });

  it('leaves no connection open', async () => {
    await vi.waitFor(() => expect(upstream.openConnections()).toBe(0), { timeout: 10_000, interval: 50 });
  });
});
