/** LangChain's model for OpenAI, streaming; its own retries off, as our recipe for it says. */
import { type AIMessageChunk, HumanMessage } from '@langchain/core/messages';
import { ChatOpenAI } from '@langchain/openai';
import { asObject } from '../../src/simulation/json-value.js';
import { type AskedStream, CITY, describeStreams, type Reading } from './stream-cases.js';

describeStreams('LangChain', async ({ baseUrl, model, question, tools }: AskedStream): Promise<Reading> => {
  const plain = new ChatOpenAI({ model, apiKey: 'unused', maxRetries: 0, configuration: { baseURL: baseUrl } });
  const definitions = tools.map((name) => ({ type: 'function' as const, function: { name, parameters: CITY } }));
  const chat = definitions.length > 0 ? plain.bindTools(definitions) : plain;
  let sum: AIMessageChunk | undefined;
  let text = '';
  let finishReason: string | undefined;
  try {
    for await (const chunk of await chat.stream([new HumanMessage(question)])) {
      text += chunk.text;
      sum = sum === undefined ? chunk : sum.concat(chunk);
      const finish: unknown = chunk.response_metadata['finish_reason'];
      if (typeof finish === 'string') finishReason = finish;
    }
  } catch (error) {
    return { text, finishReason, toolCalls: [], error };
  }
  // Its types say that there is none.
  const usage: unknown = sum?.usage_metadata;
  return {
    // Its own sum of the chunks and that of their texts are the same, or the seam has confused it.
    text: sum?.text === text ? text : `${text} ≠ ${sum?.text}`,
    finishReason,
    toolCalls: (sum?.tool_calls ?? []).map(({ name, args }) => ({ name, arguments: args })),
    usageTotal: Number(asObject(usage)['total_tokens']),
  };
});
