import OpenAI from 'openai';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type Attempt,
  FallbackChainService,
  FallbackEvents,
  type FallbackError,
  FallbackExhaustedError,
  FallbackRejectedError,
  type FailureClass,
  type FallbackOptions,
} from '../../src/index.js';
import { reply } from '../../src/testing.js';
import { contextOf, rejectionOf, twoModels } from './host.js';

const unhandled: unknown[] = [];
const note = (reason: unknown) => void unhandled.push(reason);
beforeEach(() => void process.on('unhandledRejection', note));
afterEach(async () => {
  await new Promise((resolve) => setImmediate(resolve));
  process.off('unhandledRejection', note);
  expect(unhandled.splice(0)).toEqual([]);
});

/** Two providers of other SDKs, which we cannot call ourselves. */
const EXTERNAL: FallbackOptions = {
  providers: { claude: { kind: 'external' }, bedrock: { kind: 'external' } },
  models: { sonnet: { provider: 'claude', id: 'claude-sonnet-5' }, titan: { provider: 'bedrock' } },
  chains: { default: ['sonnet', 'titan'] },
  policy: { maxRetries: 0, backoff: { baseMs: 1, maxMs: 2 } },
};

async function chainsOf(options: FallbackOptions = EXTERNAL) {
  const host = await contextOf(options);
  return { ...host, chains: host.app.get(FallbackChainService) };
}

const withFields = (fields: object, message = 'x') => Object.assign(new Error(message), fields);

