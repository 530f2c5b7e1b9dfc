/** The AI SDK's `streamText`, with both of its providers that speak to an OpenAI-compatible server. */
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { jsonSchema, type LanguageModel, streamText, tool } from 'ai';
import { type AskedStream, CITY, describeStreams, type Reading } from './stream-cases.js';

describeStreams('the AI SDK, as an OpenAI-compatible provider', (asked) => {
  const provider = createOpenAICompatible({ name: 'fallback', baseURL: asked.baseUrl, includeUsage: true });
  return read(provider(asked.model), asked);
});

describeStreams('the AI SDK, as OpenAI', (asked) => {
  const provider = createOpenAI({ baseURL: asked.baseUrl, apiKey: 'unused' });
  return read(provider.chat(asked.model), asked);
});

async function read(model: LanguageModel, { question, tools }: AskedStream): Promise<Reading> {
  const inputSchema = jsonSchema<{ city: string }>({ ...CITY, required: [...CITY.required] });
  const result = streamText({
    model,
    prompt: question,
    maxRetries: 0,
    onError: () => {},
    tools: Object.fromEntries(tools.map((name) => [name, tool({ inputSchema })])),
  });
  let text = '';
  let finishReason: string | undefined;
  let usageTotal: number | undefined;
  let fault: { readonly error: unknown } | undefined;
  const toolCalls: Reading['toolCalls'][number][] = [];
  for await (const part of result.fullStream) {
    if (part.type === 'text-delta') text += part.text;
    else if (part.type === 'tool-call') toolCalls.push({ name: part.toolName, arguments: part.input });
    else if (part.type === 'error') fault = { error: part.error };
    else if (part.type === 'finish') {
      finishReason = part.finishReason.replaceAll('-', '_');
      usageTotal = part.totalUsage.totalTokens;
    }
  }
  return { text, finishReason, toolCalls, usageTotal, ...fault };
}
