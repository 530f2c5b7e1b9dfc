import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CheckedAnswer, checkAnswer, estimateTokens } from './answer.js';

const WALL_EPOCH_MS = Date.UTC(2024, 10, 24, 12);
type Expectations = Parameters<typeof checkAnswer>[1];

function checkBody(body: string | Uint8Array, wants: Partial<Expectations> = {}, headers = {}): CheckedAnswer {
  const bytes = typeof body === 'string' ? Buffer.from(body) : body;
  const request: Expectations = { onInvalidOutput: 'next', onContentFilter: 'return', ...wants };
  return checkAnswer({ status: 200, headers, bytes }, request, WALL_EPOCH_MS);
}

function check(choices: unknown, wants: Partial<Expectations> = {}, more: object = {}): CheckedAnswer {
  return checkBody(JSON.stringify({ id: 'x', object: 'chat.completion', choices, ...more }), wants);
}

/** `ok`, `content_filter`, or the class of the failure. */
function outcomeOf(checked: CheckedAnswer): string {
  return checked.ok ? checked.outcome : checked.failure.class;
}

const says = (content: unknown, finishReason: unknown = 'stop'): object => ({
  index: 0,
  message: { role: 'assistant', content },
  finish_reason: finishReason,
});
const answers = (message: object, finishReason: unknown = 'stop'): object => ({ message, finish_reason: finishReason });
const calls = (input: unknown, finishReason = 'tool_calls'): object =>
  answers(
    { content: null, tool_calls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: input } }] },
    finishReason,
  );

describe('a body that is no answer', () => {
  it.each([
    { why: 'nothing', body: '', is: 'bad_response' },
    { why: 'HTML', body: '<!doctype html><html></html>', is: 'bad_response' },
    { why: 'JSON that was cut', body: '{"choices":[{"ind', is: 'bad_response' },
    { why: 'an event stream', body: 'data: {"choices":[]}\n\ndata: [DONE]\n\n', is: 'bad_response' },
    { why: 'a number', body: '5', is: 'bad_response' },
    { why: 'null', body: 'null', is: 'bad_response' },
    { why: 'no choices', body: '{"id":"x"}', is: 'bad_response' },
    { why: 'choices that are none', body: '{"choices":[]}', is: 'bad_response' },
    { why: 'choices that are no list', body: '{"choices":{"0":{}}}', is: 'bad_response' },
    { why: 'a choice without a message', body: '{"choices":[{"finish_reason":"stop"}]}', is: 'bad_response' },
    { why: 'a choice that is null', body: '{"choices":[null]}', is: 'bad_response' },
    { why: 'an error', body: '{"error":{"code":429,"message":"x"}}', is: 'rate_limited' },
    {
      why: 'an error in a choice',
      body: '{"choices":[{"message":{"content":"x"},"finish_reason":"error","error":{"code":502}}]}',
      is: 'server_error',
    },
    {
      why: 'an end in error, without one',
      body: '{"choices":[{"message":{"content":"x"},"finish_reason":"error"}]}',
      is: 'server_error',
    },
  ])('$why is $is', ({ body, is }) => {
    const checked = checkBody(body);
    expect(checked.ok).toBe(false);
    expect(outcomeOf(checked)).toBe(is);
    expect(checked.ok ? undefined : checked.failure.status).toBe(200);
  });

  it('may begin with blank lines or a byte order mark and still be one', () => {
    expect(outcomeOf(checkBody(`\n\n${JSON.stringify({ choices: [says('Hello')] })}`))).toBe('ok');
    expect(outcomeOf(checkBody(`\uFEFF${JSON.stringify({ choices: [says('Hello')] })}`))).toBe('ok');
  });
});

