import OpenAI from 'openai';
import { request } from 'undici';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { EXPECTED_CLASS, SIMULATED_FAULT_KINDS } from './simulated-fault.js';
import { startSimulatedModels } from './simulated-models.js';
import type { SimulatedModels } from './simulated-models.js';

let models: SimulatedModels;
beforeAll(async () => {
  models = await startSimulatedModels({ models: ['gpt-4', 'gpt-3.5-turbo'], speed: 0 });
});
afterEach(() => models.mend('gpt-4'));
afterAll(() => models.close());

const messages = [{ role: 'user' as const, content: 'Why is the sky blue?' }];
const chat = { model: 'gpt-4', messages };

function client(): OpenAI {
  return new OpenAI({ apiKey: 'any', baseURL: models.baseUrl, maxRetries: 0 });
}

/** Models that are not broken answer within a few milliseconds here. */
const SILENCE_MS = 150;

/** A POST as it comes: status, headers and the body's text, up to where the wire breaks or falls silent. */
async function post(body: unknown, path = '/chat/completions') {
  const response = await request(`${models.baseUrl}${path}`, {
    method: 'POST',
    body: typeof body === 'string' ? body : JSON.stringify(body),
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

async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const one of source) all.push(one);
  return all;
}

describe('the simulated models', () => {
  it('answer the official client, with usage, and label text and headers', async () => {
    const { data, response } = await client().chat.completions.create(chat).withResponse();
    const content = data.choices[0]?.message.content ?? '';
    expect(content).toMatch(/^\[simulated gpt-4\] You asked: "Why is the sky blue\?"\./u);
    expect(data).toMatchObject({ object: 'chat.completion', model: 'gpt-4', choices: [{ finish_reason: 'stop' }] });
    expect(data.usage?.total_tokens).toBe((data.usage?.prompt_tokens ?? 0) + (data.usage?.completion_tokens ?? 0));
    expect(response.headers.get('x-fallback-simulated')).toBe('true');
  });

  it('stream the same text in many chunks, with usage last where it is asked for', async () => {
    const whole = await client().chat.completions.create(chat);
    const stream = await client().chat.completions.create({
      ...chat,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = await collect(stream);
    expect(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('')).toBe(
      whole.choices[0]?.message.content,
    );
    expect(chunks.length).toBeGreaterThan(40);
    expect(chunks.at(-2)?.choices[0]?.finish_reason).toBe('stop');
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: whole.usage });
    expect((await post({ ...chat, stream: true })).text).toMatch(/data: \[DONE\]\n\n$/u);
  });

  it('call tools, whole and streamed', async () => {
    const tools = [
      {
        type: 'function' as const,
        function: { name: 'get_weather', parameters: { type: 'object', properties: { city: { type: 'string' } } } },
      },
    ];
    const call = { type: 'function', function: { name: 'get_weather', arguments: '{"city":"Paris"}' } };
    const whole = await client().chat.completions.create({ ...chat, tools });
    expect(whole.choices[0]).toMatchObject({
      finish_reason: 'tool_calls',
      message: { content: null, tool_calls: [call] },
    });
    const streamed = await client()
      .chat.completions.stream({ ...chat, tools })
      .finalChatCompletion();
    expect(streamed.choices[0]).toMatchObject({ finish_reason: 'tool_calls', message: { tool_calls: [call] } });
  });

  it('list themselves, all and one by one', async () => {
    const list = await collect(client().models.list());
    expect(list.map((model) => model.id)).toEqual(['gpt-4', 'gpt-3.5-turbo']);
    expect(await client().models.retrieve('gpt-4')).toMatchObject({ id: 'gpt-4', object: 'model' });
    await expect(client().models.retrieve('gpt-5')).rejects.toMatchObject({ status: 404, code: 'model_not_found' });
  });

  it.each([
    {
      why: 'a body that is not JSON',
      body: '{"model":',
      status: 400,
      error: { type: 'invalid_request_error', param: null },
    },
    {
      why: 'a model that is not there',
      body: { ...chat, model: 'gpt-9' },
      status: 404,
      error: { code: 'model_not_found' },
    },
    { why: 'no model', body: { messages }, status: 400, error: { param: 'model' } },
    { why: 'no messages', body: { model: 'gpt-4' }, status: 400, error: { param: 'messages' } },
    {
      why: 'an empty list of messages',
      body: { model: 'gpt-4', messages: [] },
      status: 400,
      error: { param: 'messages' },
    },
    { why: 'a bad max_tokens', body: { ...chat, max_tokens: 0 }, status: 400, error: { param: 'max_tokens' } },
    { why: 'a bad n', body: { ...chat, n: 1000 }, status: 400, error: { param: 'n' } },
    {
      why: 'a path that is not there',
      body: chat,
      path: '/completely/else',
      status: 404,
      error: { type: 'invalid_request_error' },
    },
  ])("refuse $why in OpenAI's shape", async ({ body, path, status, error }) => {
    const answer = await post(body, path);
    expect(answer).toMatchObject({ status, headers: { 'x-fallback-simulated': 'true' } });
    expect(JSON.parse(answer.text)).toMatchObject({ error: { message: expect.any(String), ...error } });
  });

  it('repeat their latencies with the same seed, and scale them', async () => {
    await using slow = await startSimulatedModels({ models: ['gpt-3.5-turbo'], speed: 0.2, seed: 7 });
    const started = performance.now();
    await request(`${slow.baseUrl}/chat/completions`, {
      method: 'POST',
      body: JSON.stringify({ ...chat, model: 'gpt-3.5-turbo' }),
    });
    // The fastest of a thousand draws of the first token is 36 ms: a fifth of it is 7 ms, and the tokens come after it.
    expect(performance.now() - started).toBeGreaterThan(20);
  });
});

describe('a broken simulated model', () => {
  it.each([
    { kind: 'server_error', status: 500, says: { type: 'server_error' } },
    { kind: 'overloaded', status: 503, says: { code: 'server_is_overloaded' } },
    { kind: 'rate_limited', status: 429, says: { code: 'rate_limit_exceeded' } },
    { kind: 'auth', status: 401, says: { code: 'invalid_api_key' } },
    { kind: 'permission', status: 403, says: { code: 'unsupported_country_region_territory' } },
    { kind: 'quota', status: 429, says: { type: 'insufficient_quota' } },
    { kind: 'not_found', status: 404, says: { code: 'model_not_found' } },
    { kind: 'context_length', status: 400, says: { code: 'context_length_exceeded' } },
    { kind: 'content_filter', status: 400, says: { code: 'content_filter' } },
    { kind: 'invalid_request', status: 400, says: { code: 'invalid_value' } },
    { kind: 'unsupported', status: 400, says: { code: 'unsupported_parameter' } },
    { kind: 'error_in_200', status: 200, says: { type: 'server_error' } },
    { kind: 'stream_error', status: 200, says: { type: 'server_error' } },
  ] as const)('answers $kind as $status with an error body', async ({ kind, status, says }) => {
    models.break('gpt-4', kind);
    const answer = await post(chat);
    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.text)).toMatchObject({ error: says });
  });

  it('names the wait it was told to', async () => {
    models.break('gpt-4', { kind: 'rate_limited', retryAfterS: 3 });
    expect((await post(chat)).headers['retry-after']).toBe('3');
  });

  it.each([
    { kind: 'network', code: /ECONNRESET|UND_ERR_SOCKET/u },
    { kind: 'timeout', code: /TimeoutError/u },
  ] as const)('gives no answer at all: $kind', async ({ kind, code }) => {
    models.break('gpt-4', kind);
    for (const stream of [false, true]) {
      expect(await post({ ...chat, stream }).then(() => 'an answer', nameOf)).toMatch(code);
    }
  });

  it.each([
    { kind: 'timeout_after_headers', body: /^$/u, brokenBy: /TimeoutError/u },
    { kind: 'bad_response', body: /^<html>/u },
    { kind: 'truncated_json', body: /^\{"id":[^\n]*[^}]$/u },
    { kind: 'empty_answer', body: /"content":""/u },
    { kind: 'stream_cut', body: /^\{"id":/u, brokenBy: /UND_ERR_SOCKET|ECONNRESET/u },
    { kind: 'timeout_idle', body: /^\{"id":/u, brokenBy: /TimeoutError/u },
    { kind: 'malformed_event', body: /^\{"id":[^\n]*[^}]$/u },
  ] as const)('answers 200 with a bad body: $kind', async ({ kind, body, ...rest }) => {
    models.break('gpt-4', kind);
    const answer = await post(chat);
    expect(answer.text).toMatch(body);
    expect(answer.brokenBy).toMatch('brokenBy' in rest ? rest.brokenBy : /nothing/u);
  });

  it.each([
    {
      kind: 'stream_cut',
      end: /"\},"logprobs":null,"finish_reason":null\}\]\}\n\n$/u,
      brokenBy: /UND_ERR_SOCKET|ECONNRESET/u,
    },
    { kind: 'stream_error', end: /\ndata: \{"error":\{[^\n]*\}\}\n\n$/u },
    { kind: 'malformed_event', end: /\ndata: \{"id":"[^\n]*\[\{"ind\n\ndata: \[DONE\]\n\n$/u },
    { kind: 'timeout_idle', end: /"finish_reason":null\}\]\}\n\n$/u, brokenBy: /TimeoutError/u },
  ] as const)('breaks a stream after as many characters as told: $kind', async ({ kind, end, ...rest }) => {
    models.break('gpt-4', { kind, afterChars: 21 });
    const answer = await post({ ...chat, stream: true });
    const said = [...answer.text.matchAll(/"content":"((?:[^"\\]|\\.)*)"/gu)].map(([, text]) => text).join('');
    expect(said).toBe('[simulated gpt-4] You');
    expect(answer.text).toMatch(end);
    expect(answer.brokenBy).toMatch('brokenBy' in rest ? rest.brokenBy : /nothing/u);
  });

  it('answers something that is no JSON only where JSON was asked for', async () => {
    models.break('gpt-4', 'invalid_output');
    const asked = await client().chat.completions.create({ ...chat, response_format: { type: 'json_object' } });
    expect(() => JSON.parse(asked.choices[0]?.message.content ?? '') as unknown).toThrow(SyntaxError);
    expect((await post(chat)).text).toContain('[simulated gpt-4]');
  });

  it('leaves the others alone, and answers again once it is mended', async () => {
    models.break('gpt-4', 'server_error');
    expect(models.faults()).toEqual(new Map([['gpt-4', { kind: 'server_error' }]]));
    expect((await post({ ...chat, model: 'gpt-3.5-turbo' })).status).toBe(200);
    models.mend('gpt-4');
    expect(models.faults().size).toBe(0);
    expect((await post(chat)).status).toBe(200);
  });

  it('is refused where model or fault are unknown, by name', () => {
    expect(() => models.break('gpt-9', 'quota')).toThrow(/gpt-9.*gpt-4, gpt-3\.5-turbo/u);
    expect(() => models.mend('gpt-9')).toThrow(RangeError);
    // @ts-expect-error: JavaScript can say what the types forbid
    expect(() => models.break('gpt-4', 'tired')).toThrow(/tired/u);
  });

  it('can be broken in every way that has an expected class', async () => {
    expect(SIMULATED_FAULT_KINDS).toHaveLength(Object.keys(EXPECTED_CLASS).length);
    for (const kind of SIMULATED_FAULT_KINDS) {
      models.break('gpt-4', kind);
      const seen = await post({ ...chat, stream: true }).catch((error: unknown) => error);
      const healthy =
        seen instanceof Object &&
        'text' in seen &&
        String(seen.text).endsWith('[DONE]\n\n') &&
        String(seen.text).includes('"stop"');
      const showsInStream = EXPECTED_CLASS[kind].stream !== null && kind !== 'empty_answer';
      expect([kind, healthy]).toEqual([kind, !showsInStream]);
    }
  });

  it('lets go of what hangs when the server closes', async () => {
    const own = await startSimulatedModels({ models: ['gpt-4'], speed: 0 });
    own.break('gpt-4', 'timeout');
    const hanging = request(`${own.baseUrl}/chat/completions`, { method: 'POST', body: JSON.stringify(chat) });
    const outcome = expect(hanging).rejects.toThrow();
    await request(`${own.baseUrl}/models`);
    await own.close();
    await outcome;
    await own.close();
  });
});
