import { Client, request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadCatalogue } from './catalogue.js';
import type { FailureCase } from './catalogue.js';
import { startFaultServer } from './fault-server.js';
import type { FaultServer } from './fault-server.js';
import { startHealthyServer } from './healthy-server.js';
import type { HealthyServer } from './healthy-server.js';

const catalogue = loadCatalogue();

function caseOf(id: string): FailureCase {
  const found = catalogue.find((one) => one.id === id);
  if (found === undefined) throw new Error(`no case ${id}`);
  return found;
}

/** Long enough for a case that answers, short for one that never does. */
const SILENCE_MS = 400;

async function ask(baseUrl: string, fields: object = {}) {
  const messages = [{ role: 'user', content: 'Say hello' }];
  const response = await request(`${baseUrl}/chat/completions`, {
    method: 'POST',
    body: JSON.stringify({ model: 'A', messages, ...fields }),
    signal: AbortSignal.timeout(SILENCE_MS),
  });
  let text = '';
  let brokenBy = 'nothing';
  try {
    for await (const piece of response.body) text += String(piece);
  } catch (error) {
    brokenBy = nameOf(error);
  }
  return { status: response.statusCode, headers: response.headers, text, brokenBy };
}

function nameOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : String(error);
}

async function play<T>(id: string, look: (server: FaultServer) => Promise<T>): Promise<T> {
  const server = await startFaultServer(caseOf(id), { evilPort: 4321 });
  try {
    return await look(server);
  } finally {
    await server.close();
  }
}

describe('the failure catalogue', () => {
  it('has 110 cases of their own names, and nothing that is not known here', () => {
    expect(new Set(catalogue.map(({ id }) => id)).size).toBe(110);
  });

  it.each(catalogue.map((one) => [one.id, one] as const))('can be started: %s', async (_, one) => {
    const server = await startFaultServer(one);
    expect(new URL(server.baseUrl).pathname).toBe('/v1');
    await server.close();
  });
});

