/** The probes of a running app, on Express and on Fastify, with real models behind it. */
import {
  type CallHandler,
  type ExecutionContext,
  type INestApplication,
  type NestInterceptor,
  VersioningType,
} from '@nestjs/common';
import { ConfigModule } from '@nestjs/config';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { HealthCheckService } from '@nestjs/terminus';
import { Test } from '@nestjs/testing';
import { map, type Observable } from 'rxjs';
import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  ConversationStore,
  FallbackHealthIndicator,
  FallbackModule,
  type FallbackExtras,
  type FallbackOptions,
  ModelManagerService,
} from '../../src/index.js';
import { BackgroundCheck } from '../../src/health/background-check.js';
import { Readiness } from '../../src/health/readiness.js';
import { asObject, parseJsonObject } from '../../src/simulation/json-value.js';
import type { JsonObject } from '../../src/simulation/json-value.js';
import { reply, startScriptedModel } from '../../src/testing.js';

const PROBES = ['/health', '/health/live', '/health/ready', '/health/startup'];

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

async function model(...given: Parameters<typeof startScriptedModel>) {
  const started = await startScriptedModel(...given);
  closing.push(() => started.close());
  return started;
}

function twoProviders(first: string, second: string, more: FallbackOptions = {}): FallbackOptions {
  return {
    providers: { p: { baseUrl: first }, q: { baseUrl: second } },
    models: { big: { provider: 'p' }, small: { provider: 'q' } },
    chains: { default: ['big', 'small'], alone: ['big'] },
    ...more,
  };
}

type Adapter = ExpressAdapter | FastifyAdapter;

async function host(
  adapter: Adapter,
  options: FallbackOptions & FallbackExtras,
  prepare: (app: INestApplication) => unknown = () => undefined,
) {
  const imports = [ConfigModule.forRoot({ ignoreEnvFile: true }), FallbackModule.forRoot(options)];
  const app = (await Test.createTestingModule({ imports }).compile()).createNestApplication(adapter);
  prepare(app);
  await app.listen(0, '127.0.0.1');
  let isClosed = false;
  const close = async () => {
    if (!isClosed) await app.close();
    isClosed = true;
  };
  closing.push(close);
  const url = await app.getUrl();
  return {
    app,
    close,
    probe: async (path: string): Promise<{ status: number; headers: Headers; body: JsonObject }> => {
      const response = await fetch(url + path, { headers: { connection: 'close' } });
      return {
        status: response.status,
        headers: response.headers,
        body: parseJsonObject(Buffer.from(await response.arrayBuffer())) ?? {},
      };
    },
  };
}

function entry(body: JsonObject, name: string): JsonObject {
  return asObject(asObject(body['details'])[name]);
}

class Wrapping implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(map((data: unknown) => ({ data })));
  }
}

class BrokenStore extends ConversationStore {
  override read(): Promise<never> {
    return Promise.reject(new Error('redis://:secret@db is gone'));
  }
  override append(): Promise<never> {
    return this.read();
  }
  override forget(): Promise<never> {
    return this.read();
  }
}

