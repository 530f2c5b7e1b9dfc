/**
 * Broken streams of what is more than a text (reasoning, tool calls, JSON, several choices, logprobs), through the
 * running gateway over real sockets: what begins anew, what falls back whole, what ends in an error.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { asArray, asObject } from '../../src/simulation/json-value.js';
import { reply } from '../../src/testing.js';
import type { ScriptedReply } from '../../src/testing.js';
import { expectBroken, expectWhole, STORY } from './expect-stream.js';
import { StreamStage, tells } from './stream-stage.js';

let stage: StreamStage;
beforeAll(async () => {
  stage = await StreamStage.start();
}, 30_000);
afterAll(() => stage?.[Symbol.asyncDispose]());

describe('a stream that broke in its reasoning', () => {
  const thinks = (thoughts: number): ScriptedReply =>
    reply.text([], {
      reasoning: Array.from({ length: thoughts }, (_, n) => `thought ${n} `),
      breakAfter: { deltas: thoughts, by: 'cut' },
    });

  it.concurrent.for([
    { what: 'a text', params: {}, text: STORY },
    { what: 'JSON', params: { response_format: { type: 'json_object' } }, text: '{"a":1}' },
    { what: 'a text with logprobs', params: { logprobs: true }, text: STORY },
  ])('begins anew in the same stream: $what', async ({ params, text }) => {
    const heard = await stage.ask({ parts: { a: thinks(3), b: tells(text, { reasoning: ['so be it '] }) }, params });
    expectWhole(heard, text, ['a stream_cut', 'b ok']);
    expect(heard.reasoning).toBe('thought 0 thought 1 thought 2 so be it ');
    expect(heard.switches).toEqual(['a stream_cut b']);
    expect(asArray(heard.calls[1]?.body['messages'])).toHaveLength(1);
  });

  it.concurrent('begins anew with all its choices', async () => {
    const head = { id: 'x', object: 'chat.completion.chunk', created: 1, model: 'm' };
    const says = (index: number, delta: object, finish_reason: string | null = null) => ({
      ...head,
      choices: [{ index, delta, finish_reason }],
    });
    const b = reply.sse([
      says(0, { role: 'assistant', content: 'one' }),
      says(1, { role: 'assistant', content: 'two' }),
      says(0, {}, 'stop'),
      says(1, {}, 'stop'),
      'data: [DONE]\n\n',
    ]);
    const heard = await stage.ask({ parts: { a: thinks(1), b }, params: { n: 2 } });
    expect(heard.events.at(-1)?.kind).toBe('done');
    const said = heard.chunks.flatMap(({ choices }) => asArray(choices).map(asObject));
    const textOf = (index: number) =>
      said.flatMap((one) => (one['index'] === index ? [asObject(one['delta'])['content']] : [])).filter(Boolean);
    expect([textOf(0), textOf(1)]).toEqual([['one'], ['two']]);
  });

  it.concurrent('and breaks in its text then, goes on with that', async () => {
    const heard = await stage.ask({
      parts: { a: thinks(2), b: tells(STORY, { until: 25, by: 'cut', reasoning: ['hm '] }), c: tells(STORY) },
    });
    expectWhole(heard, STORY, ['a stream_cut', 'b stream_cut', 'c ok']);
  });
});

describe('a stream that cannot be gone on with', () => {
  it.concurrent.for([
    { what: 'JSON output', params: { response_format: { type: 'json_object' } } },
    {
      what: 'a JSON schema',
      params: { response_format: { type: 'json_schema', json_schema: { name: 'x', schema: {} } } },
    },
    { what: 'several choices', params: { n: 2 } },
    { what: 'logprobs', params: { logprobs: true } },
  ])('ends in one error event that says why: $what', async ({ params }) => {
    const heard = await stage.ask({ parts: { a: tells(STORY, { until: 30, by: 'cut' }), b: tells(STORY) }, params });
    expectBroken(heard, STORY.slice(0, 30), /JSON output, several choices and logprobs cannot be gone on with/);
    expect(heard.calls).toHaveLength(1);
    expect(heard.error?.['attempts']).toMatchObject([{ model: 'a', class: 'stream_cut' }]);
  });

  it.concurrent('falls back whole before its first token all the same', async () => {
    const params = { response_format: { type: 'json_object' } };
    const heard = await stage.ask({
      parts: { a: reply.text('', { breakAfter: { deltas: 0, by: 'cut' } }), b: '{"a":1}' },
      params,
    });
    expect(heard).toMatchObject({ text: '{"a":1}', attempts: ['a stream_cut', 'b ok'], switches: [] });
  });

  it.concurrent('ends in an error where that was wished for', async () => {
    const parts = { a: tells(STORY, { until: 30, by: 'cut' }), b: tells(STORY) };
    expectBroken(await stage.ask({ parts, chain: 'to-error' }), STORY.slice(0, 30), /stream\.onBreak is error/);
  });

  it.concurrent('ends in one error where everyone breaks', async () => {
    const parts = { a: tells(STORY, { until: 30, by: 'cut' }), b: tells(STORY, { until: 50, by: 'reset' }) };
    const heard = await stage.ask({ parts });
    expectBroken(heard, STORY.slice(0, 50), /no other model could go on with it/);
    expect(heard.error?.['attempts']).toMatchObject([
      { model: 'a', class: 'stream_cut' },
      { model: 'b', class: 'stream_cut' },
    ]);
  });
});

describe('tool calls', () => {
  const CALL = { name: 'weather', arguments: '{"city":"Oslo"}' };
  const calls = reply.toolCalls([CALL, { name: 'weather', arguments: { city: 'Rome' } }]);
  const params = { tools: [{ type: 'function', function: { name: 'weather', parameters: { type: 'object' } } }] };

  it.concurrent('that break off are not heard, and come whole from the next model', async () => {
    const a = reply.toolCalls([CALL], { breakAfter: { deltas: 2, by: 'cut' } });
    const heard = await stage.ask({ parts: { a, b: calls }, params });
    expect(heard).toMatchObject({
      text: '',
      finishReason: 'tool_calls',
      attempts: ['a stream_cut', 'b ok'],
      switches: [],
    });
    expect(heard.toolCalls.map((call) => call.arguments)).toEqual(['{"city":"Oslo"}', '{"city":"Rome"}']);
    expect(heard.headers).toMatchObject({ 'x-fallback-model': 'b', 'x-fallback-attempts': '2' });
  });

  it.concurrent('that break off behind a text come from the next model, behind the same text', async () => {
    const text = 'Let me look up the weather. ';
    const a: ScriptedReply = {
      type: 'answer',
      deltas: [text],
      toolCalls: [CALL],
      breakAfter: { deltas: 2, by: 'cut' },
    };
    const b: ScriptedReply = { type: 'answer', deltas: [text], toolCalls: [CALL] };
    const heard = await stage.ask({ parts: { a, b }, params });
    expect(heard).toMatchObject({ text, finishReason: 'tool_calls', attempts: ['a stream_cut', 'b ok'] });
    expect(heard.toolCalls).toEqual([{ index: 0, ...CALL }]);
    const silent = await stage.ask({ parts: { a, b: calls }, params });
    expect(silent).toMatchObject({ text, finishReason: 'tool_calls' });
    expect(silent.toolCalls).toHaveLength(2);
  });

  it.concurrent('with arguments that are no JSON are a bad response', async () => {
    const a = reply.toolCalls([{ name: 'weather', arguments: '{"city":' }]);
    const heard = await stage.ask({ parts: { a, b: calls }, params });
    expect(heard).toMatchObject({ finishReason: 'tool_calls', attempts: ['a bad_response', 'b ok'] });
  });

  it.concurrent('go out as they come where that was wished for, and a break in them is an error', async () => {
    const a = reply.toolCalls([CALL], { breakAfter: { deltas: 2, by: 'cut' } });
    const heard = await stage.ask({ parts: { a, b: calls }, params, chain: 'passing' });
    expectBroken(heard, '', /tool calls.* cannot be gone on with/);
    expect(heard.toolCalls).toHaveLength(1);
  });
});