describe('execute()', () => {
  it('gives the value with what it took, and tells each attempt what it is', async () => {
    await using host = await chainsOf();
    const seen: Attempt[] = [];
    const result = await host.chains.execute(async (attempt) => {
      seen.push(attempt);
      if (attempt.number === 1) throw withFields({ status: 529 });
      return { text: `by ${attempt.modelId}` };
    });
    expect(result).toMatchObject({
      value: { text: 'by titan' },
      model: 'titan',
      fallbackUsed: true,
      attempts: [
        { model: 'sonnet', class: 'overloaded', status: 529 },
        { model: 'titan', class: 'ok' },
      ],
    });
    expect(seen).toMatchObject([
      { model: 'sonnet', modelId: 'claude-sonnet-5', provider: 'claude', number: 1 },
      { model: 'titan', modelId: 'titan', provider: 'bedrock', number: 2 },
    ]);
    for (const { remainingMs, signal } of seen) {
      expect(remainingMs).toBeGreaterThan(1_000);
      expect(remainingMs).toBeLessThanOrEqual(30_000);
      expect(signal.aborted).toBe(false);
    }
  });

  it.each<{ why: string; error: unknown; failureClass: FailureClass }>([
    { why: 'a status', error: withFields({ status: 503 }), failureClass: 'server_error' },
    { why: 'axios: response.status', error: withFields({ response: { status: 429 } }), failureClass: 'rate_limited' },
    {
      why: 'axios: a timeout',
      error: withFields({ code: 'ECONNABORTED', name: 'AxiosError' }),
      failureClass: 'timeout_total',
    },
    { why: 'a socket', error: withFields({ code: 'ECONNRESET' }), failureClass: 'network' },
    {
      why: 'fetch: its cause',
      error: new TypeError('fetch failed', { cause: withFields({ code: 'ECONNREFUSED' }) }),
      failureClass: 'network',
    },
    {
      why: 'AWS: a name',
      error: withFields({ name: 'ThrottlingException', $metadata: { httpStatusCode: 400 } }),
      failureClass: 'rate_limited',
    },
    {
      why: 'AWS: not ready',
      error: withFields({ name: 'ModelNotReadyException', $metadata: { httpStatusCode: 429 } }),
      failureClass: 'overloaded',
    },
    {
      why: 'AWS: access',
      error: withFields({ name: 'AccessDeniedException', $metadata: { httpStatusCode: 403 } }),
      failureClass: 'permission',
    },
    {
      why: 'Google: a status',
      error: withFields({ status: 'RESOURCE_EXHAUSTED', code: 429 }),
      failureClass: 'rate_limited',
    },
    {
      why: 'Google: a gRPC code',
      error: withFields({ code: 14, details: 'no connection' }, '14 UNAVAILABLE: no connection'),
      failureClass: 'server_error',
    },
    {
      why: 'Anthropic: its body',
      error: withFields({ status: 529, error: { type: 'error', error: { type: 'overloaded_error' } } }),
      failureClass: 'overloaded',
    },
    { why: 'the AI SDK', error: withFields({ name: 'AI_APICallError', statusCode: 401 }), failureClass: 'auth' },
    { why: 'nothing', error: new Error('boom'), failureClass: 'server_error' },
    { why: 'no error at all', error: 'boom', failureClass: 'server_error' },
    { why: 'undefined', error: undefined, failureClass: 'server_error' },
  ])('reads another SDK’s error: $why', async ({ error, failureClass }) => {
    await using host = await chainsOf();
    const result = await host.chains.execute(async ({ number }) => {
      if (number === 1) throw error;
      return 'ok';
    });
    expect(result.attempts.map((attempt) => attempt.class)).toEqual([failureClass, 'ok']);
  });

  it('rejects with the caller’s own fault, asking no other model', async () => {
    await using host = await chainsOf();
    const run = async () => {
      throw withFields({ status: 400, code: 'bad_value', param: 'top_k' }, 'top_k is too large');
    };
    const error = await rejectionOf(host.chains.execute(run));
    expect(error).toBeInstanceOf(FallbackRejectedError);
    expect(error).toMatchObject({ status: 400, class: 'invalid_request', attempts: [{ model: 'sonnet' }] });
    expect(String(error)).toContain('top_k is too large');
  });

  it('rejects with what the last call threw as its cause, never with it where JSON is made of it', async () => {
    await using host = await chainsOf();
    const thrown = withFields({ status: 500, config: { apiKey: 'sk-of-the-host' } }, 'the last');
    const error = await rejectionOf(host.chains.execute(() => Promise.reject(thrown)));
    expect((error as Error).cause).toBe(thrown);
    expect(JSON.stringify(error)).not.toContain('sk-of-the-host');
  });

  it('lets the host’s own reading win, where it says something', async () => {
    await using host = await chainsOf();
    const classOf = async (classify: (error: unknown) => FailureClass | undefined) => {
      const run = async ({ number }: Attempt) => (number === 1 ? Promise.reject(withFields({ status: 500 })) : 1);
      const { attempts } = await host.chains.execute(run, { classify, models: ['sonnet', 'titan'] });
      return attempts[0]?.class;
    };
    expect(await classOf(() => undefined)).toBe('server_error');
    expect(await classOf(() => 'nonsense' as FailureClass)).toBe('server_error');
    expect(
      await classOf(() => {
        throw new Error('mine');
      }),
    ).toBe('server_error');
    expect(
      await classOf((error) => ((error as { status: number }).status === 500 ? 'content_filter' : undefined)).catch(
        (error: FallbackError) => error.attempts[0]?.class,
      ),
    ).toBe('content_filter');
    expect(await classOf(() => 'rate_limited')).toBe('rate_limited');
    // It rests now, as after a 429 of its own.
    const { attempts } = await host.chains.execute(async () => 1);
    expect(attempts.map((attempt) => attempt.model)).toEqual(['titan']);
  });

  it.each([
    {
      why: 'throws at once',
      run: () => {
        throw withFields({ status: 500 });
      },
    },
    {
      why: 'gives a thenable that rejects',
      run: () => ({ then: (_: unknown, no: (e: unknown) => void) => no(withFields({ status: 500 })) }),
    },
    {
      why: 'gives a thenable that throws',
      run: () => ({
        then: () => {
          throw withFields({ status: 500 });
        },
      }),
    },
  ])('takes a call that $why for a failure like any other', async ({ run }) => {
    await using host = await chainsOf();
    const { attempts } = await host.chains.execute((attempt: Attempt): PromiseLike<unknown> =>
      attempt.number === 1 ? (run() as unknown as PromiseLike<unknown>) : Promise.resolve(1),
    );
    expect(attempts.map((attempt) => attempt.class)).toEqual(['server_error', 'ok']);
  });

  it('takes what is no promise, too', async () => {
    await using host = await chainsOf();
    expect((await host.chains.execute(() => 7 as unknown as Promise<number>)).value).toBe(7);
    const thenable = { then: (yes: (value: number) => unknown) => void yes(8) } as unknown as PromiseLike<number>;
    expect((await host.chains.execute(() => thenable)).value).toBe(8);
    expect((await host.chains.execute(async () => undefined)).value).toBeUndefined();
  });

  it('retries as for chats, with numbers that go on counting', async () => {
    await using host = await chainsOf({ ...EXTERNAL, policy: { maxRetries: 2, backoff: { baseMs: 1, maxMs: 1 } } });
    const asked: string[] = [];
    const error = await rejectionOf(
      host.chains.execute(async ({ model, number }) => {
        asked.push(`${number} ${model}`);
        throw withFields({ status: 500 });
      }),
    );
    expect(asked).toEqual(['1 sonnet', '2 titan', '3 sonnet', '4 titan']);
    expect(error).toMatchObject({ code: 'all_failed', status: 502 });
  });

  it('obeys the Retry-After of an error’s headers', async () => {
    await using host = await chainsOf();
    const error = await rejectionOf(
      host.chains.execute(async () => {
        throw withFields({ status: 429, headers: new Headers({ 'retry-after': '90' }) });
      }),
    );
    expect(error).toMatchObject({ status: 429 });
    expect((error as FallbackExhaustedError).retryAfterMs).toBeGreaterThan(80_000);
  });

  it('is told to the listeners like a chat', async () => {
    await using host = await chainsOf();
    const seen: string[] = [];
    const events = host.app.get(FallbackEvents);
    events.on('attempt.finished').subscribe(({ model, class: outcome }) => seen.push(`${model} ${outcome}`));
    events.on('request.finished').subscribe(({ outcome }) => seen.push(outcome));
    await host.chains.execute(async ({ number }) => (number === 1 ? Promise.reject(withFields({ status: 500 })) : 1));
    expect(seen).toEqual(['sonnet server_error', 'titan ok', 'ok']);
  });
});

