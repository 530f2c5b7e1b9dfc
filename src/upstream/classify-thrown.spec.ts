import * as fc from 'fast-check';
import { APIConnectionError, APIConnectionTimeoutError, APIError, APIUserAbortError } from 'openai';
import { describe, expect, it } from 'vitest';
import { classifyThrown } from './classify.js';

const WALL_EPOCH_MS = Date.UTC(2024, 10, 24, 12);

function withFields(fields: Readonly<Record<string, unknown>>, message = 'it failed', cause?: unknown): Error {
  return Object.assign(new Error(message, { cause }), fields);
}

function openAIError(status: number, error: object, headers: Record<string, string> = {}): Error {
  return APIError.generate(status, { error }, undefined, new Headers(headers));
}

describe('what other SDKs throw in execute()', () => {
  const quota = { message: 'You exceeded your current quota', type: 'insufficient_quota', code: 'insufficient_quota' };
  const nxdomain = withFields({ code: 'ENOTFOUND' });

  it.each([
    {
      why: 'OpenAI: rate limited',
      error: openAIError(429, { message: 'x', code: 'rate_limit_exceeded' }),
      is: 'rate_limited',
    },
    { why: 'OpenAI: no money', error: openAIError(429, quota), is: 'quota' },
    {
      why: 'OpenAI: too long',
      error: openAIError(400, { message: 'x', code: 'context_length_exceeded' }),
      is: 'context_length',
    },
    {
      why: 'OpenAI: overloaded',
      error: openAIError(503, { message: 'x', code: 'server_is_overloaded' }),
      is: 'overloaded',
    },
    {
      why: 'OpenAI: an error event in a stream',
      error: new APIError(undefined, quota, undefined, undefined),
      is: 'quota',
    },
    {
      why: 'OpenAI: no connection',
      error: new APIConnectionError({ cause: new TypeError('fetch failed', { cause: nxdomain }) }),
      is: 'network',
    },
    { why: 'OpenAI: no connection, and no cause', error: new APIConnectionError({}), is: 'network' },
    { why: 'OpenAI: its own timeout', error: new APIConnectionTimeoutError(), is: 'timeout_total' },
    { why: 'OpenAI: aborted', error: new APIUserAbortError(), is: 'timeout_total' },
    {
      why: 'Anthropic',
      error: withFields({
        status: 529,
        error: { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } },
      }),
      is: 'overloaded',
    },
    {
      why: 'Anthropic: no money',
      error: withFields({
        status: 400,
        error: { type: 'error', error: { type: 'invalid_request_error', message: 'Your credit balance is too low' } },
      }),
      is: 'quota',
    },
    {
      why: 'Google: a body as a message',
      error: withFields(
        { name: 'ApiError', status: 503 },
        '{"error":{"code":503,"message":"x","status":"UNAVAILABLE"}}',
      ),
      is: 'overloaded',
    },
    {
      why: 'Google: details beside the message',
      error: withFields({ status: 429, errorDetails: [{ violations: [{ quotaId: 'PerDay' }] }] }),
      is: 'rate_limited',
    },
    { why: 'Google: a status of words', error: withFields({ status: 'RESOURCE_EXHAUSTED' }), is: 'rate_limited' },
    { why: 'Google: the same as a string', error: withFields({ code: '404' }), is: 'not_found' },
    { why: 'a status in digits', error: withFields({ statusCode: '404' }), is: 'not_found' },
    { why: 'Google: a code that is a status', error: withFields({ code: 404 }), is: 'not_found' },
    {
      why: 'AWS: throttled',
      error: withFields({ name: 'ThrottlingException', $metadata: { httpStatusCode: 400 } }),
      is: 'rate_limited',
    },
    {
      why: 'AWS: denied',
      error: withFields({ name: 'AccessDeniedException', $metadata: { httpStatusCode: 403 } }),
      is: 'permission',
    },
    {
      why: 'AWS: a bad request',
      error: withFields({ name: 'ValidationException', $metadata: { httpStatusCode: 400 } }),
      is: 'invalid_request',
    },
    {
      why: 'axios',
      error: withFields({ code: 'ERR_BAD_REQUEST', response: { status: 429, data: { error: quota } } }),
      is: 'quota',
    },
    {
      why: 'axios: its own timeout',
      error: withFields({ code: 'ECONNABORTED', name: 'AxiosError' }),
      is: 'timeout_total',
    },
    {
      why: 'axios: cancelled',
      error: withFields({ code: 'ERR_CANCELED', name: 'CanceledError' }),
      is: 'timeout_total',
    },
    { why: 'axios: no connection', error: withFields({ code: 'ERR_NETWORK', name: 'AxiosError' }), is: 'network' },
    {
      why: 'got',
      error: withFields({ code: 'ERR_NON_2XX_3XX_RESPONSE', response: { statusCode: 500, body: '{"error":"x"}' } }),
      is: 'server_error',
    },
    {
      why: 'the AI SDK',
      error: withFields({ name: 'AI_APICallError', statusCode: 429, responseBody: JSON.stringify({ error: quota }) }),
      is: 'quota',
    },
    {
      why: 'the AI SDK after its own retries',
      error: withFields({
        name: 'AI_RetryError',
        reason: 'maxRetriesExceeded',
        lastError: withFields({ statusCode: 529 }),
      }),
      is: 'overloaded',
    },
    { why: 'the AI SDK: no object', error: withFields({ name: 'AI_NoObjectGeneratedError' }), is: 'invalid_output' },
    { why: 'gRPC', error: withFields({ code: 8, details: 'slow down', metadata: {} }), is: 'rate_limited' },
    { why: 'fetch: no connection', error: new TypeError('fetch failed', { cause: nxdomain }), is: 'network' },
    {
      why: 'fetch: cut',
      error: new TypeError('terminated', { cause: withFields({ code: 'UND_ERR_SOCKET' }) }),
      is: 'network',
    },
    {
      why: 'fetch: waited too long for headers',
      error: new TypeError('fetch failed', { cause: withFields({ code: 'UND_ERR_HEADERS_TIMEOUT' }) }),
      is: 'timeout_total',
    },
    {
      why: 'fetch: no HTTP',
      error: new TypeError('fetch failed', { cause: withFields({ code: 'HPE_INVALID_CONSTANT' }) }),
      is: 'bad_response',
    },
    {
      why: 'every address refused',
      error: Object.assign(new AggregateError([withFields({ code: 'ECONNREFUSED' })]), {}),
      is: 'network',
    },
    {
      why: 'AbortSignal.timeout',
      error: new DOMException('The operation timed out', 'TimeoutError'),
      is: 'timeout_total',
    },
    { why: 'an abort', error: new DOMException('This operation was aborted', 'AbortError'), is: 'timeout_total' },
    { why: 'an answer that is no JSON', error: new SyntaxError('Unexpected token < in JSON'), is: 'bad_response' },
    { why: 'a redirect', error: withFields({ status: 302 }), is: 'bad_response' },
    { why: "a class's name", error: new (class RateLimitError extends Error {})('x'), is: 'rate_limited' },
    {
      why: 'a wrapper around any of them',
      error: withFields({}, 'chain step failed', withFields({}, 'again', openAIError(401, {}))),
      is: 'auth',
    },
    {
      why: 'the outermost that tells something',
      error: withFields({ status: 404 }, 'x', withFields({ status: 500 })),
      is: 'not_found',
    },
    {
      why: 'structure in the cause before text outside',
      error: withFields({}, 'rate limit?', withFields({ status: 500 })),
      is: 'server_error',
    },
    { why: 'only words', error: new Error('429 Too Many Requests'), is: 'rate_limited' },
    { why: 'a string', error: 'too many requests', is: 'rate_limited' },
    { why: 'an error that tells nothing', error: new Error('boom'), is: 'server_error' },
    {
      why: "the host's own slip",
      error: new TypeError("Cannot read properties of undefined (reading 'x')"),
      is: 'server_error',
    },
    { why: 'a status that is none', error: withFields({ status: 200 }), is: 'server_error' },
    { why: 'undefined', error: undefined, is: 'server_error' },
    { why: 'null', error: null, is: 'server_error' },
    { why: 'a number', error: 429, is: 'server_error' },
    { why: 'an empty object', error: {}, is: 'server_error' },
  ])('$why is $is', ({ error, is }) => {
    const failure = classifyThrown(error, WALL_EPOCH_MS);
    expect(failure.class).toBe(is);
    expect(failure.error.message).not.toBe('');
  });

  it.each([
    { why: 'Headers', headers: new Headers({ 'Retry-After': '7' }) },
    { why: 'a plain object', headers: { 'Retry-After': '7' } },
    { why: 'lists of values', headers: { 'retry-after': ['7'] } },
    { why: 'numbers', headers: { 'retry-after': 7 } },
    { why: 'a Map', headers: new Map([['Retry-After', '7']]) },
  ])('Retry-After is read from $why', ({ headers }) => {
    expect(classifyThrown(withFields({ status: 429, headers }), WALL_EPOCH_MS).retryAfterMs).toBe(7_000);
    const response = { status: 429, headers };
    expect(classifyThrown(withFields({ response }), WALL_EPOCH_MS).retryAfterMs).toBe(7_000);
  });

  it('RetryInfo is read from details', () => {
    const errorDetails = [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '34s' }];
    const message = '[429 Too Many Requests] Slow. [{"reason":"x"}]';
    expect(classifyThrown(withFields({ status: 429, errorDetails }, message), WALL_EPOCH_MS).retryAfterMs).toBe(34_000);
  });

  it("OpenAI's error keeps its words, and loses its keys", () => {
    const error = openAIError(400, { message: 'No, sk-proj-****WXYZ.', type: 't', code: 'invalid_value', param: 'n' });
    expect(classifyThrown(error, WALL_EPOCH_MS)).toMatchObject({
      class: 'invalid_request',
      status: 400,
      error: { message: 'No, ***.', type: 't', code: 'invalid_value', param: 'n' },
    });
  });

  it('a page of HTML does not become a message', () => {
    const { message } = classifyThrown(
      withFields({ status: 502 }, '502 <html><body>x</body></html>'),
      WALL_EPOCH_MS,
    ).error;
    expect(message).toBe('HTTP 502');
  });
});

