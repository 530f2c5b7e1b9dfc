/**
 * Which headers pass the gateway: its own words to the caller, nothing of the caller's account to an upstream, nothing
 * of an upstream's account to the caller.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { reply, startScriptedModel, type Reply, type ScriptedModel } from '../../src/testing.js';
import { askGateway } from '../app/ask-gateway.js';
import { NEVER_OPENS } from '../app/policies.js';
import { type RunningGateway, startGateway } from '../app/start-gateway.js';

// Processes are started, on machines that may be busy.
vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 });

const OPERATORS_KEY = 'key-of-the-operator-417';
const UUID = /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/u;

let upstream: ScriptedModel;
let elsewhere: ScriptedModel;
let gateway: RunningGateway;

beforeAll(async () => {
  upstream = await startScriptedModel('hello');
  elsewhere = await startScriptedModel('nobody should come here');
  gateway = await startGateway({
    config: {
      providers: { openai: { baseUrl: upstream.baseUrl, apiKey: '${PROVIDER_KEY}' } },
      models: { 'gpt-4': { provider: 'openai' } },
      chains: { default: ['gpt-4'] },
      policy: { maxRetries: 0, breaker: NEVER_OPENS },
    },
    env: { PROVIDER_KEY: OPERATORS_KEY },
  });
});

afterAll(async () => {
  await gateway.stop();
  await upstream.close();
  await elsewhere.close();
});

afterEach(() => upstream.use('hello'));

interface Way {
  readonly way: string;
  readonly path: string;
  readonly body: object;
}

const CHAT = { model: 'gpt-4', messages: [{ role: 'user', content: 'hello' }] };
const WAYS: readonly Way[] = [
  { way: 'whole', path: '/v1/chat/completions', body: CHAT },
  { way: 'stream', path: '/v1/chat/completions', body: { ...CHAT, stream: true } },
  { way: 'chat', path: '/chat', body: { message: 'hello' } },
  { way: 'chat stream', path: '/chat', body: { message: 'hello', stream: true } },
];

const ask = ({ path, body }: Way, headers: Readonly<Record<string, string>> = {}) =>
  askGateway(gateway.url, body, { path, headers });

describe.each(WAYS)('by way of $way', (way) => {
  it('a printable request id of at most 128 characters comes back, in answers and in errors', async () => {
    for (const said of ['hello', reply.error(500)]) {
      upstream.use(said);
      for (const id of ['mine', 'a'.repeat(128), '{"~!@#$%^&*()}', 'with a blank']) {
        expect((await ask(way, { 'x-request-id': id })).headers['x-request-id']).toBe(id);
      }
    }
  });

  it('any other id is made anew, each time another', async () => {
    const ids = ['', 'a'.repeat(129), 'b\tb', 'é'].map((id) => ({ 'x-request-id': id }));
    const views = await Promise.all([{}, ...ids].map((headers) => ask(way, headers)));
    const made = views.map(({ headers }) => headers['x-request-id']);
    for (const id of made) expect(id).toMatch(UUID);
    expect(new Set(made).size).toBe(made.length);
  });

  it('an answer tells the model, the attempts and the trace', async () => {
    const { headers } = await ask(way);
    expect(headers).toMatchObject({
      'x-fallback-model': 'gpt-4',
      'x-fallback-attempts': '1',
      'x-fallback-used': 'false',
      'x-fallback-trace': expect.stringMatching(/^gpt-4;ok;\d+ms$/u),
    });
    expect(headers).not.toHaveProperty('x-should-retry');
  });

  it('nothing of the caller’s account goes up', async () => {
    await ask(way, {
      authorization: 'Bearer sk-of-the-caller',
      'api-key': 'key-of-the-caller',
      'x-api-key': 'key-of-the-caller',
      cookie: 'session=of-the-caller',
      'proxy-authorization': 'Basic b2Y6Y2FsbGVy',
      'openai-organization': 'org-of-the-caller',
      'openai-project': 'proj-of-the-caller',
      'x-forwarded-for': '10.1.2.3',
    });
    const { headers = {} } = upstream.calls.at(-1) ?? {};
    expect(headers.authorization).toBe(`Bearer ${OPERATORS_KEY}`);
    expect(JSON.stringify(headers)).not.toMatch(/of-the-caller|b2Y6Y2FsbGVy|10\.1\.2\.3/u);
  });

  it.each([
    { why: 'answers', said: reply.text('hello') },
    { why: 'fails', said: reply.error(500) },
    { why: 'refuses', said: reply.error(400, { type: 'invalid_request_error', code: 'invalid_value' }) },
  ])('nothing of the upstream’s account comes back where it $why', async ({ said }) => {
    upstream.use(
      withHeaders(said, {
        'set-cookie': 'session=of-the-upstream',
        'openai-organization': 'org-of-the-upstream',
        'openai-project': 'proj-of-the-upstream',
        'x-request-id': 'req-of-the-upstream',
        'x-ratelimit-remaining-requests': 'of-the-upstream',
        'x-fallback-model': 'of-the-upstream',
        'access-control-allow-origin': 'https://of-the-upstream.example',
        server: 'of-the-upstream',
      }),
    );
    const view = await ask(way);
    expect(JSON.stringify(view.headers)).not.toContain('of-the-upstream');
    expect(view.body).not.toContain('of-the-upstream');
  });

  it.each([301, 302, 303, 307, 308])('a redirect (%i) is not followed: it is a bad response', async (status) => {
    upstream.use(reply.json(status, {}, { headers: { location: `${elsewhere.baseUrl}/chat/completions` } }));
    const view = await ask(way);
    expect(view.status).toBe(502);
    expect(view.trace).toMatchObject([{ model: 'gpt-4', class: 'bad_response' }]);
    expect(JSON.stringify(view)).not.toContain(elsewhere.baseUrl);
    expect([...elsewhere.calls, ...elsewhere.polls]).toEqual([]);
  });

  it('no origin is let in', async () => {
    const { headers } = await ask(way, { origin: 'https://evil.example' });
    expect(Object.keys(headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
  });
});

function withHeaders(said: Reply, headers: Record<string, string>): Reply {
  if (typeof said === 'string' || said.type === 'raw' || said.type === 'hang') return said;
  return { ...said, headers: { ...said.headers, ...headers } };
}

describe('a request that reached no model', () => {
  it.each([
    { why: 'an unknown model', path: '/v1/chat/completions', body: { ...CHAT, model: 'nobody' }, status: 404 },
    { why: 'an unknown chain', path: '/chat', body: { message: 'hello', chain: 'nobody' }, status: 404 },
    { why: 'no messages', path: '/v1/chat/completions', body: { model: 'gpt-4' }, status: 400 },
    { why: 'no message', path: '/chat', body: {}, status: 400 },
  ])('for $why says nothing of attempts, and is not to be tried again: $status', async ({ path, body, status }) => {
    const before = upstream.calls.length;
    const view = await askGateway(gateway.url, body, { path, headers: { 'x-request-id': 'mine' } });
    expect(view.status).toBe(status);
    expect(view.error).not.toHaveProperty('attempts');
    expect(view.headers).toMatchObject({ 'x-request-id': 'mine', 'x-should-retry': 'false' });
    expect(Object.keys(view.headers).filter((name) => name.startsWith('x-fallback'))).toEqual([]);
    expect(upstream.calls).toHaveLength(before);
  });
});
