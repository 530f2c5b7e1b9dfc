/** `checkModels` against real servers: what each answer is read as, and how few requests it takes. */
import { afterEach, describe, expect, it } from 'vitest';
import { checkModels } from '../../src/chain/model-check.js';
import type { Script, ScriptedModel, ScriptedModelOptions } from '../../src/testing.js';
import { reply, startScriptedModel } from '../../src/testing.js';
import { HealthStage } from './stage.js';

const open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const one of open.splice(0)) await one[Symbol.asyncDispose]();
});

async function server(script: Script = 'pong', options: ScriptedModelOptions = {}): Promise<ScriptedModel> {
  const started = await startScriptedModel(script, options);
  open.push(started);
  return started;
}

function stage(options: object): HealthStage {
  const staged = new HealthStage(options);
  open.push(staged);
  return staged;
}

const onlyA: Script = ({ model }) => (model === 'id-a' ? 'pong' : reply.error(404, { code: 'model_not_found' }));

function twoModels(baseUrl: string, provider: object = {}): HealthStage {
  return stage({
    providers: { p: { baseUrl, apiKey: 'sk-test-0123456789abcdef', ...provider } },
    models: { a: { provider: 'p', id: 'id-a' }, b: { provider: 'p', id: 'id-b' } },
    chains: { default: ['a', 'b'] },
    policy: { maxRetries: 0 },
  });
}

/** All that can be foreseen of an availability. */
function withoutTimes(found: Awaited<ReturnType<typeof checkModels>>): object[] {
  return found.map(({ ms, ...rest }) => {
    expect(ms).toBeGreaterThanOrEqual(0);
    return rest;
  });
}

describe('a check of the models', () => {
  it('asks a provider once for all of its models, with its key, and finds those in its list', async () => {
    const provider = await server('pong', { list: reply.models(['id-a']) });
    const { engine } = twoModels(provider.baseUrl);
    expect(withoutTimes(await checkModels(engine))).toEqual([
      { model: 'a', available: true, status: 200 },
      { model: 'b', available: false, class: 'not_found', status: 200 },
    ]);
    expect(provider.polls.map(({ path }) => path)).toEqual(['/v1/models']);
    expect(provider.polls[0]?.headers.authorization).toBe('Bearer sk-test-0123456789abcdef');
    expect(provider.calls).toHaveLength(0);
  });

  it.each([
    { status: 404, found: { available: true, status: 404 } },
    { status: 405, found: { available: true, status: 405 } },
    { status: 401, found: { available: false, class: 'auth', status: 401 } },
    { status: 403, found: { available: false, class: 'permission', status: 403 } },
    { status: 500, found: { available: false, class: 'server_error', status: 500 } },
  ])('reads a $status', async ({ status, found }) => {
    const provider = await server('pong', { list: reply.error(status) });
    const { engine } = twoModels(provider.baseUrl);
    expect(withoutTimes(await checkModels(engine))).toEqual([
      { model: 'a', ...found },
      { model: 'b', ...found },
    ]);
  });

  it('tells a provider that nobody can connect to', async () => {
    const gone = await server();
    await gone.close();
    const { engine } = twoModels(gone.baseUrl);
    expect(withoutTimes(await checkModels(engine))[0]).toEqual({ model: 'a', available: false, class: 'network' });
  });

  it('gives a silent provider ten seconds', async () => {
    const { promise: asked, resolve } = Promise.withResolvers<void>();
    const list = () => {
      resolve();
      return reply.hang();
    };
    const { engine, clock } = twoModels((await server('pong', { list })).baseUrl);
    const checking = checkModels(engine);
    await asked;
    clock.advance(10_000);
    expect((await checking)[0]).toEqual({ model: 'a', available: false, class: 'timeout_total', ms: 10_000 });
  });

  it('takes a good answer of Azure for a key that works, since Azure lists no deployments', async () => {
    const provider = await server('pong', { list: reply.models(['gpt-4-base']) });
    const endpoint = provider.baseUrl.replace(/\/v1$/, '');
    const { engine } = stage({
      providers: { az: { kind: 'azure', endpoint, apiVersion: '2025-04-01-preview', apiKey: 'azure-key-0123456789' } },
      models: { a: { provider: 'az', id: 'my-deployment' } },
      chains: { default: ['a'] },
    });
    expect(withoutTimes(await checkModels(engine))).toEqual([{ model: 'a', available: true, status: 200 }]);
    expect(provider.polls[0]?.path).toBe('/openai/models?api-version=2025-04-01-preview');
  });

  it('never polls an external provider', async () => {
    const { engine } = stage({
      providers: { sdk: { kind: 'external' } },
      models: { a: { provider: 'sdk' } },
      chains: { default: ['a'] },
    });
    expect(await checkModels(engine, { billedPing: true })).toEqual([{ model: 'a', available: true, ms: 0 }]);
  });

  it('rejects with the reason of its signal, at once', async () => {
    const { engine } = twoModels((await server('pong', { list: reply.hang() })).baseUrl);
    const controller = new AbortController();
    const checking = checkModels(engine, { signal: controller.signal });
    controller.abort(new Error('enough'));
    await expect(checking).rejects.toThrow('enough');
    await expect(checkModels(engine, { signal: controller.signal })).rejects.toThrow('enough');
  });

  it('ends a rest for auth early where the key is taken again', async () => {
    const provider = await server(reply.error(401), { list: [reply.error(401), reply.models(['id-a', 'id-b'])] });
    const staged = twoModels(provider.baseUrl);
    await staged.ask('a');
    expect(staged.states()).toEqual({ a: 'resting', b: 'resting' });
    await checkModels(staged.engine);
    expect(staged.states()).toEqual({ a: 'resting', b: 'resting' });
    await checkModels(staged.engine);
    expect(staged.states()).toEqual({ a: 'untested', b: 'untested' });
  });
});

