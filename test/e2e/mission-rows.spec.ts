/**
 * What the product was asked to be, row by row and in the words it was asked in; each row is proven once here as its user
 * meets it, and in depth beside the code that does it.
 */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  ConversationStore,
  FallbackChainService,
  FallbackExhaustedError,
  ModelManagerService,
} from '../../src/index.js';
import { asArray, asObject, parseJsonObject } from '../../src/simulation/json-value.js';
import type { JsonObject } from '../../src/simulation/json-value.js';
import { reply, startScriptedModel, type Script, type ScriptedModel } from '../../src/testing.js';
import { askGateway, type AskOptions, type CallerView } from '../app/ask-gateway.js';
import { readModelMetrics } from '../app/read-metrics.js';
import { runCommand } from '../app/run-program.js';
import { type RunningGateway, startGateway } from '../app/start-gateway.js';
import { contextOf, type RunningContext } from '../module/host.js';
import { NEVER_OPENS } from '../app/policies.js';

// Processes are started, on machines that may be busy.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 30_000 });

const run = promisify(execFile);

let models: ScriptedModel;

const GPT_4_FAILS: Script = ({ model }) => (model === 'gpt-4' ? reply.error(500) : 'from gpt-3.5-turbo');

beforeAll(async () => {
  models = await startScriptedModel('from gpt-4', {
    list: reply.models(['gpt-4', 'gpt-3.5-turbo', 'other', 'good', 'unwise']),
  });
});

afterAll(async () => {
  await models.close();
});

const closers: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
  models.use('from gpt-4');
});

/** As a user starts it, who has one provider. */
async function gatewayWith(env: Record<string, string> = {}, config?: object): Promise<RunningGateway> {
  const gateway = await startGateway({
    ...(config && { config }),
    env: { OPENAI_BASE_URL: models.baseUrl, FALLBACK_BACKOFF_MS: '1', ...env },
  });
  closers.push(() => gateway.stop());
  return gateway;
}

const chat = (gateway: RunningGateway, body: object, options: AskOptions = {}): Promise<CallerView> =>
  askGateway(gateway.url, body, { path: '/chat', ...options });

const answerOf = ({ body }: CallerView): JsonObject => asObject(JSON.parse(body));

/** The models asked while `work` runs, in order. */
async function askedDuring(work: () => Promise<unknown>): Promise<string[]> {
  const before = models.calls.length;
  await work();
  return models.calls.slice(before).map(({ model }) => model);
}

/** A host's own app, which imports the module. */
async function moduleWith(extras: Parameters<typeof contextOf>[0] = {}): Promise<RunningContext> {
  const context = await contextOf({
    providers: { openai: { baseUrl: models.baseUrl } },
    policy: { backoff: { baseMs: 1 } },
    ...extras,
  });
  closers.push(() => context.app.close());
  return context;
}

