import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { profileFor, seededRandom } from '../latency-profile.js';
import { InputError } from './input-table.js';
import { readRequestLog } from './request-log.js';

const ZERO = 1_780_000_000_000;

/** A line as the gateway's log has it. */
function line(fields: Record<string, unknown>): string {
  return JSON.stringify({ level: 30, time: ZERO, context: 'Fallback', chain: 'default', ...fields });
}

function answered(atMs: number, tookMs: number, more: Record<string, unknown> = {}): string {
  const attempts = `gpt-4;ok;${tookMs}ms`;
  return line({ time: ZERO + atMs + tookMs, response_time: tookMs, attempts, class: 'ok', ...more });
}

function readLog(...lines: readonly string[]) {
  return readRequestLog(`${lines.join('\n')}\n`, seededRandom(1));
}

function faultsOf(text: string): readonly string[] {
  try {
    readRequestLog(text, seededRandom(1));
  } catch (error) {
    if (error instanceof InputError) return error.faults;
    throw error;
  }
  return [];
}

describe("the gateway's log", () => {
  it('tells when requests came: a line is written when its request is over', () => {
    const { arrivals, spanMs } = readLog(answered(100, 5_000), answered(1_100, 400), answered(2_600, 90));
    expect(arrivals.map(({ atMs }) => atMs)).toEqual([0, 1_000, 2_500]);
    expect(spanMs).toBe(2_500);
    expect(arrivals.every(({ inputTokens, outputTokens }) => inputTokens > 0 && outputTokens > 0)).toBe(true);
  });

  it('counts each request once, whatever else is said of it, and no drill', () => {
    const { arrivals } = readLog(
      line({ msg: 'Gateway listens' }),
      line({ response_time: 143, model: 'gpt-4', class: 'server_error', kind: 'first', msg: 'Attempt failed' }),
      line({ response_time: 143, model: 'gpt-4', from: 'gpt-4', to: 'gpt-3.5-turbo', msg: 'Switching' }),
      line({ response_time: 555, attempts: 'gpt-4;server_error;143ms, gpt-3.5-turbo;ok;412ms', class: 'ok' }),
      line({ response_time: 3, attempts: '', msg: 'Request gave up: every model is known to be down' }),
      answered(0, 10, { drill: true }),
    );
    expect(arrivals).toHaveLength(2);
  });

  it('takes times in ISO 8601, as hosts may write them', () => {
    const { arrivals } = readLog(
      answered(0, 0, { time: '2026-11-24T10:00:00.500Z' }),
      answered(0, 0, { time: '2026-11-24T10:00:00.000Z' }),
    );
    expect(arrivals.map(({ atMs }) => atMs)).toEqual([0, 500]);
  });

  it("tells the share of each model's attempts that failed, but for callers' own faults and callers who left", () => {
    const { models } = readLog(
      line({ response_time: 1, attempts: 'gpt-4;server_error;1ms, gpt-3.5-turbo;ok;1ms' }),
      line({ response_time: 1, attempts: 'gpt-4;rate_limited;1ms, gpt-3.5-turbo;ok;1ms' }),
      line({ response_time: 1, attempts: 'gpt-4;ok;1ms' }),
      line({ response_time: 1, attempts: 'gpt-4;ok;1ms' }),
      line({ response_time: 1, attempts: 'gpt-4;invalid_request;1ms' }),
      line({ response_time: 1, attempts: 'gpt-4;cancelled;1ms' }),
    );
    expect(models.get('gpt-4')).toEqual({ attempts: 4, failureRatio: 0.5 });
    expect(models.get('gpt-3.5-turbo')).toEqual({ attempts: 2, failureRatio: 0 });
  });

  it('tells the latency of a model with enough answers, its first tokens from streams that nothing went before', () => {
    const streams = Array.from({ length: 101 }, (_, nth) => answered(nth, 3_080, { ttft: 400 + 4 * nth }));
    const after = line({ response_time: 9_000, ttft: 8_000, attempts: 'gpt-3.5-turbo;network;5ms, gpt-4;ok;3080ms' });
    const { models } = readLog(...streams, after);
    const latency = models.get('gpt-4')?.latency;
    expect(latency?.ttftP50Ms).toBe(600);
    // p95 is 780 ms: ln(780 / 600) / 1.645.
    expect(latency?.ttftSigma).toBeCloseTo(0.16, 2);
    // 129 tokens in 2,480 ms.
    expect(latency?.tokensPerSecond).toBeCloseTo(52, 0);
    expect(models.get('gpt-3.5-turbo')?.latency).toBeUndefined();
  });

  it('splits the time of answers as is usual where no stream tells of first tokens', () => {
    const { models } = readLog(...Array.from({ length: 50 }, (_, nth) => answered(nth, 7_584)));
    const usual = profileFor('gpt-4');
    // The usual median is 912 ms + 129 tokens at 44.8 a second = 3,791 ms: this one takes twice as long in all.
    expect(models.get('gpt-4')?.latency?.ttftP50Ms).toBeCloseTo(2 * usual.ttftP50Ms, -1);
    expect(models.get('gpt-4')?.latency?.tokensPerSecond).toBeCloseTo(usual.tokensPerSecond / 2, 0);
  });

  it('may end in a line that is not yet whole', () => {
    expect(readRequestLog(`${answered(0, 10)}\n{"level":30,"ti`, seededRandom(1)).arrivals).toHaveLength(1);
  });
});

