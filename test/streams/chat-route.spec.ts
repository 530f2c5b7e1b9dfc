/** `POST /chat` with `stream: true`, whose models break: the same promises in our own words. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../src/simulation/json-value.js';
import { asArray, asObject } from '../../src/simulation/json-value.js';
import { reply } from '../../src/testing.js';
import { askGateway } from '../app/ask-gateway.js';
import type { AskOptions, CallerView } from '../app/ask-gateway.js';
import { STORY } from './expect-stream.js';
import { StreamStage, tells } from './stream-stage.js';
import type { Asked } from './stream-stage.js';

let stage: StreamStage;
beforeAll(async () => {
  stage = await StreamStage.start();
}, 30_000);
afterAll(() => stage?.[Symbol.asyncDispose]());

interface Heard extends CallerView {
  readonly question: string;
  readonly deltas: readonly JsonObject[];
  readonly text: string;
  /** The object at the end. */
  readonly whole: JsonObject | undefined;
}

async function chat(parts: Asked['parts'], more: object = {}, options: AskOptions = {}): Promise<Heard> {
  const question = stage.pose(parts);
  const body = { message: question, stream: true, chain: 'pair', ...more };
  const view = await askGateway(stage.gateway.url, body, { ...options, path: '/chat' });
  const objects = view.events.flatMap(({ kind, data }) => (kind === 'done' ? [] : [asObject(JSON.parse(data))]));
  const deltas = objects.filter((object) => 'delta' in object);
  const text = deltas.map(({ delta }) => String(delta)).join('');
  return { ...view, question, deltas, text, whole: objects.find((object) => 'attempts' in object) };
}

function expectEnd({ events, status, isWhole }: CallerView, end: 'done' | 'error'): void {
  expect([status, isWhole]).toEqual([200, true]);
  const ends = events.filter(({ kind }) => kind === 'done' || kind === 'error');
  expect(ends.map(({ kind }) => kind)).toEqual([end]);
  expect(ends[0]).toBe(events.at(-1));
}

describe('POST /chat, streamed', () => {
  it.concurrent.for(['cut', 'reset', 'error', 'stall'] as const)('goes on after a break by %s', async (by) => {
    const heard = await chat({ a: tells(STORY, { until: 30, by }), b: tells(STORY) });
    expectEnd(heard, 'done');
    expect(heard.text).toBe(STORY);
    expect(new Set([...heard.deltas, heard.whole].map((object) => object?.['id'])).size).toBe(1);
    const switched = heard.deltas.findIndex(({ model }) => model === 'b');
    expect(heard.deltas.map(({ fallback }) => asObject(fallback)['to'])).toEqual(
      heard.deltas.map((_, n) => (n === switched ? 'b' : undefined)),
    );
    expect(heard.whole).toMatchObject({
      model: 'b',
      content: STORY,
      finishReason: 'stop',
      fallbackUsed: true,
      attempts: [{ model: 'a' }, { model: 'b', class: 'ok' }],
      latencyMs: expect.any(Number),
    });
    expect(Object.keys(heard.whole ?? {}).toSorted()).toEqual([
      'attempts',
      'content',
      'fallbackUsed',
      'finishReason',
      'id',
      'latencyMs',
      'model',
      'usage',
    ]);
    expect(heard.headers).toMatchObject({ 'x-fallback-model': 'a', 'x-fallback-used': 'false' });
  });

  it.concurrent('tells the tokens at its end: as reported, and of both where it went on', async () => {
    const plain = await chat({ a: reply.text('Hello', { usage: { inputTokens: 3, outputTokens: 2 } }) });
    expect(plain.whole?.['usage']).toMatchObject({ prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 });
    const a = tells(STORY, { until: 40, by: 'cut' });
    const broken = await chat({ a, b: reply.text(STORY, { usage: { inputTokens: 30, outputTokens: 20 } }) });
    expect(broken.whole?.['usage']).toMatchObject({ prompt_tokens: 30, completion_tokens: 30, total_tokens: 60 });
  });

  it.concurrent('counts the tokens itself where the upstream does not tell them', async () => {
    const silent = reply.sse([
      { id: 'x', choices: [{ index: 0, delta: { role: 'assistant', content: 'Hello you' }, finish_reason: 'stop' }] },
      'data: [DONE]\n\n',
    ]);
    const { whole } = await chat({ a: silent });
    expect(asObject(whole?.['usage'])['completion_tokens']).toBeGreaterThan(0);
  });

  it.concurrent('says who goes on also where that one begins with thoughts, and begins its headers with them', async () => {
    const a = reply.text([], { reasoning: ['hm ', 'hm '], breakAfter: { deltas: 2, by: 'cut' } });
    const heard = await chat({ a, b: tells(STORY, { reasoning: ['so '] }) });
    expectEnd(heard, 'done');
    expect(heard.text).toBe(STORY);
    expect(heard.headers).toMatchObject({ 'x-fallback-model': 'a', 'x-fallback-attempts': '1' });
    expect(heard.deltas[0]).toMatchObject({ model: 'b', fallback: { from: 'a', to: 'b', reason: 'stream_cut' } });
  });

  it.concurrent('ends in one error event where nobody goes on', async () => {
    const heard = await chat({ a: tells(STORY, { until: 30, by: 'cut' }), b: reply.error(500) });
    expectEnd(heard, 'error');
    expect(heard.text).toBe(STORY.slice(0, 30));
    expect(heard.whole).toBeUndefined();
    expect(heard.error?.['message']).toContain('after 30 characters');
    expect(asArray(heard.error?.['attempts'])).toHaveLength(2);
  });

  it.concurrent('is no stream where nothing was said: a status', async () => {
    const heard = await chat({ a: reply.error(500), b: reply.error(500) });
    expect(heard.status).toBe(502);
    expect(heard.headers['content-type']).toMatch(/^application\/json/);
  });

  it.concurrent('remembers the whole of a conversation that went on', async () => {
    const user = { userId: 'ann' };
    await chat({ a: tells(STORY, { until: 30, by: 'cut' }), b: tells(STORY) }, user);
    const { question } = await chat({ a: 'Fine.' }, user);
    const [call] = stage.callsOf(question);
    expect(asArray(call?.body['messages']).map((message) => asObject(message)['content'])).toContain(STORY);
  });

  it.concurrent('lets go of every upstream when its caller leaves', async () => {
    const leaving = new AbortController();
    const parts = { a: tells(STORY, { until: 30, by: 'cut' }), b: tells(STORY, { until: 60, by: 'stall' }) };
    let leftAtMs = Infinity;
    const heard = await chat(
      parts,
      { chain: 'calm-pair' },
      {
        signal: leaving.signal,
        onPiece(body) {
          if (!body.includes('"model":"b"') || leaving.signal.aborted) return;
          leftAtMs = performance.now();
          leaving.abort();
        },
      },
    );
    expect(heard.isWhole).toBe(false);
    const ends = await Promise.all(stage.callsOf(heard.question).map((call) => call.ended));
    expect(ends.map(({ how }) => how)).toEqual(['played', 'left']);
    expect((ends[1]?.atMs ?? Infinity) - leftAtMs).toBeLessThan(1_000);
  });
});
