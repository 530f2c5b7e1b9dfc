import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  classifyErrorPayload,
  classifyResponse,
  classifyWireError,
  isErrorPayload,
  ownFailure,
  streamErrorFailure,
} from './classify.js';

const WALL_EPOCH_MS = Date.UTC(2024, 10, 24, 12);

function classify(status: number, body: unknown, headers: Record<string, string> = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return classifyResponse({ status, headers, body: text }, WALL_EPOCH_MS);
}

describe('a status with nothing else', () => {
  it.each([
    [301, 'bad_response'],
    [304, 'bad_response'],
    [400, 'invalid_request'],
    [401, 'auth'],
    [402, 'quota'],
    [403, 'permission'],
    [404, 'not_found'],
    [405, 'not_found'],
    [408, 'server_error'],
    [409, 'server_error'],
    [410, 'not_found'],
    [413, 'context_length'],
    [415, 'invalid_request'],
    [418, 'invalid_request'],
    [422, 'invalid_request'],
    [424, 'server_error'],
    [425, 'server_error'],
    [429, 'rate_limited'],
    [451, 'permission'],
    [500, 'server_error'],
    [501, 'server_error'],
    [502, 'server_error'],
    [503, 'server_error'],
    [504, 'server_error'],
    [529, 'overloaded'],
    [599, 'server_error'],
    [600, 'bad_response'],
    [100, 'bad_response'],
  ] as const)('%i is %s', (status, failureClass) => {
    const failure = classify(status, '');
    expect(failure.class).toBe(failureClass);
    expect(failure.status).toBe(status);
    expect(failure.error.message).toContain(`HTTP ${status}`);
  });
});

describe('structure before text', () => {
  it.each([
    {
      why: 'a type that says nothing of a rate limit does not deny it',
      status: 429,
      error: { type: 'server_error' },
      is: 'rate_limited',
    },
    { why: 'a code wins over its status', status: 500, error: { code: 'rate_limit_exceeded' }, is: 'rate_limited' },
    {
      why: 'a code wins over its type',
      status: 400,
      error: { code: 'insufficient_quota', type: 'rate_limit_error' },
      is: 'quota',
    },
    {
      why: 'a type wins over its status',
      status: 400,
      error: { type: 'overloaded_error', message: 'x' },
      is: 'overloaded',
    },
    {
      why: 'a server error is one as a 400, too',
      status: 400,
      error: { type: 'server_error', message: 'x' },
      is: 'server_error',
    },
    {
      why: 'but not beside a status that is sure',
      status: 401,
      error: { type: 'server_error', message: 'x' },
      is: 'auth',
    },
    { why: 'invalid_request_error says nothing', status: 401, error: { type: 'invalid_request_error' }, is: 'auth' },
    { why: 'a code that is a status', status: 500, error: { code: 429 }, is: 'rate_limited' },
    { why: 'the same as a string', status: 500, error: { code: '404' }, is: 'not_found' },
    { why: 'any case and any separators', status: 400, error: { code: 'DeploymentNotFound' }, is: 'not_found' },
    {
      why: 'a text does not make a 500 a rate limit',
      status: 500,
      error: { message: 'rate limit exceeded' },
      is: 'server_error',
    },
    {
      why: 'a text does not make a 401 a quota',
      status: 401,
      error: { message: 'exceeded your current quota' },
      is: 'auth',
    },
    {
      why: "Azure's inner code",
      status: 400,
      error: { code: 'BadRequest', innererror: { code: 'ResponsibleAIPolicyViolation' } },
      is: 'content_filter',
    },
  ])('$why', ({ status, error, is }) => {
    expect(classify(status, { error }).class).toBe(is);
  });
});

it("Amazon's header speaks as a type does", () => {
  expect(classify(400, { message: 'no' }, { 'x-amzn-errortype': 'ThrottlingException:http://x' }).class).toBe(
    'rate_limited',
  );
});

