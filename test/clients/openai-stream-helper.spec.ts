/** The official client's stream helper, which puts chunks together and checks them while it does. */
import OpenAI from 'openai';
import { type AskedStream, CITY, describeStreams, type Reading } from './stream-cases.js';

describeStreams(
  'the official stream helper',
  async ({ baseUrl, model, question, tools }: AskedStream): Promise<Reading> => {
    const client = new OpenAI({ baseURL: baseUrl, apiKey: 'unused', maxRetries: 0 });
    const stream = client.chat.completions.stream({
      model,
      messages: [{ role: 'user', content: question }],
      stream_options: { include_usage: true },
      ...(tools.length > 0 && {
        tools: tools.map((name) => ({ type: 'function' as const, function: { name, parameters: CITY } })),
      }),
    });
    let text = '';
    stream.on('content', (delta) => (text += delta));
    try {
      const completion = await stream.finalChatCompletion();
      const [choice] = completion.choices;
      const calls = (choice?.message.tool_calls ?? []).flatMap((call) =>
        call.type === 'function' ? [call.function] : [],
      );
      return {
        // The helper's own sum and that of its pieces are the same, or the seam has confused it.
        text: choice?.message.content === text || text === '' ? (choice?.message.content ?? '') : `${text} ≠ its sum`,
        finishReason: choice?.finish_reason,
        toolCalls: calls.map((call) => ({ name: call.name, arguments: JSON.parse(call.arguments) as unknown })),
        usageTotal: completion.usage?.total_tokens,
      };
    } catch (error) {
      return { text, finishReason: undefined, toolCalls: [], error };
    }
  },
);
