import { describe, expect, it } from 'vitest';
import { classifyErrorPayload, classifyResponse, isErrorPayload, streamErrorFailure } from './classify.js';

const WALL_EPOCH_MS = Date.UTC(2024, 10, 24, 12);

function classify(status: number, body: unknown, headers: Record<string, string> = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return classifyResponse({ status, headers, body: text }, WALL_EPOCH_MS);
}

describe("an upstream's error in OpenAI's words", () => {
  it.each([
    {
      why: "OpenAI's own",
      body: { error: { message: 'No.', type: 'invalid_request_error', code: 'invalid_value', param: 'messages[0]' } },
      error: { message: 'No.', type: 'invalid_request_error', code: 'invalid_value', param: 'messages[0]' },
    },
    {
      why: "Anthropic's",
      body: { type: 'error', error: { type: 'invalid_request_error', message: 'No.' }, request_id: 'req_1' },
      error: { message: 'No.', type: 'invalid_request_error', code: null, param: null },
    },
    {
      why: "Google's, in a list",
      body: [{ error: { code: 400, message: 'No.', status: 'INVALID_ARGUMENT', details: [{ reason: 'BAD' }] } }],
      error: { message: 'No.', type: 'INVALID_ARGUMENT', code: 'BAD', param: null },
    },
    {
      why: "vLLM's, at the top; a code is a string",
      body: { object: 'error', message: 'No.', type: 'BadRequestError', param: null, code: 400 },
      error: { message: 'No.', type: 'BadRequestError', code: '400', param: null },
    },
    {
      why: "an event of OpenAI's Responses API",
      body: { type: 'error', code: 'invalid_value', message: 'No.', param: 'n', sequence_number: 3 },
      error: { message: 'No.', type: null, code: 'invalid_value', param: 'n' },
    },
    { why: 'a text', body: { error: 'No.' }, error: { message: 'No.', type: null, code: null, param: null } },
    { why: "FastAPI's", body: { detail: 'No.' }, error: { message: 'No.', type: null, code: null, param: null } },
    {
      why: "FastAPI's list of faults",
      body: { detail: [{ loc: ['body', 'messages', 0], msg: 'field required', type: 'value_error.missing' }] },
      error: { message: 'messages.0: field required', type: 'value_error.missing', code: null, param: 'messages.0' },
    },
    {
      why: "Mistral's faults where the message should be",
      body: {
        object: 'error',
        message: { detail: [{ loc: ['body', 'top_p'], msg: 'too large' }] },
        type: 'invalid_request_error',
      },
      error: { message: 'top_p: too large', type: 'invalid_request_error', code: null, param: 'top_p' },
    },
    {
      why: "OAuth's word and its description",
      body: { error: 'invalid_scope', error_description: 'No.' },
      error: { message: 'No.', type: null, code: 'invalid_scope', param: null },
    },
    {
      why: 'a gateway behind a gateway',
      body: { error: { error: { message: 'No.', code: 'invalid_value' } } },
      error: { message: 'No.', type: null, code: 'invalid_value', param: null },
    },
    {
      why: 'a list of errors',
      body: { errors: [{ message: 'No.', code: 7 }] },
      error: { message: 'No.', type: null, code: '7', param: null },
    },
    { why: 'plain text', body: 'No.', error: { message: 'No.', type: null, code: null, param: null } },
  ])('$why', ({ body, error }) => {
    expect(classify(400, body).error).toEqual(error);
  });

  it.each([
    { why: 'HTML', body: '<html><body>Bad Gateway</body></html>', headers: {}, message: 'HTTP 502 with an HTML page' },
    {
      why: 'what says that it is HTML',
      body: 'x',
      headers: { 'content-type': 'text/html' },
      message: 'HTTP 502 with an HTML page',
    },
    {
      why: 'HTML in JSON',
      body: '{"error":{"message":"502 <html>\\n<head>"}}',
      headers: {},
      message: 'HTTP 502 without an error message',
    },
    { why: 'nothing', body: '', headers: {}, message: 'HTTP 502 with an empty body' },
    {
      why: 'JSON that was cut',
      body: '{"error":{"mess',
      headers: {},
      message: 'HTTP 502 with a body that is not JSON',
    },
    { why: 'bytes', body: 'PK\u0003\u0004', headers: {}, message: 'HTTP 502 with a body that is not JSON' },
  ])('is put into ours where it has none: $why', ({ body, headers, message }) => {
    expect(classify(502, body, headers).error.message).toBe(message);
  });

  it('carries no key and no organisation, in no field', () => {
    const secret = 'sk-proj-abcdefghijklmnop0123456789';
    const failure = classify(400, {
      error: { message: `a ${secret} org-abc`, type: secret, code: secret, param: secret },
    });
    expect(JSON.stringify(failure)).not.toMatch(/sk-proj|org-abc/);
  });

  it('is not longer than 2,000 characters, and has no half character at its end', () => {
    const { message } = classify(400, { error: { message: '\u{1F642}'.repeat(3_000) } }).error;
    expect(message.length).toBeLessThanOrEqual(2_000);
    expect(message.isWellFormed()).toBe(true);
  });
});

