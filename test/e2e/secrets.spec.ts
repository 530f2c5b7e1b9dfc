/**
 * No key in any response, header, log line or metric: keys are planted wherever one can come from, and everything that
 * the gateway says is searched for each of them.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { reply, startScriptedModel, type Reply, type ScriptedCall, type ScriptedModel } from '../../src/testing.js';
import { runCommand } from '../app/run-program.js';
import { type RunningGateway, startGateway } from '../app/start-gateway.js';

// Processes are started, on machines that may be busy.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

/** By where each was planted. Those that look like no key at all are known to the gateway; the others only look like one. */
const PLANTED = {
  'the provider’s key': 'sk-proj-pLaNtEdOpErAtOr0123456789abcdefXYZ1',
  'the key of a provider that makes up its own': 'correct-horse-battery',
  'a caller’s key': 'open-sesame-of-caller-one',
  'another caller’s key': 'open-sesame-of-caller-two',
  'a key that is none of ours, presented by a caller': 'sk-wRoNgKeYpResented0123456789abcdefghijk',
  'a key in a prompt': 'sk-ant-api03-pLaNtEdInPrOmPt0123456789abcd',
  'a key that the upstream made up': 'gsk_pLaNtEdByUpStReAm0123456789abcdefghij',
  'a key in the model’s place': 'sk-proj-pLaNtEdAsMoDeL0123456789abcdefghij',
  'a key in an address': 'sk-proj-pLaNtEdInAdDrEsS0123456789abcdefgh',
  'a key in a header of ours': 'sk-proj-pLaNtEdInHeAdEr0123456789abcdefgh',
  'a key as the name of a parameter': 'sk-proj-pLaNtEdAsPaRaM0123456789abcdefghij',
  'a key written into the config file': 'sk-proj-pLaNtEdInFiLe0123456789abcdefghijk',
  'the tail of a key that the upstream elided': 'wXy9',
} as const;

const PROVIDER_KEY = PLANTED['the provider’s key'];
const OTHER_PROVIDER_KEY = PLANTED['the key of a provider that makes up its own'];
const CALLER_KEY = PLANTED['a caller’s key'];
const OTHER_CALLER_KEY = PLANTED['another caller’s key'];
const SAID_BY_UPSTREAM = [
  `Incorrect API key provided: ${PROVIDER_KEY}.`,
  `Bearer ${OTHER_PROVIDER_KEY} is unknown, try https://u:${OTHER_PROVIDER_KEY}@api.example/v1?key=${OTHER_PROVIDER_KEY}`,
  `sk-proj...${PLANTED['the tail of a key that the upstream elided']} belongs to ${PLANTED['a key that the upstream made up']}`,
].join(' ');

interface Fault {
  readonly why: string;
  readonly say: (call: ScriptedCall) => Reply;
}

/** Repeats the key that it was sent and the prompt, in every place where a text can stand. */
const echo = ({ headers, bodyText }: ScriptedCall) => `${SAID_BY_UPSTREAM} ${headers.authorization} ${bodyText}`;
const echoes = (call: ScriptedCall) => ({ message: echo(call), type: echo(call), code: echo(call), param: echo(call) });
const FAULTS: readonly Fault[] = [
  ...[400, 401, 403, 404, 413, 422, 429, 500, 503].map((status) => ({
    why: String(status),
    say: (call: ScriptedCall) =>
      reply.error(status, { message: echo(call), type: null }, { headers: { 'x-echo': SAID_BY_UPSTREAM } }),
  })),
  ...[400, 500].map((status) => ({
    why: `${status} in every field`,
    say: (call: ScriptedCall) => reply.error(status, echoes(call)),
  })),
  { why: 'an invalid request', say: (call) => reply.error(400, { ...echoes(call), type: 'invalid_request_error' }) },
  { why: 'a text that is no JSON', say: (call) => reply.json(400, echo(call)) },
  {
    why: 'an unknown shape',
    say: (call) => reply.json(422, { detail: [{ loc: ['body', 'messages'], msg: echo(call) }] }),
  },
  { why: 'an error inside a 200', say: (call) => reply.errorInside200(echoes(call)) },
  { why: 'an answer that breaks off', say: () => reply.text(['Well, '], { breakAfter: { deltas: 1, by: 'error' } }) },
  {
    why: 'a redirect',
    say: () => reply.json(307, {}, { headers: { location: `https://x.example/?key=${PROVIDER_KEY}` } }),
  },
  { why: 'a reset', say: () => reply.reset() },
];

