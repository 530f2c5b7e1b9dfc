import OpenAI from 'openai';
import { request } from 'undici';
import { describe, expect, it } from 'vitest';
import { reply, startScriptedModel } from './testing.js';
import type { Script, ScriptedModel } from './testing.js';

const ask = { model: 'gpt-4', messages: [{ role: 'user' as const, content: 'Hi' }] };

function clientOf(model: ScriptedModel): OpenAI {
  return new OpenAI({ apiKey: 'sk-test', baseURL: model.baseUrl, maxRetries: 0 });
}

/** Status and body text of one call, up to where the wire breaks or falls silent. */
async function play(script: Script, body: object = ask) {
  await using model = await startScriptedModel(script);
  const response = await request(`${model.baseUrl}/chat/completions`, {
    method: 'POST',
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(200),
  });
  let text = '';
  let brokenBy = 'nothing';
  try {
    for await (const piece of response.body) text += String(piece);
  } catch (error) {
    brokenBy = error instanceof Error ? error.name : String(error);
  }
  return { status: response.statusCode, headers: response.headers, text, brokenBy };
}

describe('a scripted model', () => {
  it('plays one reply after the other and repeats the last', async () => {
    await using model = await startScriptedModel([
      reply.error(503, { code: 'server_is_overloaded' }),
      'Hello',
      'Hello again',
    ]);
    const client = clientOf(model);
    await expect(client.chat.completions.create(ask)).rejects.toMatchObject({
      status: 503,
      code: 'server_is_overloaded',
    });
    const texts = [];
    for (let call = 0; call < 3; call++)
      texts.push((await client.chat.completions.create(ask)).choices[0]?.message.content);
    expect(texts).toEqual(['Hello', 'Hello again', 'Hello again']);
  });

  it('streams the same reply where a stream is asked for, with usage if wanted', async () => {
    await using model = await startScriptedModel(
      reply.text(['Hel', 'lo'], { usage: { inputTokens: 4, outputTokens: 2 } }),
    );
    const stream = await clientOf(model).chat.completions.create({
      ...ask,
      stream: true,
      stream_options: { include_usage: true },
    });
    const deltas = [];
    let totalTokens;
    for await (const chunk of stream) {
      deltas.push(chunk.choices[0]?.delta.content);
      totalTokens = chunk.usage?.total_tokens;
    }
    expect(deltas).toEqual(['', 'Hel', 'lo', undefined, undefined]);
    expect(totalTokens).toBe(6);
  });

  it('remembers what it was asked', async () => {
    await using model = await startScriptedModel('ok');
    await clientOf(model).chat.completions.create({ ...ask, temperature: 0 });
    expect(model.calls).toMatchObject([
      {
        number: 1,
        method: 'POST',
        path: '/v1/chat/completions',
        model: 'gpt-4',
        isStreaming: false,
        body: { temperature: 0 },
        headers: { authorization: 'Bearer sk-test' },
      },
    ]);
    expect(await model.calls[0]?.ended).toMatchObject({ how: 'played' });
  });

  it('lets a function decide by the call, and takes another script on the way', async () => {
    await using model = await startScriptedModel((call) => (call.number === 1 ? 'first' : `asked for ${call.model}`));
    const client = clientOf(model);
    const say = async () => (await client.chat.completions.create(ask)).choices[0]?.message.content;
    expect([await say(), await say()]).toEqual(['first', 'asked for gpt-4']);
    model.use('changed');
    expect(await say()).toBe('changed');
  });

  it('calls tools', async () => {
    await using model = await startScriptedModel(
      reply.toolCalls([{ name: 'get_weather', arguments: { city: 'Paris' } }]),
    );
    const { choices } = await clientOf(model).chat.completions.stream(ask).finalChatCompletion();
    expect(choices[0]).toMatchObject({
      finish_reason: 'tool_calls',
      message: { tool_calls: [{ function: { name: 'get_weather', arguments: '{"city":"Paris"}' } }] },
    });
  });

  it('counts availability checks apart, and answers them 404 unless it is told a list', async () => {
    await using without = await startScriptedModel('ok');
    await expect(clientOf(without).models.list()).rejects.toMatchObject({ status: 404 });
    expect([without.calls.length, without.polls.length]).toEqual([0, 1]);
    await using withList = await startScriptedModel('ok', { list: reply.models(['gpt-4']) });
    expect((await clientOf(withList).models.list()).data).toMatchObject([{ id: 'gpt-4' }]);
  });

  it('notices at once when the client leaves', async () => {
    await using model = await startScriptedModel(reply.hang({ after: 'headers' }));
    const leaving = new AbortController();
    const response = await request(`${model.baseUrl}/chat/completions`, {
      method: 'POST',
      body: JSON.stringify(ask),
      signal: leaving.signal,
    });
    const call = await model.waitForCall(1);
    expect(call.end).toBeUndefined();
    const leftAtMs = performance.now();
    response.body.on('error', () => undefined);
    leaving.abort();
    expect(await call.ended).toMatchObject({ how: 'left' });
    expect((call.end?.atMs ?? Infinity) - leftAtMs).toBeLessThan(100);
  });

  it('gives up waiting for a call when it is closed, and closes twice', async () => {
    const model = await startScriptedModel('ok');
    const waiting = model.waitForCall();
    await model.close();
    await expect(waiting).rejects.toThrow('closed before call 1');
    await model.close();
  });

  it('shows what its script threw, and wants at least one reply', async () => {
    const thrown = await play(() => {
      throw new Error('no idea');
    });
    expect(thrown).toMatchObject({ status: 500, text: expect.stringContaining('no idea') });
    await expect(startScriptedModel([])).rejects.toThrow(RangeError);
  });

  it('gets the address it asks for', async () => {
    const first = await startScriptedModel('ok');
    const port = Number(new URL(first.baseUrl).port);
    await first.close();
    await using second = await startScriptedModel('ok', { port, host: '127.0.0.1' });
    expect(second.baseUrl).toBe(first.baseUrl);
  });
});