describe('time in execute()', () => {
  it('aborts an attempt’s signal at its limit, asks the next model, and drops what comes late', async () => {
    await using host = await chainsOf({ ...EXTERNAL, policy: { maxRetries: 0, timeoutMs: 100 } });
    const reasons: unknown[] = [];
    const { promise: late, resolve: comeLate } = Promise.withResolvers<string>();
    const result = await host.chains.execute(({ number, signal, remainingMs }) => {
      if (number === 2) return Promise.resolve('in time');
      expect(remainingMs).toBeLessThanOrEqual(100);
      signal.addEventListener('abort', () => reasons.push(signal.reason));
      return late;
    });
    comeLate('late');
    await late;
    expect(result).toMatchObject({ value: 'in time', attempts: [{ class: 'timeout_total' }, { class: 'ok' }] });
    expect(reasons).toMatchObject([{ name: 'TimeoutError' }]);
  });

  it('is the deadline’s: 504, the signal aborted, a late rejection nobody’s trouble', async () => {
    await using host = await chainsOf();
    const { promise: late, reject } = Promise.withResolvers<never>();
    const signals: AbortSignal[] = [];
    const error = await rejectionOf(
      host.chains.execute(
        ({ signal }) => {
          signals.push(signal);
          return late;
        },
        { deadlineMs: 60 },
      ),
    );
    expect(error).toMatchObject({ code: 'deadline', status: 504 });
    expect(signals.every((signal) => signal.aborted)).toBe(true);
    reject(new Error('late'));
  });

  it('ends with the caller: its reason is thrown, the attempt’s signal aborted', async () => {
    await using host = await chainsOf();
    const leaving = new AbortController();
    let signal: AbortSignal | undefined;
    const rejected = rejectionOf(
      host.chains.execute(
        (attempt) => {
          signal = attempt.signal;
          leaving.abort('enough');
          return new Promise((_, reject) => attempt.signal.addEventListener('abort', () => reject(new Error('late'))));
        },
        { signal: leaving.signal },
      ),
    );
    expect(await rejected).toBe('enough');
    expect(signal?.aborted).toBe(true);
    const run = () => Promise.reject(new Error('never called'));
    expect(await rejectionOf(host.chains.execute(run, { signal: leaving.signal }))).toBe('enough');
  });

  it.each([0, -5])('that is over before it began (%s ms) asks nobody', async (deadlineMs) => {
    await using host = await chainsOf();
    let asked = 0;
    const error = await rejectionOf(host.chains.execute(async () => asked++, { deadlineMs }));
    expect(error).toMatchObject({ status: 504, code: 'deadline' });
    expect(asked).toBe(0);
  });

  it('must be a number', async () => {
    await using host = await chainsOf();
    const error = await rejectionOf(host.chains.execute(async () => 1, { deadlineMs: NaN }));
    expect(error).toMatchObject({ status: 400, param: 'deadlineMs' });
  });
});

