import { metrics } from '@opentelemetry/api';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import { Controller, Get, Module } from '@nestjs/common';
import { HealthCheck, HealthCheckService, TerminusModule } from '@nestjs/terminus';
import { Test } from '@nestjs/testing';
import { firstValueFrom, map } from 'rxjs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  FallbackEvents,
  type FallbackEventMap,
  FallbackHealthIndicator,
  FallbackModule,
  ModelManagerService,
} from '../../src/index.js';
import { reply } from '../../src/testing.js';
import { contextOf, KeptLog, rejectionOf, twoModels } from './host.js';

const thrown: unknown[] = [];
const note = (error: unknown) => void thrown.push(error);
beforeEach(() => {
  process.on('unhandledRejection', note);
});
afterEach(async () => {
  await new Promise((resolve) => setTimeout(resolve, 1));
  process.off('unhandledRejection', note);
  expect(thrown.splice(0)).toEqual([]);
});

describe('FallbackEvents', () => {
  const NAMES = ['request.finished', 'attempt.finished', 'model.switched', 'model.rested'] as const;

  it('tell what the types promise', async () => {
    await using stage = await twoModels(reply.error(429, {}, { headers: { 'retry-after': '7' } }), 'ok');
    await using host = await contextOf(stage.options);
    const events = host.app.get(FallbackEvents);
    const seen: [string, FallbackEventMap[keyof FallbackEventMap]][] = [];
    for (const name of NAMES) events.on(name).subscribe((event) => seen.push([name, event]));
    await host.models.chat('Hi');
    const requestId = expect.stringMatching(/^.+$/);
    expect(seen).toMatchObject([
      ['model.rested', { model: 'gpt-4', reason: 'rate_limited', restMs: 7_000 }],
      [
        'attempt.finished',
        { requestId, chain: 'default', model: 'gpt-4', class: 'rate_limited', status: 429, ms: expect.any(Number) },
      ],
      ['model.switched', { requestId, from: 'gpt-4', to: 'gpt-3.5-turbo', reason: 'rate_limited' }],
      ['attempt.finished', { requestId, chain: 'default', model: 'gpt-3.5-turbo', class: 'ok', status: 200 }],
      [
        'request.finished',
        {
          requestId,
          chain: 'default',
          outcome: 'ok',
          model: 'gpt-3.5-turbo',
          latencyMs: expect.any(Number),
          attempts: [{ class: 'rate_limited' }, { class: 'ok' }],
        },
      ],
    ]);
    const ids = seen.flatMap(([, event]) => ('requestId' in event ? event.requestId : []));
    expect(new Set(ids).size).toBe(1);
  });

  it('tell of requests that fail, and of callers who leave', async () => {
    await using stage = await twoModels([reply.error(500), reply.hang()], reply.error(500));
    await using host = await contextOf(stage.options);
    const outcomes: string[] = [];
    host.app
      .get(FallbackEvents)
      .on('request.finished')
      .subscribe(({ outcome }) => outcomes.push(outcome));
    await rejectionOf(host.models.chat('Hi'));
    const leaving = new AbortController();
    const rejected = rejectionOf(host.models.chat('Hi', { signal: leaving.signal }));
    await stage.first.waitForCall(2);
    leaving.abort();
    await rejected;
    expect(outcomes).toEqual(['failed', 'cancelled']);
  });

  it('are not hurt by a listener that throws: the others hear, the answer comes, the fault is logged', async () => {
    await using stage = await twoModels('ok');
    const log = new KeptLog();
    await using host = await contextOf(stage.options, { logger: log });
    const events = host.app.get(FallbackEvents);
    const seen: string[] = [];
    for (const name of NAMES) {
      events.on(name).subscribe(() => {
        throw new Error('mine');
      });
      events.on(name).subscribe({
        next: () => {
          throw new Error('mine too');
        },
      });
      events
        .on(name)
        .pipe(
          map(() => {
            throw new Error('mine as well');
          }),
        )
        .subscribe();
      events.on(name).subscribe(() => seen.push(name));
    }
    expect((await host.models.chat('Hi')).content).toBe('ok');
    expect(seen).toEqual(['attempt.finished', 'request.finished']);
    await new Promise((resolve) => setTimeout(resolve, 5));
    const told = log.ours.filter((line) => line.level === 'error');
    expect(told.length).toBeGreaterThanOrEqual(2);
    expect(JSON.stringify(told[0])).toMatch(/attempt\.finished/);
  });

  it('end with their subscription, and can be awaited', async () => {
    await using stage = await twoModels('ok');
    await using host = await contextOf(stage.options);
    const events = host.app.get(FallbackEvents);
    const seen: string[] = [];
    const subscription = events.on('attempt.finished').subscribe(({ model }) => seen.push(model));
    const first = firstValueFrom(events.on('attempt.finished'));
    await host.models.chat('Hi');
    expect(await first).toMatchObject({ model: 'gpt-4' });
    subscription.unsubscribe();
    await host.models.chat('Hi');
    expect(seen).toEqual(['gpt-4']);
  });
});

