/** The background check in virtual time: whom it asks, how often, and what follows from the answers. */
import { afterEach, describe, expect, it } from 'vitest';
import type { Script, ScriptedModel, ScriptedModelOptions } from '../../src/testing.js';
import { reply, startScriptedModel } from '../../src/testing.js';
import { ownFailure } from '../../src/upstream/classify.js';
import { HealthStage } from './stage.js';

const INTERVAL_MS = 30_000;
/** An interval with the most that is slept on top. */
const LONG_INTERVAL_MS = 33_000;
const HOUR_MS = 3_600_000;

const open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const one of open.splice(0)) await one[Symbol.asyncDispose]();
});

async function server(script: Script, list: ScriptedModelOptions['list']): Promise<ScriptedModel> {
  const model = await startScriptedModel(script, list === undefined ? {} : { list });
  open.push(model);
  return model;
}

const onlyA: Script = ({ model }) => (model === 'a' ? 'pong' : reply.error(500));

interface Setup {
  readonly baseUrl: string;
  readonly apiKey?: string;
  readonly health?: object;
}

function optionsOf({ baseUrl, apiKey = 'sk-test-0123456789abcdef', health = {} }: Setup): object {
  return {
    providers: { p: { baseUrl, apiKey }, sdk: { kind: 'external' } },
    models: { a: { provider: 'p' }, b: { provider: 'p' }, other: { provider: 'sdk' } },
    chains: { default: ['a', 'b'], alone: ['a'] },
    policy: { maxRetries: 0 },
    health,
  };
}

function started(setup: Setup): HealthStage {
  const stage = new HealthStage(optionsOf(setup));
  open.push(stage);
  stage.check.onApplicationBootstrap();
  return stage;
}

describe('the background check', () => {
  it('asks nobody at the start, and each provider once per interval for its list', async () => {
    const provider = await server('pong', reply.models(['a', 'b']));
    const stage = started(provider);
    await stage.pass(INTERVAL_MS - 1);
    expect(provider.polls).toHaveLength(0);
    await stage.pass(LONG_INTERVAL_MS - INTERVAL_MS + 1);
    expect(provider.polls).toHaveLength(1);
    await stage.pass(9 * LONG_INTERVAL_MS);
    expect(provider.polls.length).toBeGreaterThanOrEqual(9);
    expect(provider.polls.length).toBeLessThanOrEqual(Math.floor((10 * LONG_INTERVAL_MS) / INTERVAL_MS));
    expect(new Set(provider.polls.map(({ path }) => path))).toEqual(new Set(['/v1/models']));
    expect(provider.calls).toHaveLength(0);
    expect(stage.states()).toEqual({ a: 'usable', b: 'usable', other: 'untested' });
  });

  it('asks nobody while traffic tells of any of the provider’s models, and one interval after it has stopped', async () => {
    const provider = await server('pong', reply.models(['a', 'b']));
    const stage = started(provider);
    for (let turn = 0; turn < 10; turn += 1) {
      await stage.pass(INTERVAL_MS / 2);
      expect(await stage.ask('a')).toBe('ok');
    }
    expect(provider.polls).toHaveLength(0);
    await stage.pass(LONG_INTERVAL_MS);
    expect(provider.polls).toHaveLength(1);
  });

  it.each([404, 405])(
    'leaves a provider that answers %i alone for an hour, and thinks nothing of it',
    async (status) => {
      const provider = await server('pong', reply.error(status));
      const stage = started(provider);
      await stage.pass(HOUR_MS);
      expect(provider.polls).toHaveLength(1);
      expect(stage.isUp()).toBe(true);
      expect(stage.states()['a']).toBe('untested');
      await stage.pass(2 * LONG_INTERVAL_MS);
      expect(provider.polls).toHaveLength(2);
    },
  );

  it('sends a billed token only where it is asked to, also where there is no list', async () => {
    const quiet = await server('pong', reply.models(['a', 'b']));
    const unasked = started({ ...quiet, health: { ping: false } });
    await unasked.pass(3 * LONG_INTERVAL_MS);
    expect(quiet.calls).toHaveLength(0);

    const paying = await server('pong', reply.error(404));
    const asked = started({ ...paying, health: { ping: true } });
    await asked.pass(2 * LONG_INTERVAL_MS);
    expect(paying.polls).toHaveLength(1);
    expect(paying.calls).toHaveLength(4);
    expect(paying.calls.every(({ body }) => body['max_tokens'] === 1)).toBe(true);
    expect(asked.states()).toMatchObject({ a: 'usable', b: 'usable' });
  });

  it('never piles up on a provider that hangs: it gives up after ten seconds, and only then sleeps again', async () => {
    const { promise: asked, resolve } = Promise.withResolvers<void>();
    const list = () => {
      resolve();
      return reply.hang();
    };
    const provider = await server('pong', list);
    const stage = started({ ...provider, health: { intervalMs: 1_000 } });
    const woken = stage.wake();
    await asked;
    stage.clock.advance(9_999);
    expect(provider.polls).toHaveLength(1);
    stage.clock.advance(1);
    await woken;
    expect(provider.polls).toHaveLength(1);
    expect(stage.states()['a']).toBe('unavailable');
  });

  it('sleeps a little longer than it must, and never the same time', () => {
    const sleeps = Array.from(
      { length: 20 },
      () => started({ baseUrl: 'http://127.0.0.1:9', health: { intervalMs: 9_000 } }).sleepMs,
    );
    expect(Math.min(...sleeps.map(Number))).toBeGreaterThanOrEqual(9_000);
    expect(Math.max(...sleeps.map(Number))).toBeLessThanOrEqual(9_900);
    expect(new Set(sleeps).size).toBeGreaterThan(10);
  });

  it('works on a new configuration as soon as that is in force', async () => {
    const before = await server('pong', reply.error(405));
    const stage = started({ ...before, health: { intervalMs: 86_400_000 } });
    await stage.pass(LONG_INTERVAL_MS);
    expect(before.polls).toHaveLength(0);
    const after = await server('pong', reply.models(['a', 'b']));
    stage.reload(optionsOf({ ...after, health: { intervalMs: 1_000 } }));
    await stage.pass(LONG_INTERVAL_MS);
    expect(before.polls).toHaveLength(0);
    expect(after.polls.length).toBeGreaterThanOrEqual(1);
  });

  it('stops with the application', async () => {
    const stage = started(await server('pong', reply.models([])));
    expect(stage.sleepMs).toBeGreaterThan(0);
    stage.check.onModuleDestroy();
    expect(stage.sleepMs).toBeUndefined();
  });
});