describe('execute() around the official client', () => {
  it('reads its errors, and its abort', async () => {
    const limited = reply.error(429, {}, { headers: { 'retry-after': '30' } });
    await using stage = await twoModels(limited, ['two', reply.hang()]);
    await using host = await chainsOf({ ...stage.options, policy: { maxRetries: 0, timeoutMs: 2_000 } });
    const clients: Record<string, OpenAI> = {
      one: new OpenAI({ apiKey: 'x', baseURL: stage.first.baseUrl, maxRetries: 0 }),
      two: new OpenAI({ apiKey: 'x', baseURL: stage.second.baseUrl, maxRetries: 0 }),
    };
    const { value, attempts } = await host.chains.execute(({ provider, modelId, signal }) =>
      clients[provider]!.chat.completions.create(
        { model: modelId, messages: [{ role: 'user', content: 'Hi' }] },
        { signal },
      ),
    );
    expect(value.choices[0]?.message.content).toBe('two');
    expect(attempts).toMatchObject([{ class: 'rate_limited', status: 429 }, { class: 'ok' }]);
    const leaving = new AbortController();
    const run = ({ signal }: Attempt) =>
      clients['two']!.chat.completions.create({ model: 'm', messages: [{ role: 'user', content: 'Hi' }] }, { signal });
    const rejected = rejectionOf(host.chains.execute(run, { signal: leaving.signal, models: ['gpt-3.5-turbo'] }));
    const call = await stage.second.waitForCall(2);
    leaving.abort('left');
    expect(await rejected).toBe('left');
    expect(await call.ended).toMatchObject({ how: 'left' });
  });
});

describe('models of external providers', () => {
  it('are never asked by a chat, which says so where there is no other', async () => {
    await using stage = await twoModels('ok');
    const { options } = stage;
    await using host = await contextOf({
      ...options,
      providers: { ...options.providers, claude: { kind: 'external' } },
      models: { ...options.models, sonnet: { provider: 'claude' } },
      chains: { default: ['sonnet', 'gpt-4'], far: ['sonnet'] },
    });
    expect(await host.models.chat('Hi')).toMatchObject({ model: 'gpt-4', fallbackUsed: false });
    expect(await rejectionOf(host.models.chat('Hi', { chain: 'far' }))).toMatchObject({
      status: 400,
      code: 'unsupported',
    });
  });
});