describe('an error inside a 200', () => {
  it.each([
    { why: 'a code of its own', payload: { error: { code: 429, message: 'x' } }, is: 'rate_limited' },
    { why: 'a type', payload: { type: 'error', error: { type: 'overloaded_error', message: 'x' } }, is: 'overloaded' },
    {
      why: 'a request that was refused',
      payload: { error: { type: 'invalid_request_error', message: 'x' } },
      is: 'invalid_request',
    },
    { why: 'only a text', payload: { error: 'model "x" not found, try pulling it first' }, is: 'not_found' },
    { why: 'only a text that says nothing', payload: { error: 'boom' }, is: 'server_error' },
    {
      why: 'OpenRouter: flagged',
      payload: { error: { code: 403, message: 'x', metadata: { reasons: ['hate'] } } },
      is: 'content_filter',
    },
    {
      why: "what OpenRouter's provider said",
      payload: { error: { message: 'Provider returned error', metadata: { raw: 'too many requests' } } },
      is: 'rate_limited',
    },
  ])('has the class of its content: $why', ({ payload, is }) => {
    expect(isErrorPayload(payload)).toBe(true);
    expect(classifyErrorPayload(payload, {}, WALL_EPOCH_MS)).toMatchObject({ class: is, status: 200 });
  });

  it('is a stream_error after the first token, and rests nobody', () => {
    const failure = streamErrorFailure({ error: { code: 429, message: 'x' } }, { 'retry-after': '9' }, WALL_EPOCH_MS);
    expect(failure).toMatchObject({ class: 'stream_error', underlying: 'rate_limited', restScope: 'none' });
    expect(failure.retryAfterMs).toBeUndefined();
  });

  it.each([
    { payload: { error: { message: 'x' } }, is: true },
    { payload: { error: 'x' }, is: true },
    { payload: { error: true, message: 'x' }, is: true },
    { payload: [{ error: { message: 'x' } }], is: true },
    { payload: { object: 'error', message: 'x' }, is: true },
    { payload: { type: 'error', error: {} }, is: true },
    { payload: { error: { code: 502 }, choices: [{ delta: {} }] }, is: true },
    { payload: { error: null, choices: [] }, is: false },
    { payload: { error: '', choices: [] }, is: false },
    { payload: { error: {}, choices: [] }, is: false },
    { payload: { object: 'chat.completion', choices: [] }, is: false },
    { payload: 'error', is: false },
    { payload: null, is: false },
    { payload: [], is: false },
  ])('is told from an answer: $payload is $is', ({ payload, is }) => {
    expect(isErrorPayload(payload)).toBe(is);
  });
});
