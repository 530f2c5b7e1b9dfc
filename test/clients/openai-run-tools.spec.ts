/** The official client's tool runner: it calls what the answer asks for, and asks again with the result. */
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { loadCatalogue } from '../failures/catalogue.js';
import { type ReplayStage, startReplayStage } from '../failures/replay-stage.js';
import { CITY } from './stream-cases.js';

vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 });

const cases = loadCatalogue().filter(({ id }) => id === 'stream-tool-call-cut' || id === 'stream-tool-call-bad-args');

let stage: ReplayStage;
beforeAll(async () => {
  stage = await startReplayStage(cases);
});
afterAll(() => stage?.close());

describe('the official tool runner', () => {
  it.for(cases.map((one) => ({ one, ...one })))(
    'is given a whole call by the next model, once: $id, $title',
    async ({ one }) => {
      const client = new OpenAI({ baseURL: `${stage.gateway.url}/v1`, apiKey: 'unused', maxRetries: 0 });
      const called: unknown[] = [];
      const runner = client.chat.completions.runTools({
        model: stage.of(one).names.chain,
        messages: [{ role: 'user', content: 'What is the weather in Paris?' }],
        stream: true,
        tools: [
          {
            type: 'function',
            function: {
              name: 'get_weather',
              description: 'The weather in a city',
              parameters: { ...CITY, required: [...CITY.required] },
              parse: (text: string): unknown => JSON.parse(text),
              function: (given: unknown) => {
                called.push(given);
                return 'sunny';
              },
            },
          },
        ],
      });
      expect(await runner.finalContent()).toBe(' three');
      expect(called).toEqual([{ city: 'Paris' }]);
      const roles = runner.messages.map(({ role }) => role);
      expect(roles).toEqual(['user', 'assistant', 'tool', 'assistant']);
    },
  );
});