describe('a billed ping', () => {
  it('asks each model for one token, and believes it rather than the list', async () => {
    const provider = await server(onlyA, { list: reply.models(['id-b']) });
    const { engine } = twoModels(provider.baseUrl);
    expect(withoutTimes(await checkModels(engine, { billedPing: true }))).toEqual([
      { model: 'a', available: true, status: 200 },
      { model: 'b', available: false, class: 'not_found', status: 404 },
    ]);
    expect(provider.calls.map(({ body }) => [body['model'], body['max_tokens']])).toEqual([
      ['id-a', 1],
      ['id-b', 1],
    ]);
    expect(provider.polls).toHaveLength(1);
  });

  it('asks again with max_completion_tokens where a model refuses max_tokens', async () => {
    const refusal = reply.error(400, {
      message: "Unsupported parameter: 'max_tokens' is not supported with this model.",
      type: 'invalid_request_error',
      code: 'unsupported_parameter',
      param: 'max_tokens',
    });
    const provider = await server(({ body }) => ('max_tokens' in body ? refusal : 'pong'));
    const { engine } = twoModels(provider.baseUrl);
    const found = withoutTimes(await checkModels(engine, { billedPing: true }));
    expect(found[0]).toEqual({ model: 'a', available: true, status: 200 });
    expect(provider.calls.filter(({ body }) => body['max_completion_tokens'] === 1)).toHaveLength(2);
  });

  it.each([
    { why: 'cut after its one token of thinking', script: reply.text('', { finishReason: 'length' }) },
    { why: 'an empty answer', script: reply.text('', { finishReason: 'stop' }) },
    {
      why: 'a refusal to stop so early',
      script: reply.error(400, {
        message: 'Could not finish the message because max_tokens or model output limit was reached.',
        type: 'invalid_request_error',
      }),
    },
  ])('takes a model that has read the request for available: $why', async ({ script }) => {
    const { engine } = twoModels((await server(script)).baseUrl);
    const [first] = await checkModels(engine, { billedPing: true });
    expect(first?.available).toBe(true);
  });

  it('is in no metric, and rests nobody', async () => {
    const { engine } = twoModels((await server(reply.error(429, { type: 'rate_limit_error' }))).baseUrl);
    await checkModels(engine, { billedPing: true });
    const [standing] = engine.board.standings(engine.clock.nowMs());
    expect(standing).toMatchObject({ requests: 0, failures: {} });
    expect(engine.board.availability('a', engine.clock.nowMs()).state).toBe('usable');
  });

  it('is aborted by the signal', async () => {
    const provider = await server(reply.hang());
    const { engine } = twoModels(provider.baseUrl);
    const controller = new AbortController();
    const checking = checkModels(engine, { billedPing: true, signal: controller.signal });
    checking.catch(() => undefined);
    const call = await provider.waitForCall(1);
    controller.abort(new Error('enough'));
    await expect(checking).rejects.toThrow('enough');
    expect((await call.ended).how).toBe('left');
  });
});