describe('an empty answer', () => {
  it.each([
    { why: 'an empty text', choices: [says('')], is: 'empty_answer' },
    { why: 'null', choices: [says(null)], is: 'empty_answer' },
    { why: 'no content at all', choices: [answers({})], is: 'empty_answer' },
    { why: 'no parts', choices: [says([])], is: 'empty_answer' },
    { why: 'a part without text', choices: [says([{ type: 'text', text: '' }])], is: 'empty_answer' },
    { why: 'an empty list of calls', choices: [answers({ content: '', tool_calls: [] })], is: 'empty_answer' },
    { why: 'reasoning alone', choices: [answers({ content: '', reasoning_content: 'Hm.' })], is: 'empty_answer' },
    {
      why: 'thinking alone, in parts',
      choices: [says([{ type: 'thinking', thinking: [{ type: 'text', text: 'Hm.' }] }])],
      is: 'empty_answer',
    },
    { why: 'thinking that has a text', choices: [says([{ type: 'thinking', text: 'Hm.' }])], is: 'empty_answer' },
    { why: 'an odd end', choices: [says(null, 'function_call_filter: MALFORMED_FUNCTION_CALL')], is: 'empty_answer' },
    { why: 'all of several', choices: [says(''), says(null)], is: 'empty_answer' },
    { why: 'not one of several', choices: [says(''), says('Hello')], is: 'ok' },
    { why: 'not where the limit was reached', choices: [says('', 'length')], is: 'ok' },
    { why: "nor in Google's words", choices: [says('', 'MAX_TOKENS')], is: 'ok' },
    { why: 'not one that was filtered', choices: [says(null, 'content_filter')], is: 'content_filter' },
    { why: "nor filtered in Google's words", choices: [says(null, 'content_filter: SAFETY')], is: 'content_filter' },
    { why: 'not a refusal', choices: [answers({ content: null, refusal: 'No.' })], is: 'ok' },
    { why: 'not a refusal in parts', choices: [says([{ type: 'refusal', refusal: 'No.' }])], is: 'ok' },
    { why: 'not a tool call', choices: [calls('{"city":"Paris"}')], is: 'ok' },
    {
      why: 'not an older function call',
      choices: [answers({ content: null, function_call: { name: 'f', arguments: '{}' } })],
      is: 'ok',
    },
    {
      why: 'not a custom tool call',
      choices: [answers({ tool_calls: [{ type: 'custom', custom: { name: 'f', input: 'any text' } }] })],
      is: 'ok',
    },
    { why: 'not audio', choices: [answers({ content: null, audio: { id: 'a', data: 'UklGRg==' } })], is: 'ok' },
    { why: 'not an image', choices: [answers({ content: '', images: [{ type: 'image_url' }] })], is: 'ok' },
    { why: 'not text in parts', choices: [says([{ type: 'text', text: 'Hello' }])], is: 'ok' },
    { why: 'not text without an end', choices: [says('Hello', null)], is: 'ok' },
  ])('$why: $is', ({ choices, is }) => {
    expect(outcomeOf(check(choices))).toBe(is);
  });
});

describe('a filtered answer', () => {
  it('is delivered, and booked as such', () => {
    expect(check([says('The recipe', 'content_filter')])).toMatchObject({
      ok: true,
      outcome: 'content_filter',
      finishReason: 'content_filter',
    });
  });

  it('goes to the next model where that is asked for and it has no text yet', () => {
    expect(outcomeOf(check([says('', 'content_filter')], { onContentFilter: 'next' }))).toBe('content_filter');
    expect(check([says('', 'content_filter')], { onContentFilter: 'next' }).ok).toBe(false);
    expect(check([says('The recipe', 'content_filter')], { onContentFilter: 'next' }).ok).toBe(true);
  });

  it('is an answer where another choice was not filtered', () => {
    expect(outcomeOf(check([says('', 'content_filter'), says('Hello')], { onContentFilter: 'next' }))).toBe('ok');
  });
});

describe('tool calls', () => {
  it.each([
    { why: 'arguments that were cut', choice: calls('{"city":"Par'), is: 'bad_response' },
    { why: 'a call without a name', choice: answers({ tool_calls: [{ type: 'function' }] }), is: 'bad_response' },
    {
      why: 'an older call with broken arguments',
      choice: answers({ function_call: { name: 'f', arguments: '{' } }),
      is: 'bad_response',
    },
    { why: 'one that the limit cut', choice: calls('{"city":"Par', 'length'), is: 'ok' },
    { why: 'no arguments', choice: calls(''), is: 'ok' },
    { why: 'arguments as an object', choice: calls({ city: 'Paris' }), is: 'ok' },
  ])('$why: $is', ({ choice, is }) => {
    expect(outcomeOf(check([choice]))).toBe(is);
  });
});

