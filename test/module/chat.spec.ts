import { getEventListeners } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  FallbackChainService,
  FallbackError,
  FallbackExhaustedError,
  FallbackRejectedError,
  ModelManagerService,
} from '../../src/index.js';
import { reply } from '../../src/testing.js';
import { contextOf, rejectionOf, twoModels } from './host.js';

const unhandled: unknown[] = [];
const note = (reason: unknown) => void unhandled.push(reason);
beforeEach(() => void process.on('unhandledRejection', note));
afterEach(() => {
  process.off('unhandledRejection', note);
  expect(unhandled.splice(0)).toEqual([]);
});

const outcomesOf = (error: unknown) =>
  (error as FallbackError).attempts.map((attempt) => `${attempt.model} ${attempt.class} ${attempt.status ?? '-'}`);

describe('chat()', () => {
  it('sends a text as one user message, with the system message before it', async () => {
    await using stage = await twoModels('Hello');
    await using host = await contextOf(stage.options);
    await host.models.chat('Hi', { system: 'Be brief.' });
    expect(stage.first.calls[0]?.body).toEqual({
      model: 'gpt-4',
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'Hi' },
      ],
    });
  });

  it('sends a list of messages as it is, and every parameter through', async () => {
    await using stage = await twoModels(reply.toolCalls([{ name: 'weather', arguments: { city: 'Oslo' } }]));
    await using host = await contextOf(stage.options);
    const messages = [
      { role: 'developer' as const, content: 'a' },
      { role: 'user' as const, content: [{ type: 'text' as const, text: 'b' }] },
    ];
    const tools = [{ type: 'function' as const, function: { name: 'weather', parameters: { type: 'object' } } }];
    const params = { temperature: 0.5, tools, seed: 7, metadata: { a: 'b' }, unknown_to_us: [1] };
    const result = await host.models.chat(messages, { params });
    expect(stage.first.calls[0]?.body).toEqual({ ...params, model: 'gpt-4', messages });
    expect(result).toMatchObject({ content: null, finishReason: 'tool_calls', model: 'gpt-4', fallbackUsed: false });
    expect(result.completion.choices[0]?.message.tool_calls).toMatchObject([{ function: { name: 'weather' } }]);
  });

  it('takes no word of params for what is its own to say', async () => {
    await using stage = await twoModels('Hello');
    await using host = await contextOf(stage.options);
    const params = { stream: true, model: 'mine', messages: [], temperature: 0 };
    expect((await host.models.chat('Hi', { params })).content).toBe('Hello');
    expect(stage.first.calls[0]?.body).toEqual({
      model: 'gpt-4',
      messages: [{ role: 'user', content: 'Hi' }],
      temperature: 0,
    });
  });

  it('holds an answer to the JSON that params asked for, and asks the next model where it is none', async () => {
    await using stage = await twoModels('not json', '{"ok":true}');
    await using host = await contextOf(stage.options);
    const result = await host.models.chat('Hi', { params: { response_format: { type: 'json_object' } } });
    expect(result).toMatchObject({ content: '{"ok":true}', attempts: [{ class: 'invalid_output' }, { class: 'ok' }] });
  });

  it('asks the models that are listed, in that order', async () => {
    await using stage = await twoModels('one', 'two');
    await using host = await contextOf(stage.options);
    const { model } = await host.models.chat('Hi', { models: ['gpt-3.5-turbo', 'gpt-4'] });
    expect([model, stage.first.calls.length]).toEqual(['gpt-3.5-turbo', 0]);
  });

  it('asks the chain that is named', async () => {
    await using stage = await twoModels('one', 'two');
    await using host = await contextOf({
      ...stage.options,
      chains: { ...stage.options.chains, back: ['gpt-3.5-turbo'] },
    });
    expect(await host.models.chat('Hi', { chain: 'back' })).toMatchObject({
      model: 'gpt-3.5-turbo',
      fallbackUsed: false,
    });
  });

  it('throws the first model’s failure where fallback is off', async () => {
    await using stage = await twoModels(reply.error(500));
    await using host = await contextOf(stage.options);
    const error = await rejectionOf(host.models.chat('Hi', { fallback: false }));
    expect(error).toBeInstanceOf(FallbackExhaustedError);
    expect(error).toMatchObject({ code: 'all_failed', status: 502, statusCode: 502, expose: false });
    expect(outcomesOf(error)).toEqual(['gpt-4 server_error 500']);
    expect(stage.second.calls).toHaveLength(0);
  });

  it('asks no other model where the configuration switches fallbacks off', async () => {
    await using stage = await twoModels(reply.error(503));
    await using host = await contextOf({ ...stage.options, enabled: false });
    expect(outcomesOf(await rejectionOf(host.models.chat('Hi')))).toEqual(['gpt-4 server_error 503']);
  });

  it('tells every attempt, with its class, status and time, where no model answered', async () => {
    await using stage = await twoModels(reply.error(500), reply.reset());
    await using host = await contextOf(stage.options);
    const error = await rejectionOf(host.models.chat('Hi'));
    expect(FallbackError.isInstance(error)).toBe(true);
    expect(outcomesOf(error)).toEqual(['gpt-4 server_error 500', 'gpt-3.5-turbo network -']);
    expect((error as FallbackError).attempts.every(({ ms }) => Number.isInteger(ms) && ms >= 0)).toBe(true);
    expect(String(error)).toMatch(/FallbackExhaustedError: .*default.*gpt-4 server_error.*gpt-3\.5-turbo network/);
  });

  it('is 429 with the soonest time where all are rate limited, and 503 or 429 at once while they rest', async () => {
    const limited = (seconds: number) => reply.error(429, {}, { headers: { 'retry-after': String(seconds) } });
    await using stage = await twoModels(limited(300), limited(200));
    await using host = await contextOf(stage.options);
    const error = await rejectionOf(host.models.chat('Hi'));
    expect(error).toMatchObject({ status: 429 });
    const { retryAfterMs = 0 } = error as FallbackExhaustedError;
    expect(retryAfterMs).toBeGreaterThan(190_000);
    expect(retryAfterMs).toBeLessThanOrEqual(200_000);
    const { signal } = new AbortController();
    for (const options of [{}, { signal }]) {
      const again = await rejectionOf(host.models.chat('Hi', options));
      expect(again).toBeInstanceOf(FallbackExhaustedError);
      expect(again).toMatchObject({ code: 'unavailable', attempts: [] });
    }
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });

  it('is 504 where the deadline passes, which a call can only shorten', async () => {
    await using stage = await twoModels(reply.hang(), reply.hang());
    await using host = await contextOf({ ...stage.options, policy: { deadlineMs: 120 } });
    for (const deadlineMs of [60, 60_000]) {
      const error = await rejectionOf(host.models.chat('Hi', { deadlineMs }));
      expect(error).toMatchObject({ code: 'deadline', status: 504 });
    }
  });

  it('throws the caller’s own fault as the upstream’s 4xx, asking nobody else', async () => {
    const fault = {
      message: 'Bad temperature',
      type: 'invalid_request_error',
      code: 'bad_value',
      param: 'temperature',
    };
    await using stage = await twoModels(reply.error(422, fault));
    await using host = await contextOf(stage.options);
    const error = await rejectionOf(host.models.chat('Hi'));
    expect(error).toBeInstanceOf(FallbackRejectedError);
    expect(error).toMatchObject({
      message: 'Bad temperature',
      status: 422,
      code: 'bad_value',
      param: 'temperature',
      class: 'invalid_request',
      expose: true,
      attempts: [{ model: 'gpt-4', class: 'invalid_request', status: 422 }],
    });
    expect(stage.second.calls).toHaveLength(0);
  });

  it.each([{ chain: 'nobody' }, { models: ['nobody'] }, { models: ['gpt-4', 'nobody'] }])(
    'rejects with 404 model_not_found for %o',
    async (options) => {
      await using stage = await twoModels('ok');
      await using host = await contextOf(stage.options);
      const expected = { status: 404, code: 'model_not_found', attempts: [], class: 'not_found' };
      expect(await rejectionOf(host.models.chat('Hi', options))).toMatchObject(expected);
      expect(await rejectionOf(host.models.stream('Hi', options).result)).toMatchObject(expected);
      const chains = host.app.get(FallbackChainService);
      // A rejection like any other, never a throw.
      expect(await rejectionOf(chains.execute(async () => 1, options))).toMatchObject(expected);
      expect(stage.first.calls).toHaveLength(0);
    },
  );

  it.each([{ input: '' }, { input: [] }])('rejects with 400 where nothing is asked: %o', async ({ input }) => {
    await using stage = await twoModels('ok');
    await using host = await contextOf(stage.options);
    expect(await rejectionOf(host.models.chat(input))).toMatchObject({ status: 400, class: 'invalid_request' });
    expect(await rejectionOf(host.models.stream(input).result)).toMatchObject({ status: 400 });
  });

  it('rejects with 400 where an empty list of models is given', async () => {
    await using stage = await twoModels('ok');
    await using host = await contextOf(stage.options);
    expect(await rejectionOf(host.models.chat('Hi', { models: [] }))).toMatchObject({ status: 400 });
  });
});