describe('a fault server', () => {
  it('http: status, headers and body as written', async () => {
    const answer = await play('cloudflare-524-text', (server) => ask(server.baseUrl));
    expect(answer).toMatchObject({
      status: 524,
      text: 'error code: 524',
      headers: { server: 'cloudflare', 'content-type': 'text/plain' },
    });
  });

  it('http: knows the port that must not be asked', async () => {
    const answer = await play('http-307-to-other-host', (server) => ask(server.baseUrl));
    expect(answer.headers).toMatchObject({
      location: 'http://127.0.0.1:4321/v1/chat/completions',
      'content-length': '0',
    });
  });

  it.each([
    { id: 'stream-finish-without-done', ends: 'fin', text: /"finish_reason":"stop"\}\]\}\n\n$/u, brokenBy: /nothing/u },
    {
      id: 'stream-cut-rst-after-tokens',
      ends: 'rst',
      text: /" two"[^\n]*\n\n$/u,
      brokenBy: /ECONNRESET|UND_ERR_SOCKET/u,
    },
    { id: 'stream-stall-after-tokens', ends: 'hang', text: /" two"[^\n]*\n\n$/u, brokenBy: /TimeoutError/u },
  ])('sse: ends by $ends after its steps', async ({ id, text, brokenBy }) => {
    const answer = await play(id, (server) => ask(server.baseUrl, { stream: true }));
    expect(answer.text).toMatch(text);
    expect(answer.brokenBy).toMatch(brokenBy);
  });

  it('sse: sends bytes that are no text, each step by itself', async () => {
    const answer = await play('stream-utf8-split', (server) => ask(server.baseUrl, { stream: true }));
    expect(answer.headers['transfer-encoding']).toBe('chunked');
    expect(answer.text).toContain('\u{FFFD}');
  });

  it.each([
    { id: 'conn-reset-before-response', error: /ECONNRESET|UND_ERR_SOCKET/u },
    { id: 'conn-fin-before-response', error: /UND_ERR_SOCKET/u },
    { id: 'conn-garbage', error: /HPE_|HTTPParserError/u },
    { id: 'stream-stall-before-headers', error: /TimeoutError/u },
    { id: 'conn-refused', error: /ECONNREFUSED/u },
    { id: 'conn-dns-nxdomain', error: /ENOTFOUND|EAI_AGAIN/u },
    { id: 'conn-tls-self-signed', error: /DEPTH_ZERO_SELF_SIGNED_CERT/u },
    { id: 'conn-plain-http-on-tls', error: /ERR_SSL|EPROTO/u },
  ])('gives no answer: $id', async ({ id, error }) => {
    const outcome = await play(id, (server) => ask(server.baseUrl).then(() => 'an answer', nameOf));
    expect(outcome).toMatch(error);
  });

  it('tcp: bytes without an HTTP server around them', async () => {
    const blank = await play('deepseek-leading-blank-lines', (server) => ask(server.baseUrl));
    expect(JSON.parse(blank.text)).toMatchObject({ choices: [{ message: { content: 'Hello A' } }] });
    const short = await play('conn-content-length-short', (server) => ask(server.baseUrl));
    expect(short.brokenBy).toMatch(/UND_ERR|CONTENT_LENGTH/u);
  });

  it('keepalive_close: destroys a socket at its second request and does not count it', async () => {
    await play('conn-stale-keepalive', async (server) => {
      // One connection only: a pool may open another for the second request.
      const client = new Client(new URL(server.baseUrl).origin);
      const say = async () => {
        const { body } = await client.request({ path: '/v1/chat/completions', method: 'POST', body: '{"model":"A"}' });
        return body.text();
      };
      expect(await say()).toContain('Hello A');
      await expect(say()).rejects.toThrow(/ECONNRESET|closed|socket/iu);
      expect(server.requests()).toBe(1);
      expect(await say()).toContain('Hello A');
      expect(server.requests()).toBe(2);
      await client.close();
    });
  });

  it('answers "Hello A" after so many times, and for models that are not faulty', async () => {
    await play('openai-500-once-then-ok', async (server) => {
      expect((await ask(server.baseUrl)).status).toBe(500);
      expect((await ask(server.baseUrl)).text).toContain('"content":"Hello A"');
    });
    const server = await startFaultServer(caseOf('openai-500-server-error'), { isFaulty: (model) => model === 'A' });
    expect((await ask(server.baseUrl, { model: 'A2' })).status).toBe(200);
    expect((await ask(server.baseUrl)).status).toBe(500);
    expect([server.requests(), server.requests('A'), server.requests('A2')]).toEqual([2, 1, 1]);
    await server.close();
  });

  it('listens to a connection no longer than a step takes, however many there are', async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error) => warnings.push(warning);
    process.on('warning', onWarning);
    const steps = Array.from({ length: 20 }, () => ({ after_ms: 0, bytes: ': a comment\n\n' }));
    const upstream = { kind: 'sse', status: 200, headers: {}, steps, end: 'fin' } as const;
    const server = await startFaultServer({ upstream, times: undefined });
    expect((await ask(server.baseUrl)).text).toHaveLength(20 * ': a comment\n\n'.length);
    await server.close();
    process.off('warning', onWarning);
    expect(warnings.map(String)).toEqual([]);
  });

  it('tells when the client left', async () => {
    await play('stream-stall-after-tokens', async (server) => {
      await ask(server.baseUrl, { stream: true });
      const leftAtMs = performance.now();
      expect((await server.lastClosedAtMs()) - leftAtMs).toBeLessThan(100);
    });
  });

  it('answers a list of models, and does not count it', async () => {
    await play('openai-401-invalid-key', async (server) => {
      expect((await request(`${server.baseUrl}/models`)).statusCode).toBe(200);
      expect(server.requests()).toBe(0);
    });
  });
});

describe('the healthy server', () => {
  let healthy: HealthyServer;
  beforeAll(async () => {
    healthy = await startHealthyServer();
  });
  afterAll(() => healthy.close());

  it('says hello, whole and streamed', async () => {
    expect((await ask(healthy.baseUrl)).text).toContain('"content":"Hello from B"');
    const { text } = await ask(healthy.baseUrl, { stream: true, model: 'B' });
    expect([...text.matchAll(/"content":"([^"]*)"/gu)].map(([, content]) => content)).toEqual([
      '',
      'Hello',
      ' from',
      ' B',
    ]);
    expect(text).toMatch(/"finish_reason":"stop"\}\]\}\n\ndata: \[DONE\]\n\n$/u);
    expect(healthy.callsOf('B')).toHaveLength(1);
  });

  it('calls the tool, answers JSON and goes on with a text', async () => {
    const tools = [{ type: 'function', function: { name: 'get_weather' } }];
    expect((await ask(healthy.baseUrl, { tools })).text).toContain(String.raw`"arguments":"{\"city\":\"Paris\"}"`);
    expect((await ask(healthy.baseUrl, { response_format: { type: 'json_object' } })).text).toContain(
      String.raw`{\"from\":\"B\"}`,
    );
    expect((await ask(healthy.baseUrl, { response_format: { type: 'text' } })).text).toContain('Hello from B');
    const messages = [
      { role: 'user', content: 'Count' },
      { role: 'assistant', content: 'One two' },
      { role: 'user', content: 'Go on' },
    ];
    expect((await ask(healthy.baseUrl, { messages, stream: true })).text).toContain('"content":" three"');
  });
});
