/**
 * What the official `openai` client sends and reads beyond text: it goes up to the model that answers, here after a
 * fallback, and comes back, as if the gateway were not there.
 */
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { reply, startScriptedModel, type Reply, type ScriptedCall, type ScriptedModel } from '../../src/testing.js';
import { type RunningGateway, startGateway } from '../app/start-gateway.js';

// Processes are started, on machines that may be busy.
vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 });

const PLAIN = { model: 'default', messages: [{ role: 'user' as const, content: 'hello' }] };
const STREAMED = { ...PLAIN, stream: true } as const;

let upstream: ScriptedModel;
let gateway: RunningGateway;
let client: OpenAI;

beforeAll(async () => {
  upstream = await startScriptedModel('unused');
  gateway = await startGateway({ env: { OPENAI_BASE_URL: upstream.baseUrl } });
  client = new OpenAI({ apiKey: 'sk-of-the-caller', baseURL: `${gateway.url}/v1` });
});

afterAll(async () => {
  await gateway.stop();
  await upstream.close();
});

/** The first always fails. */
function secondModelSays(answer: Reply): void {
  upstream.use(({ model }) => (model === 'gpt-4' ? reply.error(500) : answer));
}

/** What `work` adds to the calls of the models. */
async function callsDuring(work: () => Promise<unknown>): Promise<readonly ScriptedCall[]> {
  const before = upstream.calls.length;
  await work();
  return upstream.calls.slice(before);
}

