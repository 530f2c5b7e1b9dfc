import { metrics as globalMetrics } from '@opentelemetry/api';
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import { MeterProvider } from '@opentelemetry/sdk-metrics';
import * as fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { type Ending, Stage, type StagedRequest } from '../../test/telemetry/stage.js';
import { FAILURE_CLASSES } from '../policy/failure.js';
import { Metrics } from './metrics.js';
import { createPrometheus, type Prometheus } from './prometheus.js';

const OPTIONS = {
  drills: true,
  providers: {
    openai: { apiKey: 'sk-of-the-operator-1' },
    eu: { kind: 'azure', endpoint: 'https://eu.example', apiVersion: '2025-04-01-preview', apiKey: 'azure-key-2' },
  },
  models: {
    'gpt-4': { provider: 'openai', price: { inputPerMTok: 30, outputPerMTok: 60 } },
    'gpt-4-azure': { provider: 'eu' },
  },
  chains: { default: ['gpt-4', 'gpt-4-azure'], patient: ['gpt-4-azure'] },
  policy: { maxRetries: 0 },
};

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

async function listen(options: object = OPTIONS): Promise<{ stage: Stage; prometheus: Prometheus; metrics: Metrics }> {
  const stage = new Stage(options);
  const prometheus = await createPrometheus();
  const metrics = new Metrics(stage, [prometheus.meter]);
  ends.push(
    () => metrics.close(),
    () => prometheus.shutdown(),
  );
  return { stage, prometheus, metrics };
}

/** The samples of one name, as they stand in the text. */
async function samples(prometheus: Prometheus, name: string): Promise<string[]> {
  const lines = (await prometheus.render()).split('\n');
  return lines.filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
}

async function sum(prometheus: Prometheus, name: string, matching = ''): Promise<number> {
  const counted = (await samples(prometheus, name)).filter((line) => line.includes(matching));
  return counted.reduce((total, line) => total + Number(line.split(' ').at(-1)), 0);
}

describe('metrics of a request that fell back', () => {
  it('count the request, both attempts and the switch, under the names of the contract', async () => {
    const { stage, prometheus } = await listen();
    stage.run([{ outcome: 'server_error', status: 500 }, { outcome: 'ok' }]);

    expect(await samples(prometheus, 'fallback_requests_total')).toContain(
      'fallback_requests_total{chain="default",outcome="ok"} 1',
    );
    expect(await samples(prometheus, 'fallback_attempts_total')).toEqual([
      'fallback_attempts_total{model="gpt-4",outcome="server_error"} 1',
      'fallback_attempts_total{model="gpt-4-azure",outcome="ok"} 1',
    ]);
    expect(await samples(prometheus, 'fallback_switches_total')).toEqual([
      'fallback_switches_total{from="gpt-4",to="gpt-4-azure",reason="server_error"} 1',
    ]);
  });

  it('measure every call by the GenAI conventions: seconds, model, provider, and why it failed', async () => {
    const { stage, prometheus } = await listen();
    stage.run([
      { outcome: 'server_error', afterMs: 30 },
      { outcome: 'ok', afterMs: 1500 },
    ]);

    const name = 'gen_ai_client_operation_duration_seconds';
    const openai = 'gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="gpt-4"';
    const azure =
      'gen_ai_operation_name="chat",gen_ai_provider_name="azure.ai.openai",gen_ai_request_model="gpt-4-azure"';
    expect(await samples(prometheus, `${name}_sum`)).toEqual([
      `${name}_sum{${openai},error_type="server_error"} 0.03`,
      `${name}_sum{${azure}} 1.5`,
    ]);
    expect(await samples(prometheus, `${name}_bucket`)).toContain(`${name}_bucket{${azure},le="1.28"} 0`);
    expect(await samples(prometheus, `${name}_bucket`)).toContain(`${name}_bucket{${azure},le="2.56"} 1`);
  });
});

