import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { generateAnswer, splitIntoPieces } from './answer-generator.js';
import { readChatRequest } from './chat-request.js';

function ask(fields: object) {
  const body = { model: 'gpt-4', messages: [{ role: 'user', content: 'Why is the sky blue?' }], ...fields };
  const request = readChatRequest(new TextEncoder().encode(JSON.stringify(body)));
  if ('error' in request) throw new Error(request.error.message);
  return generateAnswer(request);
}

function textOf(fields: object): string {
  return ask(fields).choices[0]?.pieces.join('') ?? '';
}

describe('a simulated answer', () => {
  it('says that it is simulated, mentions the question and has 40 to 80 words, whatever was asked', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 200 }), (question) => {
        const text = textOf({ messages: [{ role: 'user', content: question }] });
        expect(text).toMatch(/^\[simulated gpt-4\] /u);
        expect(text).toContain(question.replaceAll(/\s+/gu, ' ').trim().slice(0, 20));
        const words = text.split(/\s+/u).length;
        expect(words).toBeGreaterThanOrEqual(40);
        expect(words).toBeLessThanOrEqual(110);
      }),
    );
    expect(textOf({}).split(' ').length).toBeLessThanOrEqual(80);
  });

  it('is the same for the same question and another for another', () => {
    expect(textOf({})).toBe(textOf({}));
    expect(textOf({ messages: [{ role: 'user', content: 'What is a quark?' }] })).not.toBe(textOf({}));
  });

  it('stops at max_tokens and says so', () => {
    const [choice] = ask({ max_tokens: 5 }).choices;
    expect(choice).toMatchObject({ finishReason: 'length' });
    expect(choice?.pieces).toHaveLength(5);
    expect(ask({ max_completion_tokens: 1000 }).choices[0]).toMatchObject({ finishReason: 'stop' });
  });

  it('gives as many choices as asked for', () => {
    const { choices, outputTokens } = ask({ n: 3 });
    expect(choices).toHaveLength(3);
    expect(outputTokens).toBe(choices.reduce((sum, choice) => sum + choice.pieces.length, 0));
  });

  it('is a JSON object where one was asked for', () => {
    expect(JSON.parse(textOf({ response_format: { type: 'json_object' } }))).toMatchObject({
      simulated: true,
      model: 'gpt-4',
    });
    const schema = {
      type: 'object',
      properties: { reason: { type: 'string' }, score: { type: 'integer', maximum: 10 } },
      required: ['reason', 'score'],
    };
    const text = textOf({ response_format: { type: 'json_schema', json_schema: { name: 'verdict', schema } } });
    expect(JSON.parse(text)).toEqual({ reason: expect.stringContaining('[simulated gpt-4]'), score: 10 });
  });

  const tools = [
    { type: 'function', function: { name: 'get_time', parameters: { type: 'object', properties: {} } } },
    {
      type: 'function',
      function: {
        name: 'get_weather',
        parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
      },
    },
  ];

  it.each([
    { why: 'the first tool by default', fields: { tools }, name: 'get_time', args: '{}' },
    {
      why: 'the named tool',
      fields: { tools, tool_choice: { type: 'function', function: { name: 'get_weather' } } },
      name: 'get_weather',
      args: '{"city":"Paris"}',
    },
    { why: 'any tool where one is required', fields: { tools, tool_choice: 'required' }, name: 'get_time', args: '{}' },
  ])('calls $why', ({ fields, name, args }) => {
    expect(ask(fields).choices[0]).toMatchObject({
      pieces: [],
      finishReason: 'tool_calls',
      toolCalls: [{ name, arguments: args }],
    });
  });

  it.each([
    { why: 'tools are switched off', fields: { tools, tool_choice: 'none' } },
    {
      why: 'the tool has answered',
      fields: {
        tools,
        messages: [
          { role: 'user', content: 'Time?' },
          { role: 'tool', content: '12:00', tool_call_id: 'c' },
        ],
      },
    },
  ])('is text where $why', ({ fields }) => {
    expect(textOf(fields)).toContain('[simulated gpt-4]');
  });

  it('splits into pieces that add up to the text', () => {
    fc.assert(fc.property(fc.string({ unit: 'grapheme' }), (text) => splitIntoPieces(text).join('') === text));
  });
});