describe('JSON that was asked for', () => {
  const schema = {
    type: 'object',
    properties: { a: { type: 'number' } },
    required: ['a'],
    additionalProperties: false,
  };

  it.each([
    { why: 'an object', wantsJson: {}, choice: says('{"a":1}'), is: 'ok' },
    { why: 'prose', wantsJson: {}, choice: says('Sure! Here is the JSON: {"a":'), is: 'invalid_output' },
    { why: 'an object in a code fence', wantsJson: {}, choice: says('```json\n{"a":1}\n```'), is: 'invalid_output' },
    { why: 'a list is no object', wantsJson: {}, choice: says('[1]'), is: 'invalid_output' },
    { why: 'what the schema allows', wantsJson: { schema }, choice: says('{"a":1}'), is: 'ok' },
    { why: 'what the schema forbids', wantsJson: { schema }, choice: says('{"a":"1"}'), is: 'invalid_output' },
    {
      why: 'a list, where the schema allows it',
      wantsJson: { schema: { type: 'array' } },
      choice: says('[1]'),
      is: 'ok',
    },
    {
      why: 'in parts',
      wantsJson: { schema },
      choice: says([
        { type: 'text', text: '{"a"' },
        { type: 'text', text: ':1}' },
      ]),
      is: 'ok',
    },
    { why: 'not where the limit was reached', wantsJson: { schema }, choice: says('{"a":', 'length'), is: 'ok' },
    { why: 'not of a tool call', wantsJson: { schema }, choice: calls('{}'), is: 'ok' },
    { why: 'not of a refusal', wantsJson: { schema }, choice: answers({ content: null, refusal: 'No.' }), is: 'ok' },
    { why: 'also without an end', wantsJson: {}, choice: says('prose', null), is: 'invalid_output' },
  ])('$why: $is', ({ wantsJson, choice, is }) => {
    expect(outcomeOf(check([choice], { wantsJson }))).toBe(is);
  });

  it('is held against every choice', () => {
    expect(outcomeOf(check([says('{"a":1}'), says('prose')], { wantsJson: {} }))).toBe('invalid_output');
  });

  it('is delivered as it came with onInvalidOutput: return', () => {
    expect(outcomeOf(check([says('prose')], { wantsJson: { schema }, onInvalidOutput: 'return' }))).toBe('ok');
  });

  it('leaves a frozen schema alone', () => {
    const frozen = Object.freeze({
      type: 'object',
      properties: Object.freeze({ a: Object.freeze({ $ref: '#/$defs/n' }) }),
      $defs: { n: { type: 'number' } },
    });
    expect(outcomeOf(check([says('{"a":"x"}')], { wantsJson: { schema: frozen } }))).toBe('invalid_output');
  });

  const doubling = Object.fromEntries(
    Array.from({ length: 40 }, (_, n) => [
      `d${n}`,
      { anyOf: [{ $ref: `#/$defs/d${n + 1}` }, { $ref: `#/$defs/d${n + 1}` }] },
    ]),
  );
  const deep: Record<string, unknown> = {};
  let inner = deep;
  for (let level = 0; level < 20_000; level += 1) {
    const next = {};
    inner['not'] = next;
    inner = next;
  }

  it.each([
    { why: 'loops', schema: { $ref: '#' } },
    { why: 'refers to nothing', schema: { $ref: '#/nowhere' } },
    { why: 'refers to another host', schema: { $ref: 'https://example.test/schema.json' } },
    { why: 'has a pattern that backtracks for hours', schema: { properties: { a: { pattern: '^(a+)+$' } } } },
    { why: 'has a pattern that is none', schema: { properties: { a: { pattern: '(' } } } },
    { why: 'doubles at every step', schema: { $ref: '#/$defs/d0', $defs: { ...doubling, d40: { type: 'object' } } } },
    { why: 'is nested deeply', schema: deep },
    { why: 'has keywords of the wrong kind', schema: { properties: 5, required: 7, anyOf: 'x', enum: {} } },
    { why: 'has an id that is no URL', schema: { $id: 'http://[', type: 'string' } },
  ])('is not checked against a schema that $why, and nothing hangs', ({ schema: hostile }) => {
    const startedAtMs = performance.now();
    expect(outcomeOf(check([says(`{"a":"${'a'.repeat(50)}!"}`)], { wantsJson: { schema: hostile } }))).toBe('ok');
    expect(performance.now() - startedAtMs).toBeLessThan(1_000);
  });

  it('costs a schema that always takes too long no more than three tries', () => {
    const hostile = { properties: { b: { pattern: '^(b+)+$' } } };
    const tookMs = [1, 2, 3, 4].map(() => {
      const startedAtMs = performance.now();
      check([says(`{"b":"${'b'.repeat(50)}!"}`)], { wantsJson: { schema: hostile } });
      return performance.now() - startedAtMs;
    });
    expect(tookMs[0]).toBeGreaterThan(50);
    expect(tookMs[3]).toBeLessThan(50);
  });
});