describe('metrics of a stream', () => {
  it('tell the time to first token, the tokens and the cost', async () => {
    const { stage, prometheus } = await listen();
    const usage = { inputTokens: 1000, outputTokens: 200 };
    stage.run([{ outcome: 'ok', ttftMs: 300, afterMs: 900, usage }], { streaming: true });

    const of = 'gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="gpt-4"';
    expect(await samples(prometheus, 'gen_ai_server_time_to_first_token_seconds_sum')).toEqual([
      `gen_ai_server_time_to_first_token_seconds_sum{${of}} 0.3`,
    ]);
    expect(await samples(prometheus, 'gen_ai_client_token_usage_sum')).toEqual([
      `gen_ai_client_token_usage_sum{${of},gen_ai_token_type="input"} 1000`,
      `gen_ai_client_token_usage_sum{${of},gen_ai_token_type="output"} 200`,
    ]);
    expect(await samples(prometheus, 'fallback_cost_usd_total')).toEqual([
      'fallback_cost_usd_total{model="gpt-4"} 0.042',
    ]);
    expect(stage.board.standing('gpt-4', 0)?.costUsd).toBe(0.042);
  });

  it('measure no first token and no tokens where there were none', async () => {
    const { stage, prometheus } = await listen();
    stage.run([{ outcome: 'ok' }]);

    const text = await prometheus.render();
    expect(text).not.toContain('gen_ai_server_time_to_first_token');
    expect(text).not.toContain('gen_ai_client_token_usage');
  });
});

describe('metrics of a stream that broke and went on', () => {
  const CUT: Ending = {
    outcome: 'stream_cut',
    ttftMs: 300,
    afterMs: 900,
    text: 'Once upon a ',
    usage: { inputTokens: 50, outputTokens: 3 },
  };
  const REST: Ending = {
    outcome: 'ok',
    ttftMs: 200,
    afterMs: 1_000,
    text: 'Once upon a time.',
    usage: { inputTokens: 70, outputTokens: 5 },
  };

  it('count the continuation by its pair, and each attempt’s tokens once, to the model that spent them', async () => {
    const { stage, prometheus } = await listen();
    stage.run([CUT, REST], { streaming: true });

    expect(await samples(prometheus, 'fallback_stream_continuations_total')).toEqual([
      'fallback_stream_continuations_total{from="gpt-4",to="gpt-4-azure"} 1',
    ]);
    expect(await samples(prometheus, 'fallback_attempts_total')).toEqual([
      'fallback_attempts_total{model="gpt-4",outcome="stream_cut"} 1',
      'fallback_attempts_total{model="gpt-4-azure",outcome="ok"} 1',
    ]);
    const tokens = (await samples(prometheus, 'gen_ai_client_token_usage_sum')).map((line) =>
      line.replace(/^.*request_model="([^"]+)",gen_ai_token_type="([^"]+)"\} /u, '$1 $2 '),
    );
    expect(tokens).toEqual(['gpt-4 input 50', 'gpt-4 output 3', 'gpt-4-azure input 70', 'gpt-4-azure output 5']);
    expect(stage.board.standing('gpt-4', 0)?.tokens).toEqual({ input: 50, output: 3 });
  });

  it('count no continuation where nothing had come before the cut', async () => {
    const { stage, prometheus } = await listen();
    const { ttftMs: _, text: __, ...silent } = CUT;
    stage.run([silent, REST], { streaming: true });

    expect(await samples(prometheus, 'fallback_stream_continuations_total')).toEqual([]);
    expect(await samples(prometheus, 'fallback_switches_total')).toHaveLength(1);
  });

  it('know what a model had spent when its caller left in the middle, and nothing of one that had not spoken', async () => {
    const { stage, prometheus } = await listen();
    const speaking = stage.start([CUT], { streaming: true });
    stage.clock.turnOnce();
    speaking.cancel();
    const silent = stage.start([CUT], { streaming: true });
    silent.cancel();
    expect(await sum(prometheus, 'fallback_attempts_total', 'cancelled')).toBe(2);
    expect(await sum(prometheus, 'gen_ai_client_token_usage_sum', '"output"')).toBe(3);
  });

  it('blame a silent model that was overtaken and beaten for its silence, and guess at no tokens of its', async () => {
    const { stage, prometheus } = await listen({ ...OPTIONS, policy: { ...OPTIONS.policy, stream: { ttftMs: 100 } } });
    stage.run([{ ...CUT, ttftMs: 800 }, REST], { streaming: true });

    expect(await samples(prometheus, 'fallback_switches_total')).toEqual([
      'fallback_switches_total{from="gpt-4",to="gpt-4-azure",reason="timeout_ttft"} 1',
    ]);
    expect(await samples(prometheus, 'fallback_attempts_total')).toContain(
      'fallback_attempts_total{model="gpt-4",outcome="cancelled"} 1',
    );
    expect(await samples(prometheus, 'fallback_stream_continuations_total')).toEqual([]);
    expect(await sum(prometheus, 'gen_ai_client_token_usage_sum', 'request_model="gpt-4",')).toBe(0);
    expect(await sum(prometheus, 'gen_ai_client_token_usage_sum')).toBe(75);
  });
});

