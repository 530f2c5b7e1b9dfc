/** Callers' keys on the running gateway; the table of headers stands beside `Callers`. */
import { PassThrough } from 'node:stream';
import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { asArray, asObject } from '../../src/simulation/json-value.js';
import { startScriptedModel, type ScriptedModel } from '../../src/testing.js';
import { type RunningGateway, startGateway } from '../app/start-gateway.js';

// Processes are started, on machines that may be busy.
vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 });

let model: ScriptedModel;

beforeAll(async () => {
  model = await startScriptedModel(({ body }) => `${asArray(body['messages']).length} messages`);
});

afterAll(async () => {
  await model.close();
});

const as = (key: string) => ({ authorization: `Bearer ${key}` });

describe('a gateway with keys', () => {
  let gateway: RunningGateway;

  beforeAll(async () => {
    const env = { FALLBACK_API_KEYS: 'sesame-one,sesame-two', OPENAI_BASE_URL: model.baseUrl, HOST: '0.0.0.0' };
    gateway = await startGateway({ env });
  });
  afterAll(async () => {
    await gateway.stop();
  });

  const at = (path: string) => `${gateway.url.replace('0.0.0.0', '127.0.0.1')}${path}`;
  const chat = async (key: string, body: object) => {
    const headers = { 'content-type': 'application/json', ...as(key) };
    const response = await fetch(at('/chat'), { method: 'POST', headers, body: JSON.stringify(body) });
    return asObject(await response.json())['content'];
  };

  it.each([
    ['POST', '/chat'],
    ['POST', '/v1/chat/completions'],
    ['DELETE', '/chat/u'],
    ['GET', '/v1/models'],
    ['GET', '/metrics'],
    ['GET', '/metrics/models'],
    ['GET', '/health'],
    ['GET', '/nowhere'],
    ['OPTIONS', '/chat'],
  ])('%s %s wants one', async (method, path) => {
    const response = await fetch(at(path), { method });
    expect(response.status).toBe(401);
    expect(response.headers.get('www-authenticate')).toMatch(/^Basic /u);
    expect(await response.json()).toMatchObject({
      error: { type: 'invalid_request_error', code: 'invalid_api_key', param: null },
    });
  });

  it.each(['/health/live', '/health/ready', '/health/startup'])('GET %s wants none', async (path) => {
    expect((await fetch(at(path))).status).toBe(200);
  });

  it('answers who has one, and lets Prometheus in with Basic', async () => {
    expect(await chat('sesame-two', { message: 'hello' })).toBe('1 messages');
    const basic = `Basic ${Buffer.from('prometheus:sesame-one').toString('base64')}`;
    expect((await fetch(at('/metrics'), { headers: { authorization: basic } })).status).toBe(200);
  });

  it('refuses before a byte of the body is read', async () => {
    const body = new PassThrough().on('error', () => {});
    body.write('{');
    const { statusCode } = await request(at('/chat'), {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'content-length': '1000' },
      body,
    });
    expect(statusCode).toBe(401);
  });

  it('keeps what two keys say under one userId apart', async () => {
    expect(await chat('sesame-one', { message: 'hello', userId: 'u' })).toBe('1 messages');
    expect(await chat('sesame-one', { message: 'again', userId: 'u' })).toBe('3 messages');
    expect(await chat('sesame-two', { message: 'hello', userId: 'u' })).toBe('1 messages');
    await fetch(at('/chat/u'), { method: 'DELETE', headers: as('sesame-two') });
    expect(await chat('sesame-one', { message: 'again', userId: 'u' })).toBe('5 messages');
  });

  it('sends no key of a caller upstream, and writes none into its log', async () => {
    await chat('sesame-one', { message: 'hello' });
    expect(JSON.stringify(model.calls.map(({ headers, bodyText }) => [headers, bodyText]))).not.toContain('sesame');
    expect(gateway.logs()).not.toContain('sesame');
  });
});

describe('a gateway without keys on loopback', () => {
  let gateway: RunningGateway;

  beforeAll(async () => {
    gateway = await startGateway({ env: { OPENAI_BASE_URL: model.baseUrl } });
  });
  afterAll(async () => {
    await gateway.stop();
  });

  const statusFor = async (host: string, path = '/v1/models') => {
    const response = await request(`${gateway.url}${path}`, { headers: { host } });
    await response.body.dump();
    return response.statusCode;
  };

  it('answers to the names of this machine alone', async () => {
    expect(await statusFor('localhost:3000')).toBe(200);
    expect(await statusFor('127.0.0.1')).toBe(200);
    expect(await statusFor('rebound.example:3000')).toBe(403);
    expect(await statusFor('rebound.example', '/health/live')).toBe(403);
    expect(await statusFor('rebound.example', '/nowhere')).toBe(403);
  });

  it('allows no page of another origin to read an answer', async () => {
    const response = await fetch(`${gateway.url}/v1/models`, { headers: { origin: 'https://page.example' } });
    expect(response.headers.get('access-control-allow-origin')).toBeNull();
  });
});

it('a gateway that was told to let anyone call answers to any name', async () => {
  const gateway = await startGateway({
    env: { OPENAI_BASE_URL: model.baseUrl, HOST: '0.0.0.0', FALLBACK_ALLOW_ANONYMOUS: 'true' },
  });
  const { statusCode } = await request(`${gateway.url.replace('0.0.0.0', '127.0.0.1')}/v1/models`, {
    headers: { host: 'gateway.example' },
  });
  expect(statusCode).toBe(200);
  await gateway.stop();
});