describe('Model manager', () => {
  it('chats with a message', async () => {
    const gateway = await gatewayWith();
    expect(answerOf(await chat(gateway, { message: 'hello' }))).toMatchObject({
      model: 'gpt-4',
      content: 'from gpt-4',
      finishReason: 'stop',
      fallbackUsed: false,
    });
    expect(models.calls.at(-1)?.body['messages']).toEqual([{ role: 'user', content: 'hello' }]);
    const { app } = await moduleWith();
    const { content } = await app.get(ModelManagerService).chat('hello');
    expect(content).toBe('from gpt-4');
  });

  it('chats with a user, whose conversation goes along', async () => {
    const gateway = await gatewayWith();
    await chat(gateway, { message: 'one', user_id: 'ada' });
    await chat(gateway, { message: 'two', user_id: 'ada' });
    expect(models.calls.at(-1)?.body['messages']).toEqual([
      { role: 'user', content: 'one' },
      { role: 'assistant', content: 'from gpt-4' },
      { role: 'user', content: 'two' },
    ]);
  });

  it('chats with fallback on: the next model answers', async () => {
    models.use(GPT_4_FAILS);
    const gateway = await gatewayWith();
    const view = await chat(gateway, { message: 'hello', fallback: true });
    expect(answerOf(view)).toMatchObject({ model: 'gpt-3.5-turbo', fallbackUsed: true });
  });

  it('chats with fallback off: the first model’s failure is thrown', async () => {
    models.use(GPT_4_FAILS);
    const gateway = await gatewayWith({ FALLBACK_MAX_RETRIES: '0' });
    expect(await chat(gateway, { message: 'hello', fallback: false })).toMatchObject({
      status: 502,
      error: { attempts: [{ model: 'gpt-4', class: 'server_error', status: 500 }] },
    });
    const { app } = await moduleWith({ policy: { maxRetries: 0 } });
    const asked = app.get(ModelManagerService).chat('hello', { fallback: false });
    const error: unknown = await asked.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(FallbackExhaustedError);
    expect(error).toMatchObject({ code: 'all_failed', attempts: [{ model: 'gpt-4', class: 'server_error' }] });
  });

  it('switches to a model that is asked for by name', async () => {
    const gateway = await gatewayWith();
    const messages = [{ role: 'user', content: 'hello' }];
    const asked = await askedDuring(() => askGateway(gateway.url, { model: 'gpt-3.5-turbo', messages }));
    expect(asked).toEqual(['gpt-3.5-turbo']);
  });

  it('tells response times per model', async () => {
    models.use(({ model }) => (model === 'gpt-4' ? reply.error(500) : reply.text('slow', { delayMs: 120 })));
    const gateway = await gatewayWith();
    await chat(gateway, { message: 'hello' });
    expect(await readModelMetrics(gateway.url, 'gpt-4')).toMatchObject({ requests: 1, failures: { server_error: 1 } });
    const second = await readModelMetrics(gateway.url, 'gpt-3.5-turbo');
    expect(second).toMatchObject({ requests: 1, successes: 1 });
    expect(asObject(second?.['latencyMs'])['p50']).toBeGreaterThan(100);
  });
});

describe('Fallback chain', () => {
  it('executes any call, on the next model where the first fails', async () => {
    const { app } = await moduleWith();
    const answered = await app.get(FallbackChainService).execute(async ({ model, remainingMs }) => {
      if (model === 'gpt-4') throw Object.assign(new Error('busy'), { status: 500 });
      return { model, remainingMs };
    });
    expect(answered).toMatchObject({ model: 'gpt-3.5-turbo', fallbackUsed: true, value: { model: 'gpt-3.5-turbo' } });
    expect(answered.attempts.map((attempt) => attempt.class)).toEqual(['server_error', 'ok']);
    // The time limit of one attempt: 30 s unless it is set.
    expect(answered.value.remainingMs).toBe(30_000);
  });

  it('rotates through the models on at most 3 retries', async () => {
    models.use(reply.error(500));
    const gateway = await gatewayWith();
    const asked = await askedDuring(async () => {
      const { status, error } = await chat(gateway, { message: 'hello' });
      expect(status).toBe(502);
      expect(asArray(error?.['attempts'])).toHaveLength(5);
    });
    expect(asked).toEqual(['gpt-4', 'gpt-3.5-turbo', 'gpt-4', 'gpt-3.5-turbo', 'gpt-4']);
  });

  it('waits before a retry, 1.5 times as long at most with each, and never before a fallback', async () => {
    models.use(reply.error(500));
    const gateway = await gatewayWith({ FALLBACK_BACKOFF_MS: '200' });
    const before = models.calls.length;
    await chat(gateway, { message: 'hello' });
    const atMs = models.calls.slice(before).map(({ receivedAtMs }) => receivedAtMs);
    const [fallback = NaN, ...retries] = atMs.slice(1).map((ms, index) => ms - (atMs[index] ?? NaN));
    /** For the call itself, on a busy machine. */
    const slackMs = 150;
    expect(fallback).toBeLessThan(slackMs);
    expect(retries).toHaveLength(3);
    for (const [index, waitedMs] of retries.entries()) expect(waitedMs).toBeLessThan(200 * 1.5 ** index + slackMs);
  });

  it('has a backoff factor of 1.5, 3 retries and 30 s per attempt where nothing else is said', async () => {
    const { stdout } = await runCommand(['verify', '--explain', '--json'], {
      env: { OPENAI_BASE_URL: models.baseUrl },
    });
    const explained = asArray(asObject(JSON.parse(stdout))['explained']).map(asObject);
    const valueOf = (path: string) => String(explained.find((setting) => setting['path'] === path)?.['value']);
    expect(valueOf('policy.backoff.factor')).toBe('1.5');
    expect(valueOf('policy.maxRetries')).toBe('3');
    expect(valueOf('policy.timeoutMs')).toBe('30000');
  });
});