describe('the time per output token', () => {
  const NAME = 'gen_ai_server_time_per_output_token_seconds';
  const ANSWER: Ending = { outcome: 'ok', ttftMs: 300, afterMs: 900, usage: { inputTokens: 9, outputTokens: 4 } };

  it('is what each token after the first one took', async () => {
    const { stage, prometheus } = await listen();
    stage.run([ANSWER], { streaming: true });
    expect(await sum(prometheus, `${NAME}_sum`)).toBeCloseTo(0.2, 10);
    expect(await sum(prometheus, `${NAME}_count`)).toBe(1);
  });

  it.each([
    { why: 'an answer that is not streamed', ending: ANSWER, streaming: false },
    { why: 'one token', ending: { ...ANSWER, usage: { inputTokens: 9, outputTokens: 1 } }, streaming: true },
    { why: 'an answer in one piece', ending: { ...ANSWER, afterMs: 300.4 }, streaming: true },
    { why: 'a stream that failed', ending: { ...ANSWER, outcome: 'content_filter' as const }, streaming: true },
  ])('is not measured of $why', async ({ ending, streaming }) => {
    const { stage, prometheus } = await listen();
    stage.run([ending], { streaming });
    expect(await prometheus.render()).not.toContain(NAME);
  });
});

describe('metrics before the first request', () => {
  it('show every chain, every priced model and every breaker, so that rates have a start', async () => {
    const { prometheus } = await listen();

    expect(await samples(prometheus, 'fallback_requests_total')).toEqual([
      'fallback_requests_total{chain="default",outcome="ok"} 0',
      'fallback_requests_total{chain="default",outcome="failed"} 0',
      'fallback_requests_total{chain="default",outcome="cancelled"} 0',
      'fallback_requests_total{chain="patient",outcome="ok"} 0',
      'fallback_requests_total{chain="patient",outcome="failed"} 0',
      'fallback_requests_total{chain="patient",outcome="cancelled"} 0',
    ]);
    expect(await samples(prometheus, 'fallback_breaker_state')).toEqual([
      'fallback_breaker_state{model="gpt-4"} 0',
      'fallback_breaker_state{model="gpt-4-azure"} 0',
    ]);
    expect(await samples(prometheus, 'fallback_cost_usd_total')).toEqual(['fallback_cost_usd_total{model="gpt-4"} 0']);
    expect(await samples(prometheus, 'fallback_deadline_exceeded_total')).toEqual([
      'fallback_deadline_exceeded_total 0',
    ]);
  });

  it('are text that Prometheus reads: a type for every name, no scope, no target', async () => {
    const { stage, prometheus } = await listen();
    stage.run([{ outcome: 'ok' }]);

    const text = await prometheus.render();
    expect(text.endsWith('\n')).toBe(true);
    expect(text).toContain('# TYPE fallback_requests_total counter\n');
    expect(text).toContain('# TYPE fallback_breaker_state gauge\n');
    expect(text).toContain('# TYPE gen_ai_client_operation_duration_seconds histogram\n');
    expect(text).not.toMatch(/otel_scope|target_info|description missing|overflow/);
    expect(prometheus.contentType).toBe('text/plain; version=0.0.4; charset=utf-8');
  });
});

describe('a breaker that changes', () => {
  it('shows as 2 while open, 1 while half-open, 0 once closed', async () => {
    const { stage, prometheus } = await listen({ ...OPTIONS, policy: { breaker: { consecutive: 1, closeAfter: 1 } } });
    const shown = async () => (await samples(prometheus, 'fallback_breaker_state'))[0]?.split(' ')[1];
    stage.run([{ outcome: 'server_error' }, { outcome: 'ok' }]);
    expect(await shown()).toBe('2');
    stage.clock.turnBy(5_000);
    expect(await shown()).toBe('1');
    stage.run([{ outcome: 'ok' }]);
    expect(await shown()).toBe('0');
  });
});