describe('known phrases, where structure leaves it open', () => {
  it.each([
    [400, "This model's maximum context length is 8192 tokens.", 'context_length'],
    [400, 'prompt is too long: 209000 tokens > 200000 maximum', 'context_length'],
    [400, 'input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000', 'context_length'],
    [400, 'The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).', 'context_length'],
    [400, "This model's maximum prompt length is 131072 but the request contains 200000 tokens.", 'context_length'],
    [400, 'Prompt contains 40000 tokens, too large for model with 32768 maximum context length', 'context_length'],
    [400, 'Your input exceeds the context window of this model.', 'context_length'],
    [400, 'Input is too long for requested model.', 'context_length'],
    [422, '`inputs` tokens + `max_new_tokens` must be <= 4097', 'context_length'],
    [500, 'Context size has been exceeded.', 'context_length'],
    [400, 'Your credit balance is too low to access the Anthropic API.', 'quota'],
    [429, 'You exceeded your current quota, please check your plan and billing details.', 'quota'],
    [429, 'Your team has either used all available credits or reached its monthly spending limit.', 'quota'],
    [400, 'API key not valid. Please pass a valid API key.', 'auth'],
    [400, 'User location is not supported for the API use.', 'permission'],
    [400, 'Output blocked by content filtering policy', 'content_filter'],
    [400, 'Invalid prompt: your prompt was flagged as potentially violating our usage policy.', 'content_filter'],
    [400, 'The model `x` does not exist or you do not have access to it.', 'not_found'],
    [400, 'foo/bar is not a valid model ID', 'not_found'],
    [400, 'model "llama3.1:8b" not found, try pulling it first', 'not_found'],
    [400, "Unsupported parameter: 'max_tokens' is not supported with this model.", 'unsupported'],
    [400, 'This model does not support assistant message prefill.', 'unsupported'],
    [400, 'Unrecognized request argument supplied: logit_bias', 'unsupported'],
    [400, 'max_tokens is too large: 50000. This model supports at most 16384 completion tokens.', 'unsupported'],
    [404, 'No endpoints found that support tool use.', 'unsupported'],
    [404, 'No endpoints found for foo/bar.', 'not_found'],
    [429, 'That model is currently overloaded with other requests.', 'overloaded'],
    [503, 'The server is at capacity.', 'overloaded'],
    [500, 'Model foo is currently loading', 'overloaded'],
    [400, "Invalid value: 'robot'. Supported values are: 'system', 'user'.", 'invalid_request'],
    [400, 'messages: text content blocks must be non-empty', 'invalid_request'],
  ] as const)('%i "%s" is %s', (status, message, failureClass) => {
    expect(classify(status, { error: { message, type: 'invalid_request_error', code: null } }).class).toBe(
      failureClass,
    );
  });
});

describe('whom a failure puts to rest', () => {
  it.each([
    { why: 'a wrong key: the provider', status: 401, error: { code: 'invalid_api_key' }, rests: 'provider' },
    {
      why: 'no access to a named model: the model',
      status: 403,
      error: { message: 'Project does not have access to model `gpt-4`' },
      rests: 'model',
    },
    {
      why: 'the same without quotes',
      status: 403,
      error: { message: 'You have no access to the model gpt-4o-mini' },
      rests: 'model',
    },
    {
      why: 'an unverified organisation and a named model',
      status: 403,
      error: { message: 'Your organization must be verified to use the model `o3`.' },
      rests: 'model',
    },
    { why: "a parameter that is the model's", status: 403, error: { message: 'no', param: 'model' }, rests: 'model' },
    { why: 'a code that is about a model', status: 403, error: { code: 'model_not_found' }, rests: 'model' },
    { why: 'a country: the provider', status: 403, error: { message: 'Country not supported' }, rests: 'provider' },
    { why: 'the word alone names none', status: 403, error: { message: 'No model may be used.' }, rests: 'provider' },
    { why: 'no money: the provider', status: 402, error: { message: 'Insufficient credits' }, rests: 'provider' },
    { why: 'a model that is gone: the model', status: 404, error: {}, rests: 'model' },
    { why: 'overload: the model', status: 529, error: {}, rests: 'model' },
    { why: 'a rate limit: the model', status: 429, error: {}, rests: 'model' },
    { why: 'a server error: nobody', status: 500, error: {}, rests: 'none' },
    { why: 'a bad request: nobody', status: 400, error: {}, rests: 'none' },
  ])('$why', ({ status, error, rests }) => {
    expect(classify(status, { error }).restScope).toBe(rests);
  });

  it('a daily limit that Google names by model rests that model', () => {
    const violations = [{ quotaId: 'PerDayPerProject', quotaDimensions: { model: 'gemini-2.5-pro' } }];
    const failure = classify(429, [{ error: { status: 'RESOURCE_EXHAUSTED', details: [{ violations }] } }]);
    expect(failure).toMatchObject({ class: 'quota', restScope: 'model' });
  });
});