describe('Configuration', () => {
  it('FALLBACK_ENABLED=false asks the first model only', async () => {
    models.use(GPT_4_FAILS);
    const gateway = await gatewayWith({ FALLBACK_ENABLED: 'false' });
    const asked = await askedDuring(async () => {
      expect((await chat(gateway, { message: 'hello' })).status).toBe(502);
    });
    expect(asked).toEqual(['gpt-4', 'gpt-4', 'gpt-4', 'gpt-4']);
  });

  it('FALLBACK_MODEL names the models after the first, in order', async () => {
    models.use(({ model }) => (model === 'other' ? 'from other' : reply.error(500)));
    const gateway = await gatewayWith({ FALLBACK_MODEL: 'gpt-3.5-turbo,other' });
    const asked = await askedDuring(async () => {
      expect(answerOf(await chat(gateway, { message: 'hello' }))).toMatchObject({ model: 'other' });
    });
    expect(asked).toEqual(['gpt-4', 'gpt-3.5-turbo', 'other']);
  });

  it('FALLBACK_MAX_RETRIES bounds the retries', async () => {
    models.use(reply.error(500));
    const gateway = await gatewayWith({ FALLBACK_MAX_RETRIES: '1' });
    expect(await askedDuring(() => chat(gateway, { message: 'hello' }))).toEqual(['gpt-4', 'gpt-3.5-turbo', 'gpt-4']);
  });

  it('each start appends one line to logs/bootstrap_status.log', async () => {
    const gateway = await gatewayWith();
    const path = join(gateway.directory, 'logs/bootstrap_status.log');
    const line = /^\d{4}-\d\d-\d\dT[\d:.]+Z - FALLBACK: configured chain=default models=gpt-4,gpt-3\.5-turbo\n$/u;
    await vi.waitFor(async () => expect(await readFile(path, 'utf8')).toMatch(line), { timeout: 5_000, interval: 20 });
  });

  it('goes back to the last good one by git checkout of the file, while the gateway runs', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'configuration-'));
    closers.push(() => rm(directory, { recursive: true, force: true }));
    const file = join(directory, 'fallback.yaml');
    const git = (...args: string[]) =>
      run('git', ['-c', 'user.name=t', '-c', 'user.email=t@t', ...args], { cwd: directory });
    const configFor = (model: string) =>
      JSON.stringify({
        providers: { p: { baseUrl: models.baseUrl } },
        models: { [model]: { provider: 'p' } },
        chains: { default: [model] },
      });
    await writeFile(file, configFor('good'));
    await git('init', '--quiet');
    await git('add', 'fallback.yaml');
    await git('commit', '--quiet', '--message', 'the last good one');
    models.use(({ model }) => `from ${model}`);
    const gateway = await gatewayWith({ FALLBACK_CONFIG_FILE: file });
    const answeredBy = async () => (await chat(gateway, { message: 'hello' })).headers['x-fallback-model'];
    const untilLogged = (text: string, times: number) =>
      vi.waitFor(() => expect(gateway.logs().split(text).length - 1).toBe(times), { timeout: 8_000, interval: 20 });

    // One that cannot be right is refused; one that is only unwise is taken up.
    await writeFile(file, 'policy: { maxRetrys: 3 }');
    await untilLogged('Configuration refused', 1);
    expect(await answeredBy()).toBe('good');
    await writeFile(file, configFor('unwise'));
    await untilLogged('Configuration reloaded', 1);
    expect(await answeredBy()).toBe('unwise');

    await git('checkout', '--', 'fallback.yaml');
    expect(await readFile(file, 'utf8')).toBe(configFor('good'));
    const verified = await runCommand(['verify', '--config', file]);
    expect(verified).toMatchObject({ code: 0, stderr: '' });
    await untilLogged('Configuration reloaded', 2);
    expect(await answeredBy()).toBe('good');
  });
});

