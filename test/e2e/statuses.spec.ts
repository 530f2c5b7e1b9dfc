/**
 * What a caller is told where no model answered: the contract's section 3, a row for each of its words, asked for whole,
 * as a stream, and by way of `/chat`.
 */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { asArray, asObject } from '../../src/simulation/json-value.js';
import { type Reply, startScriptedModel, type ScriptedModel } from '../../src/testing.js';
import { askGateway, type CallerView } from '../app/ask-gateway.js';
import { type StatusRow, STATUS_ROWS } from '../app/status-rows.js';
import { type RunningGateway, startGateway } from '../app/start-gateway.js';

// Processes are started, on machines that may be busy.
vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 });

const WAYS = ['whole', 'stream', 'chat', 'chat stream'] as const;
type Way = (typeof WAYS)[number];

const chainOf = (row: number, way: Way) => `chain-${row}-${WAYS.indexOf(way)}`;
const modelOf = (row: number, way: Way, index: number) => `m-${row}-${WAYS.indexOf(way)}-${index}`;

let upstream: ScriptedModel;
let gateway: RunningGateway;

beforeAll(async () => {
  upstream = await startScriptedModel(({ model }) => replyOf(model));
  const each = STATUS_ROWS.flatMap((row, number) => WAYS.map((way) => ({ row, number, way })));
  const models = each.flatMap(({ row, number, way }) => row.models.map((_, index) => modelOf(number, way, index)));
  const chains = each.map(({ row, number, way }) => [
    chainOf(number, way),
    { models: row.models.map((_, index) => modelOf(number, way, index)), ...row.policy },
  ]);
  gateway = await startGateway({
    config: {
      // A provider for each: what rests one must not rest the models of another row.
      providers: Object.fromEntries(models.map((name) => [name, { baseUrl: upstream.baseUrl }])),
      models: Object.fromEntries(models.map((name) => [name, { provider: name }])),
      chains: Object.fromEntries([...chains, ['default', models.slice(0, 1)]]),
      policy: { maxRetries: 0, deadlineMs: 3_000 },
    },
  });
});

afterAll(async () => {
  await gateway.stop();
  await upstream.close();
});

function replyOf(model: string): Reply {
  const [, row, , index] = model.split('-').map(Number);
  return STATUS_ROWS[row ?? -1]?.models[index ?? -1] ?? 'no such model';
}

const MESSAGES = [{ role: 'user', content: 'hello' }];

function ask(chain: string, way: Way, headers: Readonly<Record<string, string>> = {}): Promise<CallerView> {
  if (way.startsWith('chat')) {
    const body = { message: 'hello', chain, stream: way === 'chat stream' };
    return askGateway(gateway.url, body, { path: '/chat', headers });
  }
  return askGateway(gateway.url, { model: chain, messages: MESSAGES, stream: way === 'stream' }, { headers });
}

/** `timeout` is the class of the way it was asked for. */
function expectedAttempts({ attempts }: StatusRow, number: number, way: Way) {
  return attempts.map((text, index) => {
    const [word = '', status] = text.split(' ');
    const late = way.endsWith('stream') ? 'timeout_ttft' : 'timeout_total';
    return {
      model: modelOf(number, way, index),
      class: word === 'timeout' ? late : word,
      // After headers that came, even a silent model has a status.
      ...(status === undefined ? {} : { status: Number(status) }),
      ms: expect.any(Number),
    };
  });
}

describe.each(WAYS)('where no model answered, asked by way of %s', (way) => {
  it.each(STATUS_ROWS.map((row, number) => ({ ...row, row, number })))('$why: $status', async ({ row, number }) => {
    const before = upstream.calls.length;
    const view = await ask(chainOf(number, way), way, { 'x-request-id': 'mine-1', ...row.headers });
    expect(view.status).toBe(row.status);
    expect(view.headers['content-type']).toMatch(/^application\/json/u);
    const { message, ...words } = row.error;
    expect(view.error).toMatchObject({ param: null, ...words });
    expect(view.error?.['message']).toMatch(message ?? /\S/u);
    const attempts = expectedAttempts(row, number, way);
    expect(view.error?.['attempts']).toMatchObject(attempts);
    expect(asArray(view.error?.['attempts'])).toHaveLength(attempts.length);
    expect(upstream.calls.slice(before).map(({ model }) => model)).toEqual(attempts.map(({ model }) => model));
    expectHeaders(view, row, attempts);
  });
});

function expectHeaders(view: CallerView, row: StatusRow, attempts: readonly { model: string; class: string }[]): void {
  const { headers } = view;
  expect(headers['x-request-id']).toBe('mine-1');
  expect(headers).not.toHaveProperty('x-fallback-model');
  expect(headers['x-fallback-attempts']).toBe(String(attempts.length));
  expect(headers['x-fallback-used']).toBe(String(attempts.length > 1));
  expect(view.trace.map((one) => ({ model: one.model, class: one.class }))).toEqual(
    attempts.map((one) => ({ model: one.model, class: one.class })),
  );
  expect(view.trace.map(({ ms }) => ms)).toEqual(asArray(view.error?.['attempts']).map((one) => asObject(one)['ms']));
  if (row.retryAfterS === undefined) {
    expect(headers['x-should-retry']).toBe('false');
    expect(headers).not.toHaveProperty('retry-after');
  } else {
    expect(headers['retry-after']).toBe(String(row.retryAfterS));
    expect(headers).not.toHaveProperty('x-should-retry');
  }
}

describe('a chain whose models are all known to be down is not asked again', () => {
  const DOWN = [
    { why: 'all rate-limited, who say when', status: 429, code: 'unavailable', most: 40 },
    { why: 'a busy model', status: 503, code: 'unavailable', most: 90 },
    { why: 'a wrong key', status: 503, code: 'unavailable', most: 300 },
    { why: 'no permission', status: 503, code: 'unavailable', most: 300 },
    { why: 'an empty account', status: 503, code: 'unavailable', most: 300 },
    { why: 'a model that is not there', status: 503, code: 'unavailable', most: 300 },
  ] as const;

  it.each(DOWN.flatMap((row) => WAYS.map((way) => ({ ...row, way }))))(
    '$why, by way of $way: $status with the soonest Retry-After, and nothing of attempts that were not made',
    async ({ why, status, code, most, way }) => {
      const number = STATUS_ROWS.findIndex((row) => row.why === why);
      // Asked once, so that each row stands by itself too.
      await ask(chainOf(number, way), way);
      const before = upstream.calls.length;
      const view = await ask(chainOf(number, way), way);
      expect(view.status).toBe(status);
      expect(view.error).toMatchObject({ code, param: null });
      expect(view.error?.['message']).toMatch(/^Every model of chain ".+" is known to be down .*Retry in \d+ s\.$/u);
      expect(view.error).not.toHaveProperty('attempts');
      expect(Object.keys(view.headers).filter((name) => name.startsWith('x-fallback'))).toEqual([]);
      expect(view.headers['x-request-id']).toMatch(/\S/u);
      expect(view.headers).not.toHaveProperty('x-should-retry');
      const retryAfterS = Number(view.headers['retry-after']);
      expect(retryAfterS).toBeGreaterThan(0);
      expect(retryAfterS).toBeLessThanOrEqual(most);
      expect(upstream.calls).toHaveLength(before);
    },
  );
});
