import { describe, expect, it } from 'vitest';
import { continuationParams } from './continuation.js';

const params = {
  messages: [
    { role: 'system', content: 'You are a pirate.' },
    { role: 'user', content: 'Tell me a story.' },
  ],
  temperature: 0.3,
  tools: [{ type: 'function', function: { name: 'f' } }],
  max_tokens: 100,
  max_completion_tokens: 5,
  stream: true,
};
const text = 'Once there was a ship, and';

describe('the request that goes on with a text', () => {
  it('by prompt, is the caller’s own with the text so far and an instruction that holds its last words', () => {
    const asked = continuationParams(params, { text, way: 'prompt', writtenTokens: 20 });
    expect(asked).toMatchObject({ temperature: 0.3, tools: params.tools, stream: true });
    const messages = asked['messages'] as { role: string; content: string }[];
    expect(messages.slice(0, 3)).toEqual([...params.messages, { role: 'assistant', content: text }]);
    expect(messages.length).toBe(4);
    expect(messages[3]?.role).toBe('user');
    expect(messages[3]?.content.endsWith(`\n\n${text}`)).toBe(true);
  });

  it('by prefix, ends with the text as a prefix', () => {
    const { messages } = continuationParams(params, { text, way: 'prefix', writtenTokens: 0 });
    expect((messages as unknown[]).at(-1)).toEqual({ role: 'assistant', content: text, prefix: true });
  });

  it('for vLLM, continues the final message', () => {
    const asked = continuationParams(params, { text, way: 'vllm', writtenTokens: 0 });
    expect(asked).toMatchObject({ continue_final_message: true, add_generation_prompt: false });
    expect((asked['messages'] as unknown[]).at(-1)).toEqual({ role: 'assistant', content: text });
  });

  it('may write as much less as has been written, and always what it is asked to repeat, and one token', () => {
    const asked = (way: 'prompt' | 'vllm', writtenTokens: number) =>
      continuationParams(params, { text, way, writtenTokens });
    expect(asked('prompt', 20)).toMatchObject({ max_tokens: 80, max_completion_tokens: 14 });
    expect(asked('vllm', 20)).toMatchObject({ max_tokens: 80, max_completion_tokens: 1 });
    expect(asked('prompt', 99)).toMatchObject({ max_tokens: 14 });
    expect(continuationParams({ messages: [] }, { text, way: 'prompt', writtenTokens: 20 })).not.toHaveProperty(
      'max_tokens',
    );
  });

  it.each([
    { why: 'prefix', begun: { role: 'assistant', content: 'Once', prefix: true }, more: {} },
    {
      why: 'continue_final_message',
      begun: { role: 'assistant', content: 'Once' },
      more: { continue_final_message: true, add_generation_prompt: false },
    },
  ])('goes on in the message in which the caller had begun the answer ($why)', ({ begun, more }) => {
    const given = { ...params, ...more, messages: [...params.messages, begun] };
    const asked = (way: 'prompt' | 'prefix' | 'vllm') =>
      continuationParams(given, { text: ' there', way, writtenTokens: 0 });
    const soFar = { role: 'assistant', content: 'Once there' };
    const byPrompt = asked('prompt')['messages'] as { role: string; content: string }[];
    expect(byPrompt.slice(0, -1)).toEqual([...params.messages, soFar]);
    expect(byPrompt.at(-1)).toMatchObject({ role: 'user', content: expect.stringMatching(/\n\n there$/) });
    expect(asked('prompt')).not.toHaveProperty('continue_final_message');
    expect(asked('prompt')).not.toHaveProperty('add_generation_prompt');
    expect(asked('prefix')['messages']).toEqual([...params.messages, { ...soFar, prefix: true }]);
    expect(asked('prefix')).not.toHaveProperty('continue_final_message');
    expect(asked('vllm')).toMatchObject({
      messages: [...params.messages, soFar],
      continue_final_message: true,
      add_generation_prompt: false,
    });
  });
});
