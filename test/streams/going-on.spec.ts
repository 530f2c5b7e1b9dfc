/**
 * Streams that break in the caller's hands and go on there, through the running gateway over real sockets: where in the
 * text, by which break, and how the next model is asked.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { asArray, asObject } from '../../src/simulation/json-value.js';
import { reply } from '../../src/testing.js';
import type { ScriptedCall } from '../../src/testing.js';
import { expectBroken, expectWhole, STORY } from './expect-stream.js';
import { askedOf, StreamStage, tells } from './stream-stage.js';
import type { Part } from './stream-stage.js';

let stage: StreamStage;
beforeAll(async () => {
  stage = await StreamStage.start();
}, 30_000);
afterAll(() => stage?.[Symbol.asyncDispose]());

const CODE =
  'So:\n\n```ts\nfor (const model of chain) {\n  if (await model.answers()) {\n    return;\n  }\n}\n```\n\nDone.';

const PLACES: readonly { readonly where: string; readonly text: string; readonly after: string }[] = [
  { where: 'in the middle of a word', text: STORY, after: 'Once upon a time there was a ch' },
  { where: 'after a blank', text: STORY, after: 'Once upon a time there was a ' },
  { where: 'after its first letter', text: STORY, after: 'O' },
  { where: 'before its last letter', text: STORY, after: STORY.slice(0, -1) },
  { where: 'after its last letter, before its finish', text: STORY, after: STORY },
  { where: 'in the middle of a number', text: 'Pi is 3.14159265, and e is 2.71828.', after: 'Pi is 3.141' },
  { where: 'in the indentation of a code block', text: CODE, after: CODE.slice(0, CODE.indexOf('return') - 2) },
  { where: 'in the fence of a code block', text: CODE, after: CODE.slice(0, CODE.lastIndexOf('```') + 2) },
  { where: 'in the middle of a surrogate pair', text: 'Well done 🙂🙃🙂!', after: 'Well done 🙂🙃'.slice(0, -1) },
  { where: 'in the middle of a first surrogate pair', text: '🙂 well done!', after: '\ud83d' },
  { where: 'between the parts of one glyph', text: 'A family: 👩‍👩‍👧 and more.', after: 'A family: 👩\u200d' },
  { where: 'in the middle of an escape of JSON', text: '{"a": "b\\u00e4\\n", "c": [1, 2]}', after: '{"a": "b\\u00' },
  { where: 'in a long run of one letter', text: `${'a'.repeat(300)} and on.`, after: 'a'.repeat(170) },
  { where: 'between two languages', text: 'The answer is 日本語で、最後まで。', after: 'The answer is 日本' },
];

describe('a stream that breaks', () => {
  it.concurrent.for(PLACES.flatMap((place) => ['b', 'prefix', 'vllm'].map((next) => ({ ...place, next }))))(
    '$where goes on there, with $next',
    async ({ text, after, next }) => {
      const heard = await stage.ask({
        parts: {
          a: tells(text, { until: after.length, by: 'cut', deltaChars: 7 }),
          [next]: tells(text, { deltaChars: 3 }),
        },
      });
      expectWhole(heard, text, ['a stream_cut', `${next} ok`]);
      expect(heard.switches).toEqual([`a stream_cut ${next}`]);
      expect(heard.headers).toMatchObject({ 'x-fallback-model': 'a', 'x-fallback-attempts': '1' });
    },
  );

  it.concurrent.for([
    { by: 'cut', reason: 'stream_cut' },
    { by: 'reset', reason: 'stream_cut' },
    { by: 'stall', reason: 'timeout_idle' },
    { by: 'error', reason: 'stream_error' },
  ] as const)('by $by goes on, and says that it was $reason', async ({ by, reason }) => {
    const heard = await stage.ask({ parts: { a: tells(STORY, { until: 30, by }), b: tells(STORY) } });
    expectWhole(heard, STORY, [`a ${reason}`, 'b ok']);
    expect(heard.switches).toEqual([`a ${reason} b`]);
  });

  it.concurrent('with an event that nobody can read goes on before it', async () => {
    const head = { id: 'x', object: 'chat.completion.chunk', created: 1, model: 'm' };
    const says = (content: string) => ({
      ...head,
      choices: [{ index: 0, delta: { role: 'assistant', content }, finish_reason: null }],
    });
    const a = reply.sse([
      says(STORY.slice(0, 20)),
      'data: {"choices":[{"delta":{"content":" lost"\n\n',
      says('not this'),
    ]);
    expectWhole(await stage.ask({ parts: { a, b: tells(STORY) } }), STORY, ['a bad_response', 'b ok']);
  });

  it.concurrent('a second and a third time goes on each time, under the first one’s id', async () => {
    const heard = await stage.ask({
      parts: {
        a: tells(STORY, { until: 11, by: 'reset' }),
        b: tells(STORY, { until: 45, by: 'error' }),
        vllm: tells(STORY, { until: 46, by: 'cut' }),
        d: tells(STORY),
      },
    });
    expectWhole(heard, STORY, ['a stream_cut', 'b stream_error', 'vllm stream_cut', 'd ok']);
    expect(heard.switches).toEqual(['a stream_cut b', 'b stream_error vllm', 'vllm stream_cut d']);
  });

  it.concurrent('is gone on with by the same model where no other is left, as often as it may be retried', async () => {
    let calls = 0;
    const a = (call: ScriptedCall) => tells(STORY, calls++ < 3 ? { until: 20 * calls, by: 'cut' } : {})(call);
    const heard = await stage.ask({ parts: { a }, chain: 'patient' });
    expectWhole(heard, STORY, ['a stream_cut', 'a stream_cut', 'a stream_cut', 'a ok']);
  });

  it.concurrent.for(['all', 'changed', 'little'] as const)('goes on after a repeat: %s', async (repeat) => {
    const text = 'She said "go on, please", and the next model went on, from “there” to\n\nthe very end of it.';
    for (const until of [text.indexOf(' and'), text.indexOf('from'), text.length - 6]) {
      const b = tells(text, { repeat, deltaChars: 1 });
      expectWhole(await stage.ask({ parts: { a: tells(text, { until, by: 'cut' }), b } }), text, [
        'a stream_cut',
        'b ok',
      ]);
    }
  });
});

describe('the next model', () => {
  it.concurrent('is asked as the caller asked, but for what has been written', async () => {
    const parts = { a: tells(STORY, { until: 40, by: 'cut' }), b: tells(STORY) };
    const question = stage.pose(parts);
    const messages = [
      { role: 'system', content: 'Du bist ein Pirat.' },
      { role: 'user', content: question },
    ];
    const tools = [{ type: 'function', function: { name: 'f', parameters: { type: 'object' } } }];
    const params = { temperature: 0.3, top_p: 0.9, user: 'u', metadata: { k: 'v' }, tools, tool_choice: 'auto' };
    await stage.ask({ parts, question, params: { ...params, messages, max_tokens: 100 } });
    const [first, second] = stage.callsOf(question).map(({ body }) => body);
    expect(first).toMatchObject({ ...params, messages, max_tokens: 100, model: 'a' });
    expect(second).toMatchObject({ ...params, model: 'b', max_tokens: 90 });
    const [system, user, soFar, instruction] = asArray(second?.['messages']).map(asObject);
    expect([system, user]).toEqual(messages);
    expect(soFar).toEqual({ role: 'assistant', content: STORY.slice(0, 40) });
    expect(instruction).toMatchObject({
      role: 'user',
      content: expect.stringMatching(/\n\nOnce upon a time there was a chain of mo$/),
    });
  });

  it.concurrent.for([
    { name: 'refuses-prefix-1', status: 400, message: 'assistant message prefill is not supported' },
    { name: 'refuses-prefix-2', status: 422, message: 'Extra inputs are not permitted' },
    { name: 'refuses-vllm', status: 400, message: 'unknown field add_generation_prompt' },
  ])('that refuses the way it is asked ($name, $status) is asked by prompt then, and from then on', async (one) => {
    const { name, status, message } = one;
    const refuses: Part = (call) => {
      const { way = 'prompt' } = askedOf(call) ?? {};
      return way === 'prompt' ? tells(STORY)(call) : reply.error(status, { message });
    };
    const parts = { a: tells(STORY, { until: 33, by: 'cut' }), [name]: refuses };
    const first = await stage.ask({ parts });
    expect(first.attempts[1]).toMatch(/ (?:invalid_request|unsupported)$/);
    expectWhole(first, STORY, ['a stream_cut', first.attempts[1] ?? '', `${name} ok`]);
    const second = await stage.ask({ parts });
    expectWhole(second, STORY, ['a stream_cut', `${name} ok`]);
    expect(second.calls).toHaveLength(2);
  });

  it.concurrent('that proves nothing is a bad response while another is left, and nothing of it is heard', async () => {
    const heard = await stage.ask({
      parts: {
        a: tells(STORY, { until: 30, by: 'cut' }),
        b: 'I am sorry, but I cannot go on with that.',
        c: tells(STORY),
      },
    });
    expectWhole(heard, STORY, ['a stream_cut', 'b bad_response', 'c ok']);
    expect(heard.switches).toEqual(['a stream_cut c']);
  });

  it.concurrent('that proves nothing is taken as it comes where it is the last', async () => {
    const heard = await stage.ask({ parts: { a: tells(STORY, { until: 30, by: 'cut' }), b: ' something else.' } });
    expectWhole(heard, `${STORY.slice(0, 30)} something else.`, ['a stream_cut', 'b ok']);
  });

  it.concurrent('is none that cannot go on', async () => {
    const a = tells(STORY, { until: 30, by: 'cut' });
    const heard = await stage.ask({ parts: { a, none: tells(STORY), c: tells(STORY) } });
    expectWhole(heard, STORY, ['a stream_cut', 'c ok']);
    const alone = await stage.ask({ parts: { a, none: tells(STORY) } });
    expectBroken(alone, STORY.slice(0, 30), /stream_cut.*no other model could go on with it/);
    expect(alone.calls).toHaveLength(1);
  });

  it.concurrent('tells the tokens of both: input of the one that finished, output of all that was heard', async () => {
    const params = { stream_options: { include_usage: true } };
    const parts = { a: tells(STORY, { until: 40, by: 'cut' }), b: tells(STORY) };
    const { chunks } = await stage.ask({ parts, params });
    const told = chunks.flatMap(({ usage }) => (usage ? [asObject(usage)] : []));
    // The scripted model reports 9 of input, and one of output for each delta: 20 of what it repeats and adds.
    const repeated = 40;
    const own = Math.ceil((repeated + STORY.length - 40) / 5);
    expect(told).toEqual([
      expect.objectContaining({ prompt_tokens: 9, completion_tokens: own + 10, total_tokens: own + 19 }),
    ]);
  });
});
