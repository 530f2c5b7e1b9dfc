/**
 * A model of a stream that is silent for too long is overtaken, not killed: the contract's section 6, over real sockets
 * through the running gateway. Each test has models of its own, so that none sees what another learnt or counted.
 */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { asObject } from '../../src/simulation/json-value.js';
import { reply, startScriptedModel, type Reply, type ScriptedCall, type ScriptedModel } from '../../src/testing.js';
import { askGateway, type AskOptions, type CallerView } from '../app/ask-gateway.js';
import { NEVER_OPENS, PAYS_FOR_ALL } from '../app/policies.js';
import { readModelMetrics, readOutcomes, readSeries } from '../app/read-metrics.js';
import { type RunningGateway, startGateway } from '../app/start-gateway.js';

vi.setConfig({ testTimeout: 20_000, hookTimeout: 30_000 });

const TTFT_MS = 300;
const TIMEOUT_MS = 1_500;
/** What timers round off. */
const EARLY_MS = 5;
/** A hundred, where others leave the machine to us. */
const CLOSED_WITHIN_MS = 500;
/** From so many streams on, a model's own first tokens count. */
const USUAL_FROM_STREAMS = 20;

const KEYS = ['next', 'late', 'third', 'none', 'usual', 'thought', 'held', 'whole', 'two'] as const;
type Key = (typeof KEYS)[number];
const modelsOf = (key: Key) =>
  ['a', 'b', 'c'].slice(0, key === 'third' || key === 'two' ? 3 : 2).map((x) => `${key}-${x}`);

const SPEAKS = reply.text(['from ', 'the ', 'next'], { usage: { inputTokens: 7, outputTokens: 3 } });
const speaksAfter = (delayMs: number, text = 'late') =>
  reply.text([text], { delayMs, usage: { inputTokens: 5, outputTokens: 2 } });

let server: ScriptedModel;
let gateway: RunningGateway;
/** By model. */
const parts = new Map<string, Reply>();

beforeAll(async () => {
  server = await startScriptedModel(({ model }) => parts.get(model) ?? reply.error(404));
  const price = { inputPerMTok: 1_000_000, outputPerMTok: 1_000_000 };
  const models = KEYS.flatMap(modelsOf).map((name) => [name, { provider: 'p', price }]);
  gateway = await startGateway({
    config: {
      providers: { p: { baseUrl: server.baseUrl } },
      models: Object.fromEntries(models),
      chains: { default: modelsOf('next'), ...Object.fromEntries(KEYS.map((key) => [key, modelsOf(key)])) },
      policy: {
        maxRetries: 0,
        timeoutMs: TIMEOUT_MS,
        stream: { ttftMs: TTFT_MS },
        breaker: NEVER_OPENS,
        retryBudget: PAYS_FOR_ALL,
      },
      health: { intervalMs: 3_600_000 },
    },
  });
});

afterAll(async () => {
  await gateway?.stop();
  await server?.close();
});

interface Race {
  readonly view: CallerView;
  /** What was asked of each model, in the chain's order; undefined: nothing. */
  readonly calls: readonly (ScriptedCall | undefined)[];
  /** How long after the caller came each was asked. */
  readonly askedAfterMs: readonly number[];
  /** `model class`, as the headers tell. */
  readonly told: readonly string[];
}

async function race(key: Key, replies: readonly Reply[], body: object = {}, options: AskOptions = {}): Promise<Race> {
  const names = modelsOf(key);
  for (const [index, name] of names.entries()) parts.set(name, replies[index] ?? reply.error(404));
  const messages = [{ role: 'user', content: 'Hello' }];
  const asked = { model: key, stream: true, stream_options: { include_usage: true }, messages, ...body };
  const cameAtMs = performance.now();
  const view = await askGateway(gateway.url, asked, options);
  const calls = names.map((name) => server.calls.findLast(({ model }) => model === name));
  const askedAfterMs = calls.map((call) => (call?.receivedAtMs ?? NaN) - cameAtMs);
  return { view, calls, askedAfterMs, told: view.trace.map((attempt) => `${attempt.model} ${attempt.class}`) };
}

async function switchesFrom(model: string): Promise<Record<string, number>> {
  const samples = await readSeries(gateway.url, 'fallback_switches_total');
  const from = samples.filter(({ labels, value }) => labels['from'] === model && value > 0);
  return Object.fromEntries(from.map(({ labels, value }) => [`${labels['to']} ${labels['reason']}`, value]));
}

async function costOf(model: string): Promise<number> {
  const samples = await readSeries(gateway.url, 'fallback_cost_usd_total');
  return samples.reduce((sum, { labels, value }) => sum + (labels['model'] === model ? value : 0), 0);
}