describe('a table of requests', () => {
  it('is taken as it is, in the order of time', () => {
    const text = 'offset_ms,context_tokens,generated_tokens\r\n500.5,374,44\r\n1500.5,396,109\r\n1000.5,1,0\r\n';
    expect(readRequestLog(text, seededRandom(1))).toEqual({
      arrivals: [
        { atMs: 0, inputTokens: 374, outputTokens: 44 },
        { atMs: 500, inputTokens: 1, outputTokens: 0 },
        { atMs: 1_000, inputTokens: 396, outputTokens: 109 },
      ],
      spanMs: 1_000,
      models: new Map(),
    });
  });
});

const HEAD = 'offset_ms,context_tokens,generated_tokens';

it.each([
  {
    why: 'no log and no such table',
    text: 'time,model\n1,gpt-4\n',
    faults: ['line 1: no column offset_ms, context_tokens, generated_tokens in the heading "time,model"'],
  },
  {
    why: 'numbers that are none',
    text: `${HEAD}\n-1,2,3\n0,2.5,\n0,1e999,x\n`,
    faults: [
      'line 2: offset_ms is "-1", expected milliseconds, 0 or more',
      'line 3: context_tokens is "2.5", expected a whole number, 0 or more',
      'line 3: generated_tokens is "", expected a whole number, 0 or more',
      'line 4: context_tokens is "1e999", expected a whole number, 0 or more',
      'line 4: generated_tokens is "x", expected a whole number, 0 or more',
    ],
  },
  { why: 'a table without requests', text: `${HEAD}\n`, faults: ['no line of a request below the heading'] },
  {
    why: 'a line of the log that is no JSON, and one that is no object',
    text: `${answered(0, 1)}\n\nnode:internal/process\n[1]\n`,
    faults: [
      'line 3: "node:internal/process" is no JSON object, as each line of the log is',
      'line 4: "[1]" is no JSON object, as each line of the log is',
    ],
  },
  {
    why: 'no time',
    text: `${answered(0, 1, { time: 'noon' })}\n${answered(0, 1, { time: undefined })}\n`,
    faults: [
      'line 1: time is "noon", expected milliseconds since 1970, or ISO 8601',
      'line 2: time is absent, expected milliseconds since 1970, or ISO 8601',
    ],
  },
  {
    why: 'no response time',
    text: `${answered(0, 1, { response_time: -5 })}\n`,
    faults: ['line 1: response_time is "-5", expected milliseconds, 0 or more'],
  },
  {
    why: 'attempts of another shape',
    text: `${answered(0, 1, { attempts: 'gpt-4;exploded;1ms' })}\n`,
    faults: [
      'line 1: attempts is "gpt-4;exploded;1ms", expected a list such as "gpt-4;server_error;143ms, gpt-3.5-turbo;ok;412ms"',
    ],
  },
  {
    why: 'a log without requests',
    text: `${line({ msg: 'Gateway listens' })}\n`,
    faults: [
      'no line of a request: expected lines with time, response_time and attempts, as the gateway logs them at level info',
    ],
  },
])('a log is refused with its lines and what is allowed: $why', ({ text, faults }) => {
  expect(faultsOf(text)).toEqual(faults);
});

it('whatever the file holds, it is read in the order of time or refused by name, and alike for the same seed', () => {
  const request = fc.record({
    time: fc.oneof(fc.integer({ min: 0, max: 2e12 }), fc.constant('2026-01-01T00:00:00Z'), fc.jsonValue()),
    response_time: fc.oneof(fc.integer({ min: 0, max: 1e6 }), fc.jsonValue()),
    attempts: fc.oneof(fc.constantFrom('', 'a;ok;1ms', 'a;network;5ms, b;ok;7ms'), fc.string()),
  });
  const text = fc.oneof(
    fc.array(request).map((lines) => lines.map((each) => JSON.stringify(each)).join('\n')),
    fc.array(fc.tuple(fc.nat(), fc.nat(), fc.nat())).map((rows) => [HEAD, ...rows.map(String)].join('\n')),
    fc.string().map((any) => `{${any}`),
    fc.string(),
  );
  fc.assert(
    fc.property(text, fc.integer(), (file, seed) => {
      const read = () => {
        try {
          return readRequestLog(file, seededRandom(seed));
        } catch (error) {
          if (error instanceof InputError) return error.faults;
          throw error;
        }
      };
      const log = read();
      expect(read()).toEqual(log);
      if (!('arrivals' in log)) return;
      let before = 0;
      for (const { atMs } of log.arrivals) {
        expect(atMs).toBeGreaterThanOrEqual(before);
        before = atMs;
      }
      expect(log.spanMs).toBe(before);
    }),
    { numRuns: 300 },
  );
});