describe('a chat’s signal', () => {
  it('that is aborted before rejects with its reason, and nobody is asked', async () => {
    await using stage = await twoModels('ok');
    await using host = await contextOf(stage.options);
    const reason = new Error('too late');
    const signal = AbortSignal.abort(reason);
    expect(await rejectionOf(host.models.chat('Hi', { signal }))).toBe(reason);
    expect(await rejectionOf(host.models.stream('Hi', { signal }).result)).toBe(reason);
    expect(stage.first.calls).toHaveLength(0);
  });

  it.each([
    { why: 'before the headers', script: reply.hang() },
    { why: 'before the body', script: reply.hang({ after: 'headers' }) },
  ])('that is aborted while a model is silent $why closes the upstream’s socket', async ({ script }) => {
    await using stage = await twoModels(script);
    await using host = await contextOf(stage.options);
    const leaving = new AbortController();
    const rejected = rejectionOf(host.models.chat('Hi', { signal: leaving.signal }));
    const call = await stage.first.waitForCall(1);
    const leftAtMs = performance.now();
    leaving.abort(new Error('left'));
    expect(await rejected).toMatchObject({ message: 'left' });
    const { how, atMs } = await call.ended;
    expect(how).toBe('left');
    expect(atMs - leftAtMs).toBeLessThan(100);
    expect(stage.second.calls).toHaveLength(0);
  });

  it('that is aborted during a backoff ends the wait', async () => {
    await using stage = await twoModels(reply.error(500), reply.error(500));
    const policy = { maxRetries: 3, backoff: { baseMs: 20_000, maxMs: 20_000 }, deadlineMs: 60_000 };
    await using host = await contextOf({ ...stage.options, policy });
    const leaving = new AbortController();
    const rejected = rejectionOf(host.models.chat('Hi', { signal: leaving.signal }));
    const call = await stage.second.waitForCall(1);
    await call.ended;
    leaving.abort('enough');
    expect(await rejected).toBe('enough');
  });

  it('has no listener of ours left once the chat is over', async () => {
    await using stage = await twoModels([reply.error(500), 'ok'], 'ok');
    await using host = await contextOf(stage.options);
    const { signal } = new AbortController();
    await host.models.chat('Hi', { signal });
    await rejectionOf(host.models.chat('Hi', { signal, chain: 'nobody' }));
    await host.models.stream('Hi', { signal }).result;
    await host.app.get(FallbackChainService).execute(async () => 1, { signal });
    await rejectionOf(host.app.get(FallbackChainService).execute(async () => 1, { signal, chain: 'nobody' }));
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });
});

