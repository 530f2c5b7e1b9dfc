import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { continuationParams } from '../stream/continuation.js';
import { Seam } from '../stream/seam.js';
import { generateAnswer } from './answer-generator.js';
import { readChatRequest } from './chat-request.js';

function answer(body: object): string {
  const request = readChatRequest(new TextEncoder().encode(JSON.stringify(body)));
  if ('error' in request) throw new Error(request.error.message);
  return generateAnswer(request).choices[0]?.pieces.join('') ?? '';
}

function asked(content: string) {
  return { messages: [{ role: 'user', content }] };
}

/** gpt-4 begins, is cut, and gpt-3.5-turbo goes on. */
function goneOn(question: string, cutAt: number, way: 'prompt' | 'prefix' | 'vllm') {
  const first = answer({ model: 'gpt-4', ...asked(question) });
  const text = first.slice(0, cutAt);
  const params = continuationParams(asked(question), { text, way, writtenTokens: 0 });
  const second = answer({ model: 'gpt-3.5-turbo', ...params });
  return { first, text, second };
}

const question = fc.string({ unit: 'grapheme', maxLength: 60 });

describe('a simulated model that is asked to go on', () => {
  it('by prompt: repeats the last words exactly, and says the rest of the one answer to that question', () => {
    fc.assert(
      fc.property(question, fc.integer({ min: 30, max: 300 }), (asks, cutAt) => {
        const { first, text, second } = goneOn(asks, cutAt, 'prompt');
        const seam = new Seam(text, true);
        const found = seam.push(second) ?? seam.end();
        expect(found.isProven).toBe(true);
        expect(text + found.rest).toBe(first);
      }),
    );
  });

  it.each(['prefix', 'vllm'] as const)('by %s: goes straight on', (way) => {
    fc.assert(
      fc.property(question, fc.integer({ min: 30, max: 300 }), (asks, cutAt) => {
        const { first, text, second } = goneOn(asks, cutAt, way);
        expect(text + second).toBe(first);
      }),
    );
  });

  it('keeps the label of whoever began, also where it was cut', () => {
    const { text, second } = goneOn('Why?', 16, 'prefix');
    expect(text + second).toMatch(/^\[simulated gpt-4\] You asked: "Why\?"\. /u);
    expect(goneOn('Why?', 5, 'prefix').second).toMatch(/^lated gpt-3\.5-turbo\] You asked/u);
  });

  it('answers after a text that no simulated model began', () => {
    const params = continuationParams(asked('Why?'), { text: 'Rayleigh', way: 'prefix', writtenTokens: 2 });
    expect(answer({ model: 'gpt-4', ...params })).toMatch(/^ \[simulated gpt-4\] You asked: "Why\?"\./u);
  });

  it('goes on with a text that breaks off between paragraphs', () => {
    const params = continuationParams(asked('Why?'), { text: 'One.\n\nTwo.\n\n', way: 'prompt', writtenTokens: 2 });
    expect(answer({ model: 'gpt-4', ...params })).toMatch(/^One\.\n\nTwo\.\n\n\[simulated gpt-4\]/u);
  });

  it('also where tools are offered', () => {
    const tools = [{ type: 'function', function: { name: 'get_time' } }];
    const params = continuationParams({ ...asked('Why?'), tools }, { text: 'It ', way: 'prompt', writtenTokens: 1 });
    expect(answer({ model: 'gpt-4', ...params })).toMatch(/^It \[simulated/u);
  });

  it.each([
    { why: 'a conversation that goes on', content: 'And why is that?' },
    { why: 'a paragraph that is not how the answer ended', content: 'Listen:\n\nthe sky' },
  ])('answers as ever: $why', ({ content }) => {
    const messages = [
      ...asked('Why?').messages,
      { role: 'assistant', content: 'It is blue.' },
      { role: 'user', content },
    ];
    expect(answer({ model: 'gpt-4', messages })).toMatch(/^\[simulated gpt-4\] You asked: "(?:And|Listen)/u);
  });

  it('answers as ever after an answer of its own that it is not asked to go on with', () => {
    const messages = [...asked('Why?').messages, { role: 'assistant', content: 'It is blue.' }];
    expect(answer({ model: 'gpt-4', messages })).toMatch(/^\[simulated gpt-4\] You asked: "Why\?"/u);
  });
});