let upstream: ScriptedModel;
let gateway: RunningGateway;
/** All that came back, heads and bodies. */
const heard: string[] = [];

beforeAll(async () => {
  upstream = await startScriptedModel((call) => FAULTS[Number(call.model)]?.say(call) ?? 'hello', {
    list: (call) => reply.error(401, { message: echo(call), code: 'invalid_api_key' }),
  });
  const models = FAULTS.map((_, index) => String(index));
  gateway = await startGateway({
    config: {
      providers: Object.fromEntries(
        models.map((name) => [
          `p${name}`,
          { baseUrl: upstream.baseUrl, apiKey: Number(name) % 2 === 0 ? '${ONE_KEY}' : '${OTHER_KEY}' },
        ]),
      ),
      models: Object.fromEntries(models.map((name) => [name, { provider: `p${name}` }])),
      chains: { default: models, ...Object.fromEntries(models.map((name) => [`alone-${name}`, [name]])) },
      policy: { maxRetries: 0, deadlineMs: 2_000 },
    },
    env: {
      ONE_KEY: PROVIDER_KEY,
      OTHER_KEY: OTHER_PROVIDER_KEY,
      FALLBACK_API_KEYS: `${CALLER_KEY},${OTHER_CALLER_KEY}`,
      FALLBACK_LOG_FILE: 'logs/fallback.log',
      FALLBACK_LOG_LEVEL: 'trace',
      // The worst case: what upstreams said is logged.
      FALLBACK_LOG_CONTENT: 'true',
    },
  });
  for (const index of FAULTS.keys()) await askInEveryWay(`alone-${index}`);
  await askInEveryWay('default');
  await sayNonsense();
  await readEverything();
  await reloadWithKeyInFile();
});

afterAll(async () => {
  await gateway.stop();
  await upstream.close();
});

interface Said {
  readonly method?: 'GET' | 'POST' | 'DELETE';
  readonly key?: string;
  readonly headers?: Record<string, string>;
  readonly body?: object | string;
}