describe('what the background check learns', () => {
  it.each([
    { why: 'answers 500', list: reply.error(500), failure: 'server_error' },
    { why: 'resets', list: reply.reset(), failure: 'network' },
    { why: 'refuses the key', list: reply.error(401), failure: 'auth' },
    { why: 'forbids', list: reply.error(403), failure: 'permission' },
  ])('takes the chains out of service whose only provider $why, until it is well again', async ({ list, failure }) => {
    const provider = await server('pong', [list, list, reply.models(['a', 'b'])]);
    const stage = started(provider);
    expect(stage.isUp()).toBe(true);
    await stage.wake();
    expect(stage.isUp()).toBe(false);
    const { sinceMs, lastFailure } = stage.health.chain('default');
    expect(lastFailure?.class).toBe(failure);
    await stage.pass(LONG_INTERVAL_MS);
    expect(stage.health.chain('default')).toMatchObject({ status: 'down', sinceMs });
    await stage.pass(LONG_INTERVAL_MS);
    expect(stage.states()).toEqual({ a: 'usable', b: 'usable', other: 'untested' });
    expect(stage.isUp()).toBe(true);
  });

  it('believes an answer to real traffic rather than a check that failed before', async () => {
    const stage = started(await server('pong', reply.error(500)));
    await stage.wake();
    expect(stage.isUp()).toBe(false);
    expect(await stage.ask('b')).toBe('ok');
    expect(stage.isUp()).toBe(true);
    await stage.pass(2 * LONG_INTERVAL_MS);
    expect(stage.isUp()).toBe(false);
  });

  it('does not mind a key that may not list, once it has served traffic', async () => {
    const stage = started(await server('pong', reply.error(401)));
    expect(await stage.ask('a')).toBe('ok');
    await stage.pass(2 * LONG_INTERVAL_MS);
    expect(stage.states()).toMatchObject({ a: 'usable', b: 'untested' });
  });

  it('minds it again when the key is another one', async () => {
    const provider = await server('pong', reply.error(401));
    const stage = started(provider);
    expect(await stage.ask('a')).toBe('ok');
    await stage.pass(2 * LONG_INTERVAL_MS);
    stage.reload(optionsOf({ ...provider, apiKey: 'sk-another-0123456789abcdef' }));
    await stage.pass(2 * LONG_INTERVAL_MS);
    expect(stage.isUp()).toBe(false);
  });

  it('takes a model for missing that its provider does not list, unless it has ever answered', async () => {
    const stage = started(await server('pong', reply.models(['b'])));
    await stage.wake();
    expect(stage.states()).toMatchObject({ a: 'unavailable', b: 'usable' });
    expect([stage.isUp('default'), stage.isUp('alone')]).toEqual([true, false]);
    expect(stage.health.model('a').lastFailure?.class).toBe('not_found');
    expect(await stage.ask('a')).toBe('ok');
    await stage.pass(2 * LONG_INTERVAL_MS);
    expect(stage.isUp('alone')).toBe(true);
  });

  it.each([
    { why: 'a redirect', list: reply.json(307, '', { headers: { location: '/v1/models/' } }) },
    { why: 'a limit on the list', list: reply.error(429, { type: 'rate_limit_error' }) },
  ])('thinks nothing of $why', async ({ list }) => {
    const stage = started(await server('pong', list));
    await stage.wake();
    expect(stage.isUp()).toBe(true);
  });

  it('ends a rest for auth where the provider takes the key again', async () => {
    const stage = started(await server(reply.error(401), reply.models(['a', 'b'])));
    await stage.ask('a');
    expect(stage.states()).toMatchObject({ a: 'resting', b: 'resting' });
    expect(stage.isUp()).toBe(false);
    await stage.pass(LONG_INTERVAL_MS);
    expect(stage.isUp()).toBe(true);
  });

  it('believes a model’s own token rather than its provider’s list', async () => {
    const stage = started({ ...(await server(onlyA, reply.models(['b']))), health: { ping: true } });
    await stage.wake();
    expect(stage.states()).toMatchObject({ a: 'usable', b: 'unavailable' });
  });
});