describe('the retry budget', () => {
  it('shows what the default chain can still pay for', async () => {
    const { stage, prometheus } = await listen({ ...OPTIONS, policy: { backoff: { baseMs: 0 } } });
    expect(await samples(prometheus, 'fallback_retry_budget_remaining')).toEqual([
      'fallback_retry_budget_remaining 10',
    ]);
    stage.run([{ outcome: 'network' }, { outcome: 'network' }, { outcome: 'network' }, { outcome: 'ok' }]);
    expect(await samples(prometheus, 'fallback_retry_budget_remaining')).toEqual([
      'fallback_retry_budget_remaining 8.1',
    ]);
  });
});

describe('a request that runs out of time', () => {
  it('is counted as failed, and as one whose deadline passed', async () => {
    const { stage, prometheus } = await listen({ ...OPTIONS, policy: { deadlineMs: 50 } });
    stage.run([{ outcome: 'ok', afterMs: 5000 }]);
    stage.run([{ outcome: 'ok', afterMs: 40 }]);

    expect(await samples(prometheus, 'fallback_deadline_exceeded_total')).toEqual([
      'fallback_deadline_exceeded_total 1',
    ]);
    expect(await samples(prometheus, 'fallback_requests_total')).toContain(
      'fallback_requests_total{chain="default",outcome="failed"} 1',
    );
  });
});

describe('a drill', () => {
  it('has series of its own; what really answered counts as real', async () => {
    const { stage, prometheus } = await listen();
    stage.run([{ outcome: 'ok' }], { drills: new Map([['gpt-4', 'rate_limited']]) });

    expect(await samples(prometheus, 'fallback_attempts_total')).toEqual([
      'fallback_attempts_total{model="gpt-4",outcome="rate_limited",drill="true"} 1',
      'fallback_attempts_total{model="gpt-4-azure",outcome="ok"} 1',
    ]);
    expect(await samples(prometheus, 'fallback_switches_total')).toEqual([
      'fallback_switches_total{from="gpt-4",to="gpt-4-azure",reason="rate_limited",drill="true"} 1',
    ]);
    expect(await samples(prometheus, 'fallback_requests_total')).toContain(
      'fallback_requests_total{chain="default",outcome="ok",drill="true"} 1',
    );
    expect(await sum(prometheus, 'gen_ai_client_operation_duration_seconds_count')).toBe(1);
  });
});

describe('a drill of what fails by itself too', () => {
  it('is never counted with it', async () => {
    const { stage, prometheus } = await listen();
    const failing: Ending = { outcome: 'server_error' };
    stage.run([failing, { outcome: 'ok' }]);
    stage.run([{ outcome: 'ok' }], { drills: new Map([['gpt-4', 'server_error']]) });

    expect(await samples(prometheus, 'fallback_attempts_total')).toEqual([
      'fallback_attempts_total{model="gpt-4",outcome="server_error"} 1',
      'fallback_attempts_total{model="gpt-4-azure",outcome="ok"} 2',
      'fallback_attempts_total{model="gpt-4",outcome="server_error",drill="true"} 1',
    ]);
  });
});

describe('a configuration of many models', () => {
  it('has a series for every switch, however many there are', async () => {
    const { stage, prometheus } = await listen();
    const common = {
      requestId: 'r-1',
      chain: 'default',
      reason: 'server_error',
      ms: 1,
      drilled: false,
      kind: 'fallback',
    } as const;
    for (let i = 0; i < 3_000; i++) stage.events.emit('model.switched', { ...common, from: `m${i}`, to: 'gpt-4' });

    expect(await samples(prometheus, 'fallback_switches_total')).toHaveLength(3_000);
  });
});

describe('a host that gave OpenTelemetry a meter', () => {
  afterEach(() => globalMetrics.disable());

  it("gets everything there, added up over all of its modules, under OpenTelemetry's names", async () => {
    const reader = new PrometheusExporter({ preventServerStart: true });
    const provider = new MeterProvider({ readers: [reader] });
    globalMetrics.setGlobalMeterProvider(provider);
    ends.push(() => provider.shutdown());
    const usage = { inputTokens: 1000, outputTokens: 0 };
    for (let i = 0; i < 2; i++) {
      const { stage } = await listen();
      stage.run([{ outcome: 'ok', usage }]);
    }
    const { resourceMetrics } = await reader.collect();
    const names = resourceMetrics.scopeMetrics.flatMap(({ metrics }) => metrics.map((m) => m.descriptor.name));
    const text = new PrometheusSerializer('', false, undefined, true, true).serialize(resourceMetrics);

    expect(names).toContain('gen_ai.client.operation.duration');
    expect(text).toContain('fallback_requests_total{chain="default",outcome="ok"} 2\n');
    expect(text).toContain('fallback_attempts_total{model="gpt-4",outcome="ok"} 2\n');
    expect(text).toContain('fallback_cost_usd_total{model="gpt-4"} 0.06\n');
    expect(text).toContain('fallback_breaker_state{model="gpt-4"} 0\n');
  });
});

