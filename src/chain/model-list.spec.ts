import { describe, expect, it } from 'vitest';
import { ownFailure } from '../upstream/classify.js';
import { type ProviderReading, readModelList } from './model-list.js';

const OPENAI = { kind: 'openai' } as const;

function answered(status: number, body: unknown, kind: 'openai' | 'azure' = 'openai'): ProviderReading {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return readModelList({ kind }, { type: 'answered', status, headers: {}, body: text }, 0);
}

function has(reading: ProviderReading, id: string): boolean | undefined {
  return reading.type === 'listed' ? reading.has(id) : undefined;
}

describe('a list of models', () => {
  it.each([
    { why: 'OpenAI', body: { object: 'list', data: [{ id: 'gpt-4' }] }, there: 'gpt-4', missing: 'gpt-5' },
    { why: 'a bare list', body: [{ id: 'gpt-4' }], there: 'gpt-4', missing: 'gpt-5' },
    { why: 'names alone', body: { data: ['gpt-4'] }, there: 'gpt-4', missing: 'gpt-5' },
    { why: 'Google', body: { models: [{ name: 'models/gemini' }] }, there: 'gemini', missing: 'models/other' },
    { why: 'the prefix asked for', body: { models: [{ name: 'gemini' }] }, there: 'models/gemini', missing: 'x' },
    { why: 'Ollama’s latest', body: { data: [{ id: 'llama3:latest' }] }, there: 'llama3', missing: 'llama3:70b' },
    { why: 'OpenRouter’s variants', body: { data: [{ id: 'r1' }] }, there: 'r1:nitro', missing: 'r2:nitro' },
    { why: 'no model at all', body: { data: [] }, there: undefined, missing: 'gpt-4' },
  ])('names the models that are there: $why', ({ body, there, missing }) => {
    const reading = answered(200, body);
    if (there !== undefined) expect(has(reading, there)).toBe(true);
    expect(has(reading, missing)).toBe(false);
  });

  it.each([
    { why: 'one page of several', body: { data: [{ id: 'a' }], has_more: true }, kind: 'openai' },
    { why: 'a shape that nobody knows', body: { answer: 42 }, kind: 'openai' },
    { why: 'Azure lists what could be deployed', body: { data: [{ id: 'gpt-4-base' }] }, kind: 'azure' },
  ] as const)('says nothing against a model that it does not name: $why', ({ body, kind }) => {
    expect(has(answered(200, body, kind), 'my-model')).toBe(true);
  });
});

describe('an answer that is no list', () => {
  it.each([
    { why: 'no such route', status: 404, body: { error: { message: 'Not Found' } } },
    { why: 'no such method', status: 405, body: '' },
    { why: 'not implemented', status: 501, body: '' },
    { why: 'refused as a request', status: 400, body: { error: { message: 'bad', type: 'invalid_request_error' } } },
    {
      why: 'a key that may chat, but not list',
      status: 403,
      body: { error: { message: 'You have insufficient permissions. Missing scopes: api.model.read.' } },
    },
  ])('tells nothing of the models: $why', ({ status, body }) => {
    expect(answered(status, body)).toEqual({ type: 'silent', status });
  });

  it.each([
    { status: 401, body: { error: { message: 'wrong key' } }, class: 'auth' },
    { status: 403, body: { error: { message: 'no' } }, class: 'permission' },
    { status: 402, body: '', class: 'quota' },
    { status: 429, body: '', class: 'rate_limited' },
    { status: 500, body: '', class: 'server_error' },
    { status: 307, body: '', class: 'bad_response' },
    { status: 200, body: '<html>Sign in</html>', class: 'bad_response' },
    { status: 200, body: { error: { message: 'wrong key', code: 'invalid_api_key' } }, class: 'auth' },
  ])('is a failure of its class: $status → $class', ({ status, body, class: failureClass }) => {
    expect(answered(status, body)).toMatchObject({ type: 'failed', failure: { class: failureClass, status } });
  });

  it('keeps what the transport failed with', () => {
    const failure = ownFailure('network', 'connection refused');
    expect(readModelList(OPENAI, { type: 'failed', failure }, 0)).toEqual({ type: 'failed', failure });
  });
});