function throwing(): never {
  throw new Error('mine');
}

describe('an error that fights back', () => {
  it('may throw in its getters: what can be read is read', () => {
    const error = Object.defineProperties(new Error('x'), {
      status: { get: throwing },
      cause: { get: throwing },
      response: {
        value: {
          get status() {
            return throwing();
          },
          statusCode: 429,
        },
      },
    });
    expect(classifyThrown(error, WALL_EPOCH_MS).class).toBe('rate_limited');
  });

  it('may be a proxy that throws at everything', () => {
    const traps = { get: throwing, has: throwing, ownKeys: throwing, getPrototypeOf: throwing };
    expect(classifyThrown(new Proxy({}, traps), WALL_EPOCH_MS).class).toBe('server_error');
  });

  it('may be a revoked proxy', () => {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    expect(classifyThrown(proxy, WALL_EPOCH_MS).class).toBe('server_error');
    expect(classifyThrown(withFields({ status: 429, headers: proxy, error: proxy }), WALL_EPOCH_MS).class).toBe(
      'rate_limited',
    );
  });

  it('may be a proxy that has everything, for ever', () => {
    const endless: unknown = new Proxy(() => endless, {
      get: (_target, key) => (typeof key === 'symbol' ? undefined : endless),
    });
    expect(classifyThrown(endless, WALL_EPOCH_MS).class).toBe('server_error');
  });

  it('may be its own cause', () => {
    const error = withFields({});
    error.cause = error;
    expect(classifyThrown(error, WALL_EPOCH_MS).class).toBe('server_error');
  });

  it('may have headers that throw', () => {
    const headers = { forEach: throwing };
    expect(classifyThrown(withFields({ status: 429, headers }), WALL_EPOCH_MS).class).toBe('rate_limited');
  });

  it('may be anything', () => {
    const field = fc.constantFrom(
      'status',
      'code',
      'name',
      'cause',
      'headers',
      'response',
      'error',
      'message',
      'errors',
      'body',
      'constructor',
      'details',
    );
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof(
        { maxDepth: 4 },
        fc.anything(),
        fc.dictionary(field, tie('tree')),
        fc.integer({ min: 0, max: 600 }),
      ),
    }));
    fc.assert(
      fc.property(tree, (error) => {
        expect(classifyThrown(error, WALL_EPOCH_MS).error.message).not.toBe('');
      }),
    );
  });
});