describe('what traffic tells', () => {
  it('takes a model that rests for down, and for untested when its rest is over', async () => {
    const stage = started(await server(reply.error(404, { code: 'model_not_found' }), reply.error(404)));
    expect(stage.states()['a']).toBe('untested');
    await stage.ask('a');
    const restedAtMs = stage.clock.nowMs();
    expect(stage.health.model('a')).toMatchObject({
      status: 'down',
      state: 'resting',
      sinceMs: restedAtMs,
      untilMs: restedAtMs + 300_000,
      lastFailure: { class: 'not_found' },
    });
    expect([stage.isUp('default'), stage.isUp('alone')]).toEqual([true, false]);
    await stage.ask('b');
    expect(stage.isUp('default')).toBe(false);
    await stage.pass(300_000);
    expect(stage.health.model('a')).toMatchObject({ status: 'up', state: 'untested', sinceMs: restedAtMs + 300_000 });
    expect(stage.isUp('default')).toBe(true);
  });

  it('hears nothing of drills', async () => {
    const provider = await server('pong', reply.error(404));
    const stage = started(provider);
    await stage.pass(INTERVAL_MS / 2);
    stage.engine.events.emit('attempt.finished', {
      model: 'a',
      class: 'server_error',
      ms: 1,
      requestId: 'r',
      chain: 'default',
      kind: 'first',
      streaming: false,
      drilled: true,
      usage: { inputTokens: 0, outputTokens: 0, reported: false },
      failure: ownFailure('server_error', 'a drill'),
    });
    expect(stage.health.model('a').lastFailure).toBeUndefined();
    await stage.pass(LONG_INTERVAL_MS - INTERVAL_MS / 2);
    expect(provider.polls).toHaveLength(1);
  });
});

describe('the health indicator', () => {
  it('is up while every chain has a usable or untested model, and calls none', async () => {
    const provider = await server(reply.error(404, { code: 'model_not_found' }), reply.models([]));
    const stage = started(provider);
    expect(await stage.indicator.isHealthy('llm')).toEqual({
      llm: { status: 'up', chains: { default: 'up', alone: 'up' }, models: { a: 'untested', b: 'untested' } },
    });
    expect([provider.calls.length, provider.polls.length]).toEqual([0, 0]);
    await stage.ask('a');
    expect((await stage.indicator.isHealthy('llm')).llm).toMatchObject({
      status: 'down',
      chains: { default: 'up', alone: 'down' },
      models: { a: 'resting: not_found', b: 'untested' },
    });
  });

  it('looks at one chain or one model where it is told to', async () => {
    const stage = started(await server(reply.error(404, { code: 'model_not_found' }), reply.models([])));
    await stage.ask('a');
    const statusOf = async (options: object) => (await stage.indicator.isHealthy('k', options)).k.status;
    expect(await statusOf({ chain: 'default' })).toBe('up');
    expect(await statusOf({ chain: 'alone' })).toBe('down');
    expect(await statusOf({ model: 'a' })).toBe('down');
    expect(await statusOf({ model: 'b' })).toBe('up');
    expect(await statusOf({ chain: 'alone', model: 'b' })).toBe('down');
  });

  it('looks at the first model alone where there is no fallback', async () => {
    const provider = await server(reply.error(404, { code: 'model_not_found' }), reply.models([]));
    const stage = new HealthStage({ ...optionsOf(provider), enabled: false });
    open.push(stage);
    await stage.ask('a');
    expect((await stage.indicator.isHealthy('k', { chain: 'default' })).k.status).toBe('down');
  });

  it.each([
    { options: { chain: 'nobody' }, message: 'No chain is called "nobody"; there are: default, alone.' },
    { options: { model: 'nobody' }, message: 'No model is called "nobody"; there are: a, b, other.' },
  ])('rejects for a name that nobody has: $message', async ({ options, message }) => {
    const stage = started({ baseUrl: 'http://127.0.0.1:9' });
    await expect(stage.indicator.isHealthy('k', options)).rejects.toThrow(message);
  });
});