describe('a reload', () => {
  it('measures a model under the provider where it stands now', async () => {
    const { stage, prometheus } = await listen();
    stage.run([{ outcome: 'ok' }]);
    const moved = { ...OPTIONS.models, 'gpt-4': { provider: 'eu' } };
    stage.settings = new Stage({ ...OPTIONS, models: moved }).settings;
    stage.run([{ outcome: 'ok' }]);

    const counts = await samples(prometheus, 'gen_ai_client_operation_duration_seconds_count');
    expect(counts.map((line) => /provider_name="([^"]+)"/.exec(line)?.[1])).toEqual(['openai', 'azure.ai.openai']);
  });

  it('keeps what was counted, and shows the new models', async () => {
    const { stage, prometheus } = await listen();
    stage.run([{ outcome: 'ok' }]);
    for (let i = 0; i < 5; i++) stage.run([{ outcome: 'server_error' }, { outcome: 'ok' }]);
    expect(await samples(prometheus, 'fallback_breaker_state')).toContain('fallback_breaker_state{model="gpt-4"} 2');
    stage.settings = new Stage({
      ...OPTIONS,
      models: { 'gpt-5': { provider: 'openai' } },
      chains: { default: ['gpt-5'] },
    }).settings;

    expect(await samples(prometheus, 'fallback_attempts_total')).toContain(
      'fallback_attempts_total{model="gpt-4",outcome="ok"} 1',
    );
    expect(await samples(prometheus, 'fallback_breaker_state')).toEqual([
      'fallback_breaker_state{model="gpt-4"} 2',
      'fallback_breaker_state{model="gpt-4-azure"} 0',
      'fallback_breaker_state{model="gpt-5"} 0',
    ]);
  });
});

describe('closed metrics', () => {
  it('hear nothing any more', async () => {
    const { stage, prometheus, metrics } = await listen();
    stage.run([{ outcome: 'ok' }]);
    metrics.close();
    stage.run([{ outcome: 'ok' }]);

    expect(await samples(prometheus, 'fallback_attempts_total')).toEqual([]);
    expect(await sum(prometheus, 'gen_ai_client_operation_duration_seconds_count')).toBe(1);
  });
});

describe('whatever happens to requests', () => {
  const ending: fc.Arbitrary<Ending> = fc.record({
    outcome: fc.constantFrom('ok' as const, ...FAILURE_CLASSES.filter((c) => c !== 'cancelled')),
    afterMs: fc.integer({ min: 1, max: 40_000 }),
  });
  const request: fc.Arbitrary<{ endings: Ending[]; leaves: boolean; how: StagedRequest }> = fc.record({
    endings: fc.array(ending, { minLength: 1, maxLength: 4 }),
    leaves: fc.boolean(),
    how: fc.record({
      route: fc.constantFrom({}, { chain: 'patient' }, { model: 'gpt-4-azure' }),
      streaming: fc.boolean(),
      drills: fc.constantFrom(new Map(), new Map([['gpt-4', 'overloaded' as const]])),
    }),
  });

  it('the metrics add up: one verdict per request, one outcome per attempt, one measure per call', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(request, { maxLength: 12 }), async (requests) => {
        const { stage, prometheus } = await listen({ ...OPTIONS, policy: {} });
        for (const { endings, leaves, how } of requests) {
          const running = stage.start(endings, how);
          if (leaves) running.cancel();
          stage.clock.turnUntilIdle();
        }
        const attempts = stage.results.reduce((total, { attempts: made }) => total + made.length, 0);

        expect(stage.results).toHaveLength(requests.length);
        expect(await sum(prometheus, 'fallback_requests_total')).toBe(requests.length);
        expect(await sum(prometheus, 'fallback_attempts_total')).toBe(attempts);
        expect(await sum(prometheus, 'gen_ai_client_operation_duration_seconds_count')).toBe(
          attempts - (await sum(prometheus, 'fallback_attempts_total', 'drill="true"')),
        );
      }),
      { numRuns: 60 },
    );
  });
});