describe('a model that is silent for stream.ttftMs', () => {
  it('has the next one started beside it; the first to speak wins, the other is let go of', async () => {
    const { view, calls, askedAfterMs, told } = await race('next', [reply.hang(), SPEAKS]);
    expect(view).toMatchObject({ status: 200, text: 'from the next', isWhole: true });
    expect(askedAfterMs[1]).toBeGreaterThan(TTFT_MS - EARLY_MS);
    expect(askedAfterMs[1]).toBeLessThan(TIMEOUT_MS);
    const beaten = await calls[0]?.ended;
    expect(beaten?.how).toBe('left');
    expect((beaten?.atMs ?? Infinity) - (calls[1]?.receivedAtMs ?? NaN)).toBeLessThan(CLOSED_WITHIN_MS);
    expect(told).toEqual(['next-a cancelled', 'next-b ok']);
    expect(view.trace[0]?.ms).toBeGreaterThanOrEqual(TTFT_MS - EARLY_MS);
    expect(view.headers).toMatchObject({
      'x-fallback-model': 'next-b',
      'x-fallback-attempts': '2',
      'x-fallback-used': 'true',
    });
  });

  it('is counted as overtaken, not as timed out, and each token once, where it was spent', async () => {
    expect(await readOutcomes(gateway.url, 'next-a')).toEqual({ cancelled: 1 });
    expect(await readOutcomes(gateway.url, 'next-b')).toEqual({ ok: 1 });
    expect(await switchesFrom('next-a')).toEqual({ 'next-b timeout_ttft': 1 });
    const tokens = async (model: string) => asObject((await readModelMetrics(gateway.url, model))?.['tokens']);
    expect(await tokens('next-a')).toEqual({ input: 0, output: 0 });
    expect(await tokens('next-b')).toEqual({ input: 7, output: 3 });
    expect([await costOf('next-a'), await costOf('next-b')]).toEqual([0, 10]);
  });

  it('wins where it speaks first after all, and the next one is let go of', async () => {
    const { view, calls, told } = await race('late', [speaksAfter(TTFT_MS * 2), reply.hang({ after: 'headers' })]);
    expect(view).toMatchObject({ status: 200, text: 'late', isWhole: true });
    expect(told).toEqual(['late-a ok', 'late-b cancelled']);
    expect(view.headers).toMatchObject({
      'x-fallback-model': 'late-a',
      'x-fallback-attempts': '2',
      'x-fallback-used': 'false',
    });
    expect(await calls[1]?.ended).toMatchObject({ how: 'left' });
    expect(asObject((await readModelMetrics(gateway.url, 'late-b'))?.['tokens'])).toEqual({ input: 0, output: 0 });
    expect(await costOf('late-a')).toBe(7);
  });

  it('has failed at timeoutMs, not before; then a third may run beside the second', async () => {
    const { view, askedAfterMs, told } = await race('third', [reply.hang(), reply.hang({ after: 'headers' }), SPEAKS]);
    expect(view.text).toBe('from the next');
    expect(told).toEqual(['third-a timeout_ttft', 'third-b cancelled', 'third-c ok']);
    expect(view.trace[0]?.ms).toBeGreaterThanOrEqual(TIMEOUT_MS - EARLY_MS);
    expect(askedAfterMs[2]).toBeGreaterThan(TIMEOUT_MS - EARLY_MS);
    expect(await readOutcomes(gateway.url, 'third-a')).toEqual({ timeout_ttft: 1 });
  });

  it('makes way at once for the third where the second fails: two run, never three', async () => {
    const { view, calls, told } = await race('two', [speaksAfter(TTFT_MS * 3), reply.error(500), SPEAKS]);
    expect(view.text).toBe('from the next');
    expect(told).toEqual(['two-a cancelled', 'two-b server_error', 'two-c ok']);
    const [first, second, third] = calls;
    expect((third?.receivedAtMs ?? Infinity) - (second?.receivedAtMs ?? 0)).toBeLessThan(TTFT_MS);
    expect(await first?.ended).toMatchObject({ how: 'left' });
  });

  it('and is not alone in it: the caller gets 504, and the trace of both', async () => {
    const { view, told } = await race('none', [reply.hang(), reply.hang()]);
    expect(view.status).toBe(504);
    expect(told).toEqual(['none-a timeout_ttft', 'none-b timeout_ttft']);
    expect(view.error?.['attempts']).toMatchObject([{ class: 'timeout_ttft' }, { class: 'timeout_ttft' }]);
  });
});

describe('nobody is overtaken', () => {
  it('within the time that he usually takes, where that is longer', async () => {
    const usualMs = TTFT_MS * 2;
    const late = speaksAfter(usualMs, 'as usual');
    const alone = { headers: { 'x-fallback': 'off' } };
    await Promise.all(Array.from({ length: USUAL_FROM_STREAMS }, () => race('usual', [late, SPEAKS], {}, alone)));
    const soon = await race('usual', [speaksAfter(usualMs - 100, 'as usual'), SPEAKS]);
    expect(soon.told).toEqual(['usual-a ok']);
    expect(soon.calls[1]).toBeUndefined();

    const silent = await race('usual', [reply.hang(), SPEAKS]);
    expect(silent.told).toEqual(['usual-a cancelled', 'usual-b ok']);
    expect(silent.askedAfterMs[1]).toBeGreaterThan(usualMs - EARLY_MS);
  });

  it('who thinks aloud', async () => {
    const thinks = reply.text(['Well.'], { reasoning: ['Hm', ', ', 'hm'], paceMs: TTFT_MS });
    const { view, told } = await race('thought', [thinks, SPEAKS]);
    expect([view.reasoning, view.text, told]).toEqual(['Hm, hm', 'Well.', ['thought-a ok']]);
  });

  it('who has begun a tool call, though it is held', async () => {
    const call = reply.toolCalls([{ name: 'f', arguments: { a: 1 } }], { paceMs: TTFT_MS });
    const { view, told } = await race('held', [call, SPEAKS], {
      tools: [{ type: 'function', function: { name: 'f' } }],
    });
    expect(view.toolCalls).toEqual([{ index: 0, name: 'f', arguments: '{"a":1}' }]);
    expect(told).toEqual(['held-a ok']);
  });

  it('whose answer is awaited whole', async () => {
    const { view, told } = await race('whole', [speaksAfter(TTFT_MS * 2, 'whole'), SPEAKS], {
      stream: false,
      stream_options: undefined,
    });
    expect([view.text, told]).toEqual(['whole', ['whole-a ok']]);
  });
});
