/**
 * Every stream of the failure catalogue as a client library reads it: from a real socket, through the running gateway,
 * with what we add to a stream (`fallback` in chunks, a last chunk with the trace, comments, error events). A client
 * that trips over any of it would cost its users the answer that the fallback had saved.
 */
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { asObject } from '../../src/simulation/json-value.js';
import { loadCatalogue } from '../failures/catalogue.js';
import type { FailureCase } from '../failures/catalogue.js';
import { type ReplayStage, startReplayStage } from '../failures/replay-stage.js';

/** What one answer came to in the hands of a client. */
export interface Reading {
  readonly text: string;
  /** In OpenAI's words. */
  readonly finishReason: string | undefined;
  readonly toolCalls: readonly { readonly name: string; readonly arguments: unknown }[];
  /** Total tokens; every client here asks for them. */
  readonly usageTotal?: number | undefined;
  /** What the client threw or told of as an error; absent: none. */
  readonly error?: unknown;
}

export interface AskedStream {
  /** Of the gateway, `/v1` included. */
  readonly baseUrl: string;
  /** A chain. */
  readonly model: string;
  readonly question: string;
  /** Functions that take a `city`. */
  readonly tools: readonly string[];
}

/** Reads one stream to its end. Rejects with nothing: what is thrown belongs into the reading. */
export type ReadStream = (asked: AskedStream) => Promise<Reading>;

export const CITY = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] } as const;

const streamed = loadCatalogue().filter(
  ({ request, expect: { caller } }) => request.stream && caller.abort_after_tokens === undefined,
);
/** What becomes of them where no other model is left. */
const aloneEndsIn = (one: FailureCase): 'an error event' | 'a status' | 'an answer' => {
  const alone = one.expect.caller_if_A_is_alone;
  if (typeof alone === 'string') return 'an error event';
  return alone === undefined || alone === 200 ? 'an answer' : 'a status';
};
const failing = streamed.filter((one) => aloneEndsIn(one) !== 'an answer');

/** Some cases wait for limits; processes are started, on machines that may be busy. */
const LIMIT_MS = 30_000;

/** @param read opened once per file; what it needs it starts and stops by itself. */
export function describeStreams(client: string, read: ReadStream): void {
  describe(`${client} reads every stream of the catalogue`, () => {
    vi.setConfig({ testTimeout: LIMIT_MS, hookTimeout: LIMIT_MS });
    let stage: ReplayStage;
    beforeAll(async () => {
      stage = await startReplayStage(streamed);
    });
    afterAll(() => stage?.close());

    const ask = (one: FailureCase, model: string) =>
      read({
        baseUrl: `${stage.gateway.url}/v1`,
        model,
        question: 'Say hello',
        tools: one.request.tools ?? [],
      });

    it.concurrent.for(streamed.map((one) => ({ one, ...one })))('whole: $id, $title', async ({ one }) => {
      const reading = await ask(one, stage.of(one).names.chain);
      expect(reading.error).toBeUndefined();
      expect(reading).toMatchObject(expectedReading(one));
      expect(reading.usageTotal).toBeGreaterThan(0);
      expect(reading.text).not.toContain('\u{FFFD}');
    });

    it.concurrent.for(failing.map((one) => ({ one, ...one, end: aloneEndsIn(one) })))(
      'as its own error, where nobody is left to go on: $id, $end',
      async ({ one, end }) => {
        const { aloneChain, alone } = stage.of(one).names;
        const { text, error } = await ask(one, aloneChain);
        expect(wordsOf(error)).toContain(alone);
        const sent = one.expect.caller.text_starts_with ?? '';
        expect(text).toBe(end === 'an error event' ? sent : '');
      },
    );
  });
}

/** Of the chain with both models. */
function expectedReading(one: FailureCase): Partial<Reading> {
  const { caller } = one.expect;
  const tools = one.request.tools ?? [];
  if (tools.length > 0) {
    const { tool_args: args, tool_calls: count = 1 } = caller;
    const call = {
      name: tools[0] ?? '',
      arguments:
        args === undefined ? expect.objectContaining({ city: expect.any(String) }) : asObject(JSON.parse(args)),
    };
    return { finishReason: 'tool_calls', toolCalls: Array.from({ length: count }, () => call) };
  }
  const { text, text_starts_with: start } = caller;
  const goesOn = start === undefined ? 'Hello from B' : `${start} three`;
  return { text: text ?? goesOn, finishReason: caller.finish_reason ?? 'stop', toolCalls: [] };
}

/** All that an error of a client says, wherever it keeps what the server said. */
function wordsOf(error: unknown): string {
  return inspect(error, { depth: 6, breakLength: Infinity });
}