describe('a reply of a scripted model', () => {
  const stream = { ...ask, stream: true };

  it.each([
    {
      why: 'an error with headers',
      script: reply.error(429, { code: 'slow_down' }, { headers: { 'retry-after': '2' } }),
      status: 429,
      text: /"code":"slow_down"/u,
    },
    {
      why: 'an error inside a 200',
      script: reply.errorInside200({ message: 'oh' }),
      status: 200,
      text: /^\{"error":\{"message":"oh"/u,
    },
    {
      why: 'an error as the first event',
      script: reply.errorInside200({ message: 'oh' }),
      body: stream,
      status: 200,
      text: /^data: \{"error":\{"message":"oh"/u,
    },
    { why: 'any JSON', script: reply.json(418, { tea: true }), status: 418, text: /^\{"tea":true\}$/u },
    {
      why: 'exact events',
      script: reply.sse([': hi\n\n', { a: 1 }, Buffer.from('data: [DO')]),
      body: stream,
      status: 200,
      text: /^: hi\n\ndata: \{"a":1\}\n\ndata: \[DO$/u,
    },
    {
      why: 'events and a reset',
      script: reply.sse(['data: 1\n\n'], { end: 'reset' }),
      body: stream,
      status: 200,
      text: /^data: 1\n\n$/u,
      brokenBy: /SocketError/u,
    },
    {
      why: 'events and silence',
      script: reply.sse(['data: 1\n\n'], { end: 'hang', paceMs: 1 }),
      body: stream,
      status: 200,
      text: /^data: 1\n\n$/u,
      brokenBy: /TimeoutError/u,
    },
    {
      why: 'raw bytes',
      script: reply.raw(['HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n', 'half']),
      status: 200,
      text: /^half$/u,
    },
    {
      why: 'raw bytes that promise more',
      script: reply.raw('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf'),
      status: 200,
      text: /^half$/u,
      brokenBy: /Error/u,
    },
    {
      why: 'a stream cut as if whole',
      script: reply.text(['a', 'b', 'c'], { breakAfter: { deltas: 2, by: 'cut' } }),
      body: stream,
      status: 200,
      text: /"content":"b"[^\n]*\n\n$/u,
    },
    {
      why: 'a stream reset',
      script: reply.text('a b c', { breakAfter: { deltas: 1, by: 'reset' } }),
      body: stream,
      status: 200,
      text: /"content":"a"[^\n]*\n\n$/u,
      brokenBy: /SocketError/u,
    },
    {
      why: 'a stream gone silent',
      script: reply.text('a b c', { breakAfter: { deltas: 0, by: 'stall' } }),
      body: stream,
      status: 200,
      text: /"role":"assistant"[^\n]*\n\n$/u,
      brokenBy: /TimeoutError/u,
    },
    {
      why: 'a stream with an error event',
      script: reply.text('a b c', { breakAfter: { deltas: 1, by: 'error' } }),
      body: stream,
      status: 200,
      text: /"content":"a"[^\n]*\n\ndata: \{"error":[^\n]*\n\n$/u,
    },
    {
      why: 'a body cut as if whole',
      script: reply.text('a', { breakAfter: { deltas: 0, by: 'cut' } }),
      status: 200,
      text: /^\{"id":[^}]*$/u,
    },
    {
      why: 'a body cut and reset',
      script: reply.text('a', { breakAfter: { deltas: 0, by: 'reset' } }),
      status: 200,
      text: /^\{"id":/u,
      brokenBy: /Error/u,
    },
    {
      why: 'thoughts before the text',
      script: reply.text('a', { reasoning: ['hm'], delayMs: 1 }),
      body: stream,
      status: 200,
      text: /"reasoning_content":"hm"[^\n]*\n\n[^\n]*"content":"a"/u,
    },
  ])('is $why', async ({ script, body, status, text, ...rest }) => {
    const played = await play(script, body);
    expect(played.status).toBe(status);
    expect(played.text).toMatch(text);
    expect(played.brokenBy).toMatch('brokenBy' in rest ? (rest.brokenBy ?? /nothing/u) : /nothing/u);
  });

  it.each([
    { why: 'a reset', script: reply.reset(), error: /ECONNRESET|other side closed|socket/iu },
    { why: 'silence', script: reply.hang(), error: /timeout/iu },
    { why: 'what is no HTTP', script: reply.raw('SSH-2.0-OpenSSH_9.6\r\n'), error: /HTTP|parse|expected/iu },
  ])('is no answer at all: $why', async ({ script, error }) => {
    await expect(play(script)).rejects.toThrow(error);
  });
});