async function readAll(stream: AsyncIterable<OpenAI.ChatCompletionChunk>): Promise<OpenAI.ChatCompletionChunk[]> {
  const chunks: OpenAI.ChatCompletionChunk[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

const textOf = (chunks: readonly OpenAI.ChatCompletionChunk[]) =>
  chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('');

const WEATHER_TOOL: OpenAI.ChatCompletionFunctionTool = {
  type: 'function',
  function: { name: 'get_weather', parameters: { type: 'object', properties: { city: { type: 'string' } } } },
};
const SCHEMA = {
  type: 'json_schema',
  json_schema: {
    name: 'person',
    strict: true,
    schema: {
      type: 'object',
      properties: { name: { type: 'string' } },
      required: ['name'],
      additionalProperties: false,
    },
  },
} as const satisfies OpenAI.ChatCompletionCreateParams['response_format'];

describe('passes through, to the model that answers and back from it:', () => {
  it('tools and their calls', async () => {
    secondModelSays(reply.toolCalls([{ name: 'get_weather', arguments: { city: 'Paris' }, id: 'call_7' }]));
    const calls = await callsDuring(async () => {
      const params = { tools: [WEATHER_TOOL], tool_choice: 'required' as const, parallel_tool_calls: false };
      const { choices } = await client.chat.completions.create({ ...PLAIN, ...params });
      expect(choices[0]).toMatchObject({
        finish_reason: 'tool_calls',
        message: {
          content: null,
          tool_calls: [
            { id: 'call_7', type: 'function', function: { name: 'get_weather', arguments: '{"city":"Paris"}' } },
          ],
        },
      });
    });
    expect(calls.map(({ body }) => body)).toEqual(
      ['gpt-4', 'gpt-3.5-turbo'].map((model) => ({
        ...PLAIN,
        model,
        tools: [WEATHER_TOOL],
        tool_choice: 'required',
        parallel_tool_calls: false,
      })),
    );
  });

  it('tools and their calls in a stream', async () => {
    const cities = ['Paris', 'Rome'].map((city) => ({ name: 'get_weather', arguments: { city } }));
    secondModelSays(reply.toolCalls(cities));
    const runner = client.chat.completions.stream({ ...STREAMED, tools: [WEATHER_TOOL] });
    const { choices } = await runner.finalChatCompletion();
    expect(choices[0]?.finish_reason).toBe('tool_calls');
    expect(choices[0]?.message.tool_calls).toMatchObject([
      { function: { name: 'get_weather', arguments: '{"city":"Paris"}' } },
      { function: { name: 'get_weather', arguments: '{"city":"Rome"}' } },
    ]);
  });

  it('a schema for the answer', async () => {
    secondModelSays('{"name":"Ada"}');
    const calls = await callsDuring(async () => {
      const { choices } = await client.chat.completions.parse({ ...PLAIN, response_format: SCHEMA });
      expect(choices[0]?.message.parsed).toEqual({ name: 'Ada' });
      const params = { ...STREAMED, response_format: SCHEMA };
      expect(textOf(await readAll(await client.chat.completions.create(params)))).toBe('{"name":"Ada"}');
    });
    expect(calls.map(({ body }) => body['response_format'])).toEqual([SCHEMA, SCHEMA, SCHEMA, SCHEMA]);
  });

  const LOGPROBS = {
    content: [{ token: 'yes', logprob: -0.25, bytes: [121, 101, 115], top_logprobs: [] }],
    refusal: null,
  };

  it('several choices, log probabilities and fields that nobody knows', async () => {
    const choice = (index: number) => ({
      index,
      message: { role: 'assistant', content: `choice ${index}`, annotations: [], x_mood: { calm: 0.5 } },
      logprobs: LOGPROBS,
      finish_reason: 'stop',
    });
    const body = {
      id: 'chatcmpl-of-the-upstream',
      object: 'chat.completion',
      created: 1,
      model: 'gpt-3.5-turbo-0125',
      choices: [choice(0), choice(1)],
      usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3, x_cached: 1 },
      service_tier: 'default',
      x_provider: { region: 'eu', list: [1, null, 'ü'] },
    };
    secondModelSays(reply.json(200, body));
    const unknown = { top_k: 40, x_nested: { deep: [1, { a: null }], big: 0.1 }, seed: 1, metadata: { a: 'b' } };
    const calls = await callsDuring(async () => {
      const params = { ...PLAIN, ...unknown, n: 2, logprobs: true, top_logprobs: 1 };
      expect(await client.chat.completions.create(params)).toEqual(body);
    });
    expect(calls.at(-1)?.body).toEqual({
      ...PLAIN,
      ...unknown,
      n: 2,
      logprobs: true,
      top_logprobs: 1,
      model: 'gpt-3.5-turbo',
    });
  });

  it('the same in a stream, chunk by chunk', async () => {
    const chunk = (index: number, delta: object, finishReason: string | null = null) => ({
      id: 'chatcmpl-of-the-upstream',
      object: 'chat.completion.chunk',
      created: 1,
      model: 'gpt-3.5-turbo-0125',
      x_provider: { region: 'eu' },
      choices: [{ index, delta, logprobs: 'content' in delta ? LOGPROBS : null, finish_reason: finishReason }],
    });
    const chunks = [
      chunk(0, { role: 'assistant', content: '' }),
      chunk(1, { role: 'assistant', content: '' }),
      chunk(0, { content: 'one', x_mood: 'calm' }),
      chunk(1, { content: 'two' }),
      chunk(0, {}, 'stop'),
      chunk(1, {}, 'stop'),
    ];
    secondModelSays(reply.sse([...chunks, 'data: [DONE]\n\n']));
    const params = { ...STREAMED, n: 2, logprobs: true, top_k: 40 };
    const calls = await callsDuring(async () => {
      expect(await readAll(await client.chat.completions.create(params))).toEqual(chunks);
    });
    expect(calls.at(-1)?.body).toEqual({ ...params, model: 'gpt-3.5-turbo' });
  });

  it('a refusal', async () => {
    const message = { role: 'assistant', content: null, refusal: 'I cannot help with that.' };
    const body = {
      id: 'r',
      object: 'chat.completion',
      created: 1,
      model: 'm',
      choices: [{ index: 0, message, finish_reason: 'stop' }],
    };
    secondModelSays(reply.json(200, body));
    expect(await client.chat.completions.create(PLAIN)).toEqual(body);
  });
});