async function say(path: string, { method = 'POST', key = CALLER_KEY, headers, body }: Said = {}): Promise<void> {
  const response = await request(`${gateway.url}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${key}`,
      ...(method === 'POST' ? { 'content-type': 'application/json' } : {}),
      ...headers,
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  heard.push(`${response.statusCode} ${JSON.stringify(response.headers)} ${await response.body.text()}`);
}

async function askInEveryWay(chain: string): Promise<void> {
  const prompt = `My key is ${PLANTED['a key in a prompt']}.`;
  for (const stream of [false, true]) {
    const messages = [{ role: 'user', content: prompt }];
    await say('/v1/chat/completions', { body: { model: chain, messages, stream } });
    await say('/chat', { body: { message: prompt, userId: 'u', chain, stream }, key: OTHER_CALLER_KEY });
  }
}

/** Keys where none belongs. */
async function sayNonsense(): Promise<void> {
  const messages = [{ role: 'user', content: 'hello' }];
  const wrong = PLANTED['a key that is none of ours, presented by a caller'];
  const asModel = PLANTED['a key in the model’s place'];
  const asParam = PLANTED['a key as the name of a parameter'];
  const inHeader = PLANTED['a key in a header of ours'];
  const inAddress = PLANTED['a key in an address'];
  const basic = `Basic ${Buffer.from(`u:${wrong}`).toString('base64')}`;
  await say('/chat', { body: { message: 'hello' }, key: wrong });
  await say('/chat', { body: { message: 'hello' }, headers: { authorization: basic } });
  await say('/v1/chat/completions', { body: { model: asModel, messages } });
  await say('/v1/chat/completions', { body: { model: 'default', models: [asModel], messages } });
  await say('/chat', { body: { message: 'hello', chain: asModel } });
  await say('/chat', { body: { message: 'hello', [asParam]: 1 } });
  await say('/chat', { body: `{"message": "${asParam}" "` });
  for (const name of ['x-fallback', 'x-fallback-deadline-ms', 'x-fallback-drill']) {
    await say('/chat', { body: { message: 'hello', chain: 'alone-0' }, headers: { [name]: inHeader } });
  }
  await say(`/nowhere/${inAddress}?api_key=${inAddress}`, { method: 'GET' });
  await say(`/v1/models?api_key=${inAddress}`, { method: 'GET' });
  await say('/chat', { body: 'message=hello', headers: { 'content-type': `text/${inHeader}` } });
}

async function readEverything(): Promise<void> {
  for (const path of ['/metrics', '/metrics/models', '/health', '/health/ready', '/v1/models']) {
    await say(path, { method: 'GET' });
  }
  await say('/chat/u', { method: 'DELETE' });
}

async function reloadWithKeyInFile(): Promise<void> {
  const key = PLANTED['a key written into the config file'];
  await writeFile(gateway.configFile, JSON.stringify({ providers: { openai: { apiKey: key } } }));
  await vi.waitFor(() => expect(gateway.logs()).toContain('Configuration refused'), { timeout: 8_000, interval: 20 });
}

/** Only what is to be searched counts as said: a spec that heard nothing would find nothing. */
describe('everything that could tell was made to speak', () => {
  it('callers heard answers and errors of every kind', () => {
    const statuses = new Set(heard.map((text) => text.slice(0, 3)));
    expect([...statuses].toSorted()).toEqual(['200', '204', '400', '401', '404', '413', '415', '429', '502', '503']);
    expect(heard.join('\n')).toContain('Incorrect API key provided: ***.');
  });

  it('the upstreams were sent their keys, and repeated them', () => {
    expect(new Set(upstream.calls.map(({ headers }) => headers.authorization))).toEqual(
      new Set([`Bearer ${PROVIDER_KEY}`, `Bearer ${OTHER_PROVIDER_KEY}`]),
    );
  });

  it('the log holds what the upstreams said', async () => {
    const log = await readFile(join(gateway.directory, 'logs/fallback.log'), 'utf8');
    expect(log).toContain('Incorrect API key provided: ***.');
    expect(log).toContain('Configuration refused');
  });
});

describe.each(Object.entries(PLANTED))('%s', (_, key) => {
  const inBase64 = Buffer.from(key).toString('base64').slice(0, 24);

  it('stands in no response and no header', () => {
    expect(heard.filter((text) => text.includes(key) || text.includes(inBase64))).toEqual([]);
  });

  it('stands in no log', async () => {
    const files = ['logs/fallback.log', 'logs/bootstrap_status.log'].map((name) => join(gateway.directory, name));
    const logs = [gateway.logs(), ...(await Promise.all(files.map((file) => readFile(file, 'utf8'))))];
    const lines = logs.flatMap((log) => log.split('\n'));
    expect(lines.filter((line) => line.includes(key) || line.includes(inBase64))).toEqual([]);
  });
});

describe('a command', () => {
  const config = {
    providers: { openai: { baseUrl: '${BASE_URL}', apiKey: '${ONE_KEY}' } },
    models: { '1': { provider: 'openai' }, '99': { provider: 'openai' } },
    chains: { default: ['1', '99'] },
    policy: { maxRetries: 0 },
  };

  it.each([
    'check',
    'check --json',
    'verify --explain',
    'verify --explain --json',
    'perf --requests 4',
    'perf --requests 4 --json',
  ])('%s prints no key', async (command) => {
    const run = await runCommand([...command.split(' '), '--config', 'fallback.json'], {
      env: { BASE_URL: upstream.baseUrl, ONE_KEY: PROVIDER_KEY, FALLBACK_API_KEYS: CALLER_KEY },
      files: { 'fallback.json': JSON.stringify(config) },
    });
    expect(run.stdout).toMatch(/\S/u);
    for (const key of Object.values(PLANTED)) {
      expect(run.stdout).not.toContain(key);
      expect(run.stderr).not.toContain(key);
    }
  });
});