describe.each<{ name: string; adapter: () => Adapter }>([
  { name: 'Express', adapter: () => new ExpressAdapter() },
  { name: 'Fastify', adapter: () => new FastifyAdapter() },
])('the probes on $name', ({ adapter }) => {
  it('answer in Terminus’s shape, and call no model however often they are asked', async () => {
    const models = [
      await model('hi', { list: reply.models([]) }),
      await model('hi', { list: reply.models([]) }),
    ] as const;
    const { probe } = await host(adapter(), {
      ...twoProviders(models[0].baseUrl, models[1].baseUrl),
      controllers: ['health'],
    });
    for (let turn = 0; turn < 25; turn += 1) {
      for (const { status, body, headers } of await Promise.all(PROBES.map(probe))) {
        expect(status).toBe(200);
        expect(body).toMatchObject({ status: 'ok', error: {} });
        expect(body['info']).toEqual(body['details']);
        expect(headers.get('cache-control')).toBe('no-store');
      }
    }
    expect(models.map(({ calls, polls }) => [calls.length, polls.length])).toEqual([
      [0, 0],
      [0, 0],
    ]);
  });

  it('tell of each model and chain, of Redis and the memory store', async () => {
    const big = await model(reply.error(401, { code: 'invalid_api_key' }));
    const small = await model('hi');
    const { app, probe } = await host(adapter(), {
      ...twoProviders(big.baseUrl, small.baseUrl),
      controllers: ['health'],
      conversationStore: BrokenStore,
    });
    const beforeEpochMs = Date.now();
    const chat = await app.get(ModelManagerService).chat('hi', { userId: 'u' });
    expect(chat.model).toBe('small');
    const { status, body } = await probe('/health');
    const told = (name: string) => entry(body, name);
    expect(told('big')).toMatchObject({ status: 'down', state: 'resting', lastFailureClass: 'auth' });
    expect(told('small')).toMatchObject({ status: 'up', state: 'usable', lastFailureClass: null });
    expect(told('default')).toMatchObject({ status: 'up', lastFailureClass: 'auth', usable: ['small'] });
    expect(told('alone')).toMatchObject({ status: 'down', lastFailureClass: 'auth', usable: [] });
    expect(told('redis')).toMatchObject({ status: 'up', state: 'not configured' });
    expect(told('memory')).toMatchObject({ status: 'down', lastFailureClass: 'store_error' });
    for (const name of ['big', 'alone', 'memory']) {
      const since = Date.parse(String(told(name)['since']));
      expect(since).toBeGreaterThanOrEqual(beforeEpochMs - 1);
      expect(since).toBeLessThanOrEqual(Date.now() + 1);
    }
    expect(Object.keys(asObject(body['error'])).toSorted()).toEqual(['alone', 'big', 'memory']);
    expect([status, body['status']]).toEqual([503, 'error']);
    expect(JSON.stringify(body)).not.toContain('secret');
  });

  it('turn nobody away for a single model: what is only degraded is 200', async () => {
    const [big, small] = [await model(reply.error(404, { code: 'model_not_found' })), await model('hi')];
    const options = { ...twoProviders(big.baseUrl, small.baseUrl), chains: { default: ['big', 'small'] } };
    const { app, probe } = await host(adapter(), { ...options, controllers: ['health'] });
    await app.get(ModelManagerService).chat('hi');
    const { status, body } = await probe('/health');
    expect([status, body['status']]).toEqual([200, 'degraded']);
    expect(entry(body, 'big')['status']).toBe('down');
    expect((await probe('/health/ready')).status).toBe(200);
  });

  it('say not ready while a chain has no model left, and still alive', async () => {
    const [big, small] = [await model(reply.error(429, { type: 'rate_limit_error' })), await model('hi')];
    const { app, probe } = await host(adapter(), {
      ...twoProviders(big.baseUrl, small.baseUrl),
      controllers: ['health'],
    });
    await app.get(ModelManagerService).chat('hi');
    const { status, body } = await probe('/health/ready');
    expect([status, body['status']]).toEqual([503, 'error']);
    expect(asObject(asObject(body['error'])['alone'])['status']).toBe('down');
    expect(entry(body, 'default')['status']).toBe('up');
    expect((await probe('/health/live')).status).toBe(200);
    expect((await probe('/health/startup')).status).toBe(200);
    // Its rest of two seconds is over: it counts as untested.
    await vi.waitFor(async () => expect((await probe('/health/ready')).status).toBe(200), {
      timeout: 4_000,
      interval: 100,
    });
  });

  it('say not ready from the moment of draining on', async () => {
    const { app, probe } = await host(adapter(), { simulated: true, controllers: ['health'] });
    expect((await probe('/health/ready')).status).toBe(200);
    app.get(Readiness, { strict: false }).drain();
    const { status, body } = await probe('/health/ready');
    expect(status).toBe(503);
    expect(entry(body, 'process')).toMatchObject({ status: 'down', state: 'draining' });
    for (const path of ['/health', '/health/live', '/health/startup']) expect((await probe(path)).status).toBe(200);
  });

  it('learn from the background check, and stop it with the app though a provider hangs', async () => {
    const { promise: hanging, resolve } = Promise.withResolvers<void>();
    const list = () => {
      if (provider.polls.length < 3) return reply.error(401);
      resolve();
      return reply.hang();
    };
    const provider = await model('hi', { list });
    const options = twoProviders(provider.baseUrl, provider.baseUrl, { health: { intervalMs: 20 } });
    const { probe, close } = await host(adapter(), { ...options, controllers: ['health'] });
    await vi.waitFor(async () => expect((await probe('/health/ready')).status).toBe(503), { interval: 10 });
    const { body } = await probe('/health');
    expect(entry(body, 'big')).toMatchObject({ status: 'down', state: 'unavailable', lastFailureClass: 'auth' });
    await hanging;
    await close();
    expect((await provider.polls[2]?.ended)?.how).toBe('left');
  });

  it('keep their place and shape whatever the host puts around its own routes', async () => {
    const { probe } = await host(adapter(), { simulated: true, controllers: true, path: 'llm' }, (app) => {
      app.useGlobalInterceptors(new Wrapping());
      app.enableVersioning({ type: VersioningType.URI, defaultVersion: '1' });
    });
    for (const path of PROBES) expect((await probe(`/llm${path}`)).body).toMatchObject({ status: 'ok', error: {} });
  });
});

describe('a host that did not ask for the health routes', () => {
  it('gets neither the check, nor its timer, nor Terminus; the indicator works all the same', async () => {
    const provider = await model('hi', { list: reply.models([]) });
    const options = twoProviders(provider.baseUrl, provider.baseUrl, { health: { intervalMs: 1 } });
    const { app, probe } = await host(new FastifyAdapter(), { ...options, controllers: ['chat', 'openai', 'metrics'] });
    for (const token of [BackgroundCheck, HealthCheckService]) {
      expect(() => app.get<unknown>(token, { strict: false })).toThrow(/could not find/i);
    }
    expect((await probe('/health')).status).toBe(404);
    const indicator = app.get(FallbackHealthIndicator);
    expect((await indicator.isHealthy('llm')).llm.status).toBe('up');
    await app.get(ModelManagerService).chat('hi');
    expect(provider.polls).toHaveLength(0);
  });
});
