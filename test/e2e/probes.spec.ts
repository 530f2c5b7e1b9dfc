/**
 * Probes of the running gateway: what they say and what they must not do, and the drain under load that an
 * orchestrator's SIGTERM begins.
 */
import { once } from 'node:events';
import { request } from 'undici';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { asObject } from '../../src/simulation/json-value.js';
import { reply, startScriptedModel, type Script, type ScriptedModel } from '../../src/testing.js';
import { askGateway, type CallerView } from '../app/ask-gateway.js';
import { type RunningGateway, startGateway } from '../app/start-gateway.js';

// Processes are started, on machines that may be busy.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 30_000 });

const closers: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

async function open(script: Script): Promise<{ gateway: RunningGateway; model: ScriptedModel }> {
  const model = await startScriptedModel(script, { list: reply.models(['gpt-4', 'gpt-3.5-turbo']) });
  closers.push(() => model.close());
  const gateway = await startGateway({ env: { OPENAI_BASE_URL: model.baseUrl } });
  closers.push(() => gateway.stop());
  return { gateway, model };
}

async function probe(gateway: RunningGateway, path: string) {
  const { statusCode, headers, body } = await request(`${gateway.url}${path}`);
  return { status: statusCode, headers, body: asObject(await body.json()) };
}

const CHAT = { model: 'default', messages: [{ role: 'user', content: 'hello' }] };
const PROBES = ['/health', '/health/live', '/health/ready', '/health/startup'] as const;

describe('probes', () => {
  it('of a gateway that nobody has asked yet are 200, and call no model however often they are asked', async () => {
    const { gateway, model } = await open('hello');
    const rounds = await Promise.all(
      Array.from({ length: 50 }, () => Promise.all(PROBES.map((path) => probe(gateway, path)))),
    );
    for (const { status, headers, body } of rounds.flat()) {
      expect(status).toBe(200);
      expect(headers['content-type']).toMatch(/^application\/json/u);
      expect(body).toMatchObject({ status: 'ok', info: {}, error: {}, details: {} });
    }
    for (const path of ['/metrics', '/metrics/models', '/v1/models']) await request(`${gateway.url}${path}`);
    expect([...model.calls, ...model.polls]).toEqual([]);
  });

  it('tell what traffic has learnt, and still call nobody', async () => {
    const { gateway, model } = await open(({ body }) =>
      body['model'] === 'gpt-4' ? reply.error(404, { code: 'model_not_found' }) : 'hello',
    );
    await askGateway(gateway.url, CHAT);
    const before = model.calls.length;
    const { body } = await probe(gateway, '/health');
    expect(asObject(body['details'])).toMatchObject({
      'gpt-4': { status: 'down', lastFailureClass: 'not_found', since: expect.stringMatching(/^\d{4}-\d\d-\d\dT/u) },
      'gpt-3.5-turbo': { status: 'up' },
      default: { status: 'up' },
    });
    expect((await probe(gateway, '/health/ready')).status).toBe(200);
    expect(model.calls).toHaveLength(before);
  });

  it('say not ready while no model of a chain is usable, still alive, and ready again when a rest is over', async () => {
    const { gateway, model } = await open(
      reply.error(429, { code: 'rate_limit_exceeded' }, { headers: { 'retry-after-ms': '1500' } }),
    );
    const headers = { 'x-fallback-deadline-ms': '500' };
    expect((await askGateway(gateway.url, CHAT, { headers })).status).toBe(429);
    expect(await probe(gateway, '/health/ready')).toMatchObject({ status: 503, body: { status: 'error' } });
    expect((await probe(gateway, '/health/live')).status).toBe(200);
    expect((await probe(gateway, '/health/startup')).status).toBe(200);
    await vi.waitFor(async () => expect((await probe(gateway, '/health/ready')).status).toBe(200), {
      timeout: 5_000,
      interval: 50,
    });
    expect(model.calls).toHaveLength(2);
  });

  it('answer at once while every model hangs', async () => {
    const { gateway, model } = await open(reply.hang());
    const left = new AbortController();
    const asked = Array.from({ length: 50 }, () => askGateway(gateway.url, CHAT, { signal: left.signal }));
    await model.waitForCall(50);
    const startedAtMs = performance.now();
    await Promise.all(PROBES.map((path) => probe(gateway, path)));
    expect(performance.now() - startedAtMs).toBeLessThan(1_000);
    left.abort();
    await Promise.allSettled(asked);
  });
});

describe('SIGTERM under load', () => {
  const IN_FLIGHT = 200;
  const WAYS = ['whole', 'stream', 'chat', 'chat stream'] as const;

  function ask(gateway: RunningGateway, number: number): Promise<CallerView> {
    const way = WAYS[number % WAYS.length] ?? 'whole';
    const stream = way.endsWith('stream');
    const nonce = `nonce-${number}.`;
    if (way.startsWith('chat')) return askGateway(gateway.url, { message: nonce, stream }, { path: '/chat' });
    return askGateway(gateway.url, { ...CHAT, stream, messages: [{ role: 'user', content: nonce }] });
  }

  it('loses none of two hundred requests under way, a half of them streams, and exits with 0', async () => {
    const released = Promise.withResolvers<void>();
    const { gateway, model } = await open(async ({ model: name, bodyText, isStreaming }) => {
      const nonce = /nonce-\d+\./u.exec(bodyText)?.[0] ?? '';
      const text = reply.text(['echo ', nonce, ' one', ' two', ' three'], { paceMs: 150 });
      // Some streams are being read already when the signal comes; all others wait, and then fall back.
      if (isStreaming && /[159]\.$/u.test(nonce) && name === 'gpt-4') return text;
      await released.promise;
      return name === 'gpt-4' ? reply.error(500) : text;
    });
    const asked = Array.from({ length: IN_FLIGHT }, (_, number) => ask(gateway, number));
    await model.waitForCall(IN_FLIGHT);

    gateway.child.kill('SIGTERM');
    const exited = once(gateway.child, 'exit');
    await vi.waitFor(async () => expect((await probe(gateway, '/health/ready')).status).toBe(503), {
      timeout: 5_000,
      interval: 10,
    });
    released.resolve();
    const late = await Promise.all([200, 201, 202, 203].map((number) => ask(gateway, number)));
    for (const [number, view] of [...(await Promise.all(asked)), ...late].entries()) {
      expect(view).toMatchObject({ status: 200, isWhole: true });
      expect(readText(view)).toBe(`echo nonce-${number}. one two three`);
      if (view.events.length > 0) expect(view.events.at(-1)?.kind).toBe('done');
      expect(view.events.filter(({ kind }) => kind === 'error')).toEqual([]);
    }
    expect(await exited).toEqual([0, null]);
  });

  function readText(view: CallerView): unknown {
    if (view.text !== '') return view.text;
    if (view.events.length === 0) return asObject(JSON.parse(view.body))['content'];
    // The object before the terminator of a chat's stream holds the whole text.
    return asObject(JSON.parse(view.events.at(-2)?.data ?? '{}'))['content'];
  }
});