describe('what is thrown', () => {
  it('is known to another copy of the package', () => {
    const brand = Symbol.for('nestjs-llm-fallback.FallbackError');
    expect(FallbackError.isInstance({ [brand]: true })).toBe(true);
    for (const other of [new Error('x'), null, undefined, 'x', {}]) expect(FallbackError.isInstance(other)).toBe(false);
  });

  it('holds no key, even where the upstream repeats one', async () => {
    await using stage = await twoModels((call) => reply.error(400, { message: `key ${call.headers.authorization}` }));
    await using host = await contextOf(stage.options);
    const error = await rejectionOf(host.models.chat('Hi'));
    expect(`${String(error)} ${JSON.stringify(error)}`).not.toContain('0123456789abcdef');
  });
});

describe('two apps in one process', () => {
  it('do not know each other', async () => {
    await using stage = await twoModels(reply.error(429, {}, { headers: { 'retry-after': '60' } }));
    await using other = await twoModels('of the other');
    await using one = await contextOf(stage.options);
    await using two = await contextOf(other.options);
    await one.models.chat('Hi');
    expect(await two.models.chat('Hi')).toMatchObject({ content: 'of the other' });
    const requests = [one, two].map((host) => host.app.get(ModelManagerService).getMetrics()[0]);
    expect(requests[0]?.cooldownUntil).not.toBeNull();
    expect(requests[1]).toMatchObject({ requests: 1, successes: 1, cooldownUntil: null });
    await one.app.close();
    expect(await two.models.chat('Hi')).toMatchObject({ content: 'of the other' });
  });
});