describe('FallbackHealthIndicator in a host’s own health check', () => {
  it('is up while a model is usable or untested, down with the chain, and calls no model', async () => {
    const limited = reply.error(429, {}, { headers: { 'retry-after': '60' } });
    await using stage = await twoModels(limited, ['ok', limited]);
    @Controller('healthz')
    class HostHealth {
      constructor(
        private readonly checks: HealthCheckService,
        private readonly fallback: FallbackHealthIndicator,
      ) {}
      @Get()
      @HealthCheck()
      check() {
        return this.checks.check([
          () => this.fallback.isHealthy('llm'),
          () => this.fallback.isHealthy('second', { model: 'gpt-3.5-turbo' }),
          () => this.fallback.isHealthy('chain', { chain: 'default' }),
        ]);
      }
    }
    @Module({
      imports: [FallbackModule.forRoot(stage.options), TerminusModule.forRoot({ logger: false })],
      controllers: [HostHealth],
    })
    class AppModule {}
    const testing = await Test.createTestingModule({ imports: [AppModule] }).compile();
    const app = testing.createNestApplication();
    await app.listen(0, '127.0.0.1');
    const read = async () => {
      const response = await fetch(`${await app.getUrl()}/healthz`);
      const { details } = (await response.json()) as { details: Record<string, { status: string }> };
      return [response.status, ...Object.entries(details).map(([key, { status }]) => `${key} ${status}`)];
    };
    const models = app.get(ModelManagerService);
    expect(await read()).toEqual([200, 'llm up', 'second up', 'chain up']);
    await models.chat('Hi');
    expect(await read()).toEqual([200, 'llm up', 'second up', 'chain up']);
    await rejectionOf(models.chat('Hi', { models: ['gpt-3.5-turbo'] }));
    expect(await read()).toEqual([503, 'llm down', 'second down', 'chain down']);
    expect([stage.first.calls.length, stage.second.calls.length]).toEqual([1, 2]);
    expect([stage.first.polls.length, stage.second.polls.length]).toEqual([0, 0]);
    await app.close();
  });

  it('rejects for a name that nobody has', async () => {
    await using host = await contextOf({});
    const indicator = host.app.get(FallbackHealthIndicator);
    for (const options of [{ chain: 'nobody' }, { model: 'nobody' }]) {
      expect(await rejectionOf(indicator.isHealthy('llm', options))).toMatchObject({ code: 'model_not_found' });
    }
  });
});

describe('getMetrics()', () => {
  it('tells per model what traffic has shown', async () => {
    await using stage = await twoModels(
      reply.error(500),
      reply.text('ok', { usage: { inputTokens: 1_000_000, outputTokens: 2 } }),
    );
    const price = { inputPerMTok: 3, outputPerMTok: 1 };
    const models = { ...stage.options.models, 'gpt-3.5-turbo': { provider: 'two', price } };
    await using host = await contextOf({ ...stage.options, models });
    await host.models.chat('Hi');
    await host.models.stream('Hi', { models: ['gpt-3.5-turbo'] }).result;
    expect(host.models.getMetrics()).toMatchObject([
      {
        model: 'gpt-4',
        requests: 1,
        successes: 0,
        failures: { server_error: 1 },
        tokens: { input: 0, output: 0 },
        costUsd: 0,
      },
      { model: 'gpt-3.5-turbo', requests: 2, successes: 2, failures: {}, breaker: 'closed', cooldownUntil: null },
    ]);
    const second = host.models.getMetrics()[1];
    expect(second?.tokens).toEqual({ input: 2_000_000, output: 4 });
    expect(second?.costUsd).toBeCloseTo(6.000004, 6);
    expect(second?.latencyMs.p50).toBeGreaterThan(0);
    expect(second?.ttftMs.p99).toBeGreaterThan(0);
  });
});

describe('a host that gave OpenTelemetry a meter', () => {
  afterEach(() => metrics.disable());

  it('gets our metrics, without routes of ours', async () => {
    const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
    const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 60_000 });
    const provider = new MeterProvider({ readers: [reader] });
    metrics.setGlobalMeterProvider(provider);
    await using stage = await twoModels(reply.error(500), 'ok');
    await using host = await contextOf(stage.options);
    await host.models.chat('Hi');
    await provider.forceFlush();
    const found = exporter.getMetrics().flatMap((all) => all.scopeMetrics.flatMap((scope) => scope.metrics));
    const pointsOf = (name: string) =>
      found
        .find((metric) => metric.descriptor.name === name)
        ?.dataPoints.map(({ attributes, value }) => ({ ...attributes, value })) ?? [];
    expect(pointsOf('fallback_attempts_total')).toMatchObject([
      { model: 'gpt-4', outcome: 'server_error', value: 1 },
      { model: 'gpt-3.5-turbo', outcome: 'ok', value: 1 },
    ]);
    expect(pointsOf('fallback_switches_total')).toMatchObject([
      { from: 'gpt-4', to: 'gpt-3.5-turbo', reason: 'server_error' },
    ]);
    expect(pointsOf('gen_ai.client.operation.duration').length).toBeGreaterThan(0);
    await provider.shutdown();
  });
});
