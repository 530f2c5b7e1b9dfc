/**
 * What a caller hears while there is nothing to hear (a model is switched, tool calls are held), and what the upstreams
 * hear of a caller who leaves meanwhile. Through the running gateway over real sockets.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { asObject } from '../../src/simulation/json-value.js';
import { reply } from '../../src/testing.js';
import { expectWhole, STORY } from './expect-stream.js';
import { StreamStage, tells } from './stream-stage.js';

let stage: StreamStage;
beforeAll(async () => {
  stage = await StreamStage.start();
}, 30_000);
afterAll(() => stage?.[Symbol.asyncDispose]());

/** Notes when pieces of a body came, and counts its comments. */
class Listener {
  comments = 0;
  longestSilenceMs = 0;
  #lastAtMs = 0;

  readonly onPiece = (body: string): void => {
    const nowMs = performance.now();
    if (this.#lastAtMs > 0) this.longestSilenceMs = Math.max(this.longestSilenceMs, nowMs - this.#lastAtMs);
    this.#lastAtMs = nowMs;
    this.comments = body.match(/^: /gm)?.length ?? 0;
  };
}

const CALL = { index: 0, id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":' } };
const says = (delta: object, finish_reason: string | null = null): object => ({
  id: 'chatcmpl-1',
  object: 'chat.completion.chunk',
  created: 1,
  model: 'm',
  choices: [{ index: 0, delta, finish_reason }],
});
const calls = says({ tool_calls: [CALL] });
const callsOn = says({ tool_calls: [{ index: 0, function: { arguments: '"Oslo"}' } }] });
const params = { tools: [{ type: 'function', function: { name: 'weather', parameters: { type: 'object' } } }] };
/** Longer than tool calls are held without a word. */
const LONG_MS = 10_700;

describe('while a stream is switched', () => {
  it.concurrent('a comment comes at least every 5 s', { timeout: 20_000 }, async () => {
    const heardBy = new Listener();
    const parts = { a: tells(STORY, { until: 30, by: 'cut' }), b: tells(STORY, { delayMs: 7_500 }) };
    const heard = await stage.ask({ parts, options: { onPiece: heardBy.onPiece } });
    expectWhole(heard, STORY, ['a stream_cut', 'b ok']);
    expect(heardBy.comments).toBeGreaterThan(0);
    expect(heardBy.longestSilenceMs).toBeLessThan(5_000);
  });

  it.concurrent('a caller who leaves is let go of by the next model too', async () => {
    const leaving = new AbortController();
    const parts = { a: tells(STORY, { until: 30, by: 'cut' }), b: reply.hang() };
    const question = stage.pose(parts);
    const asked = stage.ask({ parts, question, options: { signal: leaving.signal } });
    const next = await stage.callOf(question, 2);
    const leftAtMs = performance.now();
    leaving.abort();
    expect((await asked).isWhole).toBe(false);
    const { how, atMs } = await next.ended;
    expect(how).toBe('left');
    // A hundred, where others leave the machine to us.
    expect(atMs - leftAtMs).toBeLessThan(1_000);
  });

  it.concurrent('a silent next model is overtaken, and the first to speak goes on', async () => {
    const parts = { a: tells(STORY, { until: 30, by: 'cut' }), b: reply.hang(), c: tells(STORY) };
    const heard = await stage.ask({ parts, chain: 'hasty' });
    expectWhole(heard, STORY, ['a stream_cut', 'b cancelled', 'c ok']);
    expect(await heard.calls.find(({ model }) => model === 'b')?.ended).toMatchObject({ how: 'left' });
  });
});

describe('while tool calls are held for long', () => {
  it.concurrent('the response begins, comments follow, and then the calls', { timeout: 20_000 }, async () => {
    const heardBy = new Listener();
    const a = reply.sse([calls, callsOn, says({}, 'tool_calls'), 'data: [DONE]\n\n'], { paceMs: LONG_MS / 2 });
    const heard = await stage.ask({ parts: { a }, params, chain: 'calm', options: { onPiece: heardBy.onPiece } });
    expect(heard).toMatchObject({ finishReason: 'tool_calls', toolCalls: [{ arguments: '{"city":"Oslo"}' }] });
    expect(heard.headers).toMatchObject({ 'x-fallback-model': 'a', 'x-fallback-attempts': '1' });
    expect(heardBy.comments).toBeGreaterThan(0);
    expect(heardBy.longestSilenceMs).toBeLessThan(5_000);
    expect(asObject(heard.chunks.at(-1)?.['fallback'])['trace']).toMatch(/^a;ok;\d+ms$/);
  });

  it.concurrent(
    'the headers tell what is known by then, and a failure is an error event',
    { timeout: 20_000 },
    async () => {
      const a = reply.sse([calls, ': cut']);
      const b = reply.sse([calls, callsOn], { paceMs: LONG_MS });
      const heard = await stage.ask({ parts: { a, b }, params, chain: 'calm' });
      expect(heard.status).toBe(200);
      expect(heard.headers).toMatchObject({
        'x-fallback-model': 'b',
        'x-fallback-attempts': '2',
        'x-fallback-used': 'true',
      });
      expect(heard.events.map(({ kind }) => kind)).toEqual(['error']);
      expect(heard.error?.['attempts']).toMatchObject([{ class: 'stream_cut' }, { class: 'stream_cut' }]);
    },
  );

  it.concurrent('behind a text, comments come too', { timeout: 20_000 }, async () => {
    const heardBy = new Listener();
    const pieces = [
      says({ role: 'assistant', content: 'Wait.' }),
      calls,
      callsOn,
      says({}, 'tool_calls'),
      'data: [DONE]\n\n',
    ];
    const a = reply.sse(pieces, { paceMs: 3_000 });
    const heard = await stage.ask({ parts: { a }, params, chain: 'calm', options: { onPiece: heardBy.onPiece } });
    expect(heard).toMatchObject({ text: 'Wait.', finishReason: 'tool_calls' });
    expect(heardBy.longestSilenceMs).toBeLessThan(5_000);
  });
});