describe('usage', () => {
  it.each([
    {
      why: 'as reported',
      usage: { prompt_tokens: 9, completion_tokens: 3 },
      is: { inputTokens: 9, outputTokens: 3, reported: true },
    },
    {
      why: 'in other words',
      usage: { input_tokens: 9, output_tokens: 3 },
      is: { inputTokens: 9, outputTokens: 3, reported: true },
    },
    { why: 'counted where there is none', usage: undefined, is: { inputTokens: 0, outputTokens: 3, reported: false } },
    { why: 'counted where it is null', usage: null, is: { inputTokens: 0, outputTokens: 3, reported: false } },
    {
      why: 'counted where no output is claimed',
      usage: { prompt_tokens: 9, completion_tokens: 0 },
      is: { inputTokens: 9, outputTokens: 3, reported: false },
    },
    {
      why: 'counted where it is negative',
      usage: { prompt_tokens: 9, completion_tokens: -3 },
      is: { inputTokens: 9, outputTokens: 3, reported: false },
    },
    {
      why: 'counted where it cannot be',
      usage: { prompt_tokens: 1e12, completion_tokens: 'x' },
      is: { inputTokens: 0, outputTokens: 3, reported: false },
    },
  ])('$why', ({ usage, is }) => {
    expect(check([says('Hello there')], {}, { usage }).usage).toEqual(is);
  });

  it('is there for an answer that failed, too', () => {
    const usage = { prompt_tokens: 9, completion_tokens: 0 };
    expect(check([says('')], {}, { usage }).usage).toEqual({ inputTokens: 9, outputTokens: 0, reported: true });
  });

  it('counts reasoning and arguments, by bytes', () => {
    const message = {
      content: 'é',
      reasoning_content: '1234',
      tool_calls: [{ function: { name: 'f', arguments: '[1]' } }],
    };
    expect(check([answers(message)]).usage.outputTokens).toBe(3);
    expect([0, 1, 4, 5].map(estimateTokens)).toEqual([0, 1, 1, 2]);
  });
});

it('no body throws', () => {
  const key = fc.constantFrom(
    'choices',
    'message',
    'content',
    'tool_calls',
    'function',
    'arguments',
    'finish_reason',
    'usage',
    'error',
    'type',
    'text',
  );
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { maxDepth: 6 },
      fc.jsonValue({ maxDepth: 1 }),
      fc.array(tie('tree')),
      fc.dictionary(key, tie('tree')),
    ),
  }));
  const body = fc.oneof(
    fc.uint8Array(),
    fc
      .oneof(
        fc.string(),
        tree.map((value) => JSON.stringify(value) ?? ''),
      )
      .map((text) => Buffer.from(text)),
    fc
      .array(tree, { minLength: 1 })
      .map((choices) => Buffer.from(JSON.stringify({ choices: choices.map((message) => ({ message })) }))),
  );
  const schema = fc.dictionary(
    fc.constantFrom('type', 'properties', 'items', '$ref', 'anyOf', 'pattern', '$id', 'format'),
    fc.jsonValue(),
  );
  fc.assert(
    fc.property(body, fc.option(schema), fc.constantFrom('next', 'return'), (bytes, wanted, onContentFilter) => {
      checkBody(bytes, { onContentFilter, ...(wanted && { wantsJson: { schema: wanted } }) });
    }),
  );
});