describe('a request that is larger than the limit itself', () => {
  it.each([
    'Request too large for gpt-4 in organization org-abc on tokens per min (TPM): Limit 10000, Requested 14212.',
    'Rate limit reached on tokens per min: Limit 10000, Used 0, Requested 14212.',
  ])('is not retried and rests nobody: %s', (message) => {
    const headers = { 'retry-after': '3' };
    const failure = classify(429, { error: { message, type: 'tokens', code: 'rate_limit_exceeded' } }, headers);
    expect(failure).toMatchObject({ class: 'rate_limited', restScope: 'none', neverRetry: true });
    expect(failure.retryAfterMs).toBeUndefined();
  });

  it('is one as a 413, too', () => {
    const message = 'Request too large for model `x` on tokens per minute (TPM): Limit 6000, Requested 8057';
    expect(classify(413, { error: { message } })).toMatchObject({ class: 'rate_limited', neverRetry: true });
  });

  it('is not one that only came too soon', () => {
    const message = 'Rate limit reached on tokens per min: Limit 10000, Used 9981, Requested 60.';
    const failure = classify(429, { error: { message, code: 'rate_limit_exceeded' } });
    expect(failure.restScope).toBe('model');
    expect(failure.neverRetry).toBeUndefined();
  });
});

describe('x-should-retry: false', () => {
  it('forbids a retry, whatever the failure is', () => {
    const headers = { 'x-should-retry': 'false' };
    expect(classify(500, '', headers).neverRetry).toBe(true);
    expect(classify(307, '', headers).neverRetry).toBe(true);
    expect(classifyErrorPayload({ error: 'x' }, headers, WALL_EPOCH_MS).neverRetry).toBe(true);
    expect(classify(500, '', { 'x-should-retry': 'true' }).neverRetry).toBeUndefined();
  });
});

it('our own words rest nobody', () => {
  expect(ownFailure('timeout_ttft', 'no first token within 30000 ms')).toEqual({
    class: 'timeout_ttft',
    error: { message: 'no first token within 30000 ms', type: null, code: 'timeout_ttft', param: null },
    restScope: 'none',
  });
});

describe('whatever comes', () => {
  const headers = fc.dictionary(
    fc.oneof(
      fc.string(),
      fc.constantFrom('retry-after', 'content-type', 'x-should-retry', 'x-ratelimit-reset-a', '__proto__'),
    ),
    fc.string(),
  );
  const key = fc.constantFrom(
    'error',
    'message',
    'code',
    'type',
    'detail',
    'details',
    'errors',
    'status',
    'loc',
    'metadata',
    '__proto__',
  );
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof({ maxDepth: 5 }, fc.jsonValue(), fc.array(tie('tree')), fc.dictionary(key, tie('tree'))),
  }));
  const body = fc.oneof(
    fc.string(),
    fc.json(),
    tree.map((value) => JSON.stringify(value) ?? ''),
  );

  it('nothing throws, and every failure can be told', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 999 }), headers, body, (status, some, text) => {
        const { error } = classifyResponse({ status, headers: some, body: text }, WALL_EPOCH_MS);
        expect(error.message.length).toBeGreaterThan(0);
        expect(error.message.length).toBeLessThanOrEqual(2_000);
      }),
    );
    fc.assert(
      fc.property(tree, headers, (payload, some) => {
        isErrorPayload(payload);
        streamErrorFailure(payload, some, WALL_EPOCH_MS);
      }),
    );
    fc.assert(
      fc.property(
        fc.anything(),
        fc.constantFrom('head', 'body', 'stream'),
        (error, phase) => void classifyWireError(error, phase),
      ),
    );
  });

  it('64 KiB of anything is read within 50 ms', () => {
    for (const piece of [
      'a',
      '[',
      '{"error":',
      'limit ',
      'model ',
      'exceeds ',
      'context ',
      ' ',
      '<',
      'limit 1 requested ',
    ]) {
      const text = piece.repeat(Math.ceil(65_536 / piece.length));
      for (const body64k of [text, JSON.stringify({ error: { message: text } })]) {
        const tookMs = [1, 2, 3].map(() => {
          const startedAtMs = performance.now();
          classify(400, body64k);
          return performance.now() - startedAtMs;
        });
        expect(Math.min(...tookMs)).toBeLessThan(50);
      }
    }
  });
});