describe('logs/fallback.log', () => {
  const LOG = 'logs/fallback.log';
  const linesOf = (text: string) =>
    text
      .trimEnd()
      .split('\n')
      .map((line) => parseJsonObject(Buffer.from(line)) ?? {});

  it('holds success, switch, warning and error lines with response_time, complete even after a kill', async () => {
    models.use(({ bodyText, model }) =>
      bodyText.includes('doomed') || model === 'gpt-4' ? reply.error(500) : 'hello',
    );
    const env = { FALLBACK_LOG_FILE: LOG, FALLBACK_MAX_RETRIES: '0' };
    const gateway = await gatewayWith(env, { policy: { breaker: NEVER_OPENS } });
    const asked = Array.from({ length: 30 }, (_, n) => chat(gateway, { message: n % 10 === 0 ? 'doomed' : 'hello' }));
    const views = await Promise.all(asked);
    gateway.child.kill('SIGKILL');
    await once(gateway.child, 'exit');
    const path = join(gateway.directory, LOG);
    const lines = linesOf(await readFile(path, 'utf8'));
    const saying = (msg: string) => lines.filter((line) => line['msg'] === msg);
    expect(saying('Successfully used gpt-3.5-turbo')).toHaveLength(27);
    expect(saying('Switching to model: gpt-3.5-turbo')).toHaveLength(30);
    expect(saying('Attempt on gpt-4 failed: server_error')).toHaveLength(30);
    expect(saying('Request gave up after 2 attempts: server_error')).toHaveLength(3);
    const levels = { Successfully: 30, Switching: 40, Attempt: 40, Request: 50 };
    for (const [word, level] of Object.entries(levels)) {
      const own = lines.filter(({ msg }) => String(msg).startsWith(`${word} `));
      for (const line of own) expect(line).toMatchObject({ level, response_time: expect.any(Number) });
    }
    // Each request is found again by its id, as its caller knows it.
    const ids = new Set(lines.map((line) => line['request_id']));
    for (const { headers } of views) expect(ids).toContain(headers['x-request-id']);
    const { stdout } = await run('grep', ['response_time', path]);
    expect(linesOf(stdout)).toHaveLength(27 + 30 + 33 + 3);
  });
});

describe('When something fails', () => {
  it('GPT-4 failure: gpt-3.5-turbo answers', async () => {
    models.use(GPT_4_FAILS);
    const gateway = await gatewayWith();
    const view = await chat(gateway, { message: 'hello' });
    expect(view.headers['x-fallback-trace']).toMatch(/^gpt-4;server_error;\d+ms, gpt-3\.5-turbo;ok;\d+ms$/u);
    expect(answerOf(view)).toMatchObject({ content: 'from gpt-3.5-turbo', model: 'gpt-3.5-turbo', fallbackUsed: true });
  });

  it('memory miss: the conversation store throws, the answer still comes, the fault is logged', async () => {
    class BrokenStore extends ConversationStore {
      override async read(): Promise<never> {
        throw new Error('the store is down');
      }
      override append(): Promise<never> {
        return this.read();
      }
      override forget(): Promise<never> {
        return this.read();
      }
    }
    const warned = vi.fn<(...words: unknown[]) => void>();
    const logger = { log() {}, error() {}, warn: warned };
    const { app } = await contextOf(
      { providers: { openai: { baseUrl: models.baseUrl } }, conversationStore: BrokenStore },
      { logger },
    );
    closers.push(() => app.close());
    const { content } = await app.get(ModelManagerService).chat('hello', { userId: 'ada' });
    expect(content).toBe('from gpt-4');
    expect(JSON.stringify(warned.mock.calls)).toContain('Memory miss: read failed');
  });

  it('API timeout: the next model answers', async () => {
    models.use(({ model }) => (model === 'gpt-4' ? reply.hang() : 'in time'));
    const gateway = await gatewayWith({ FALLBACK_TIMEOUT_MS: '300' });
    const view = await chat(gateway, { message: 'hello' });
    expect(answerOf(view)).toMatchObject({ content: 'in time', model: 'gpt-3.5-turbo' });
    expect(view.trace).toMatchObject([{ model: 'gpt-4', class: 'timeout_total' }, { class: 'ok' }]);
    expect(view.trace[0]?.ms).toBeGreaterThanOrEqual(290);
    expect(view.trace[0]?.ms).toBeLessThan(1_000);
  });
});
