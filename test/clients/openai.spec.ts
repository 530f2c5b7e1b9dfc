/** The official client, chunk by chunk. */
import OpenAI from 'openai';
import { type AskedStream, CITY, describeStreams, type Reading } from './stream-cases.js';

describeStreams('the official client', async ({ baseUrl, model, question, tools }: AskedStream): Promise<Reading> => {
  const client = new OpenAI({ baseURL: baseUrl, apiKey: 'unused', maxRetries: 0 });
  const calls = new Map<number, { name: string; arguments: string }>();
  let text = '';
  let finishReason: string | undefined;
  let usageTotal: number | undefined;
  const readCalls = (): Reading['toolCalls'] =>
    [...calls.values()].map((call) => ({ name: call.name, arguments: JSON.parse(call.arguments) as unknown }));
  try {
    const stream = await client.chat.completions.create({
      model,
      messages: [{ role: 'user', content: question }],
      stream: true,
      stream_options: { include_usage: true },
      ...(tools.length > 0 && {
        tools: tools.map((name) => ({ type: 'function' as const, function: { name, parameters: CITY } })),
      }),
    });
    for await (const chunk of stream) {
      usageTotal = chunk.usage?.total_tokens ?? usageTotal;
      for (const { delta, finish_reason: finish } of chunk.choices) {
        text += delta.content ?? '';
        finishReason = finish ?? finishReason;
        for (const { index, function: part } of delta.tool_calls ?? []) {
          const call = calls.get(index) ?? { name: '', arguments: '' };
          calls.set(index, {
            name: call.name + (part?.name ?? ''),
            arguments: call.arguments + (part?.arguments ?? ''),
          });
        }
      }
    }
  } catch (error) {
    return { text, finishReason, toolCalls: [], usageTotal, error };
  }
  return { text, finishReason, toolCalls: readCalls(), usageTotal };
});
