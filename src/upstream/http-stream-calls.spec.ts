import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { answerJson, attempt, chunk, httpServer, realClock, requestTo } from '../../test/servers/upstream-stage.js';
import type { StagedServer } from '../../test/servers/upstream-stage.js';
import { HttpUpstream } from './http-upstream.js';
import type { UpstreamRequest } from './upstream.js';

const cleanUps: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp();
});

function upstreamOf(): HttpUpstream {
  const upstream = new HttpUpstream(realClock());
  cleanUps.push(() => upstream.close());
  return upstream;
}

async function serving(server: Promise<StagedServer>): Promise<StagedServer> {
  const ready = await server;
  cleanUps.push(() => ready.close());
  return ready;
}

async function streaming(pieces: readonly string[], ends = true, contentType = 'text/event-stream') {
  return serving(
    httpServer((_, response) => {
      response.writeHead(200, { 'content-type': contentType });
      for (const piece of pieces) response.write(piece);
      if (ends) response.end();
    }),
  );
}

const streamed = (server: StagedServer, changes: Partial<UpstreamRequest> = {}): UpstreamRequest =>
  requestTo(server.url, { streaming: true, ...changes });

/** The payload of the last event. */
const last = (text: string): unknown => JSON.parse(text.trimEnd().split('\n\n').at(-1)?.slice('data: '.length) ?? '');

const ROLE = chunk({ role: 'assistant', content: '' });
const HELLO = chunk({ content: 'Hello' });
const WORLD = chunk({ content: ' A' });
const STOP = chunk({}, 'stop');
const DONE = 'data: [DONE]\n\n';
const USAGE = 'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3}}\n\n';
const callFragment = (index: number, args: string, name?: string): string =>
  chunk({ tool_calls: [{ index, ...(name && { id: name, type: 'function' }), function: { name, arguments: args } }] });

describe('a stream that calls tools', () => {
  const HALF = callFragment(0, '{"city":', 'weather');
  const REST = callFragment(0, '"Rome"}');
  const CALLS = chunk({}, 'tool_calls');

  it('has spoken with its first call, and delivers all of them once it has finished', async () => {
    const rest = Promise.withResolvers<void>();
    const server = await serving(
      httpServer((_, response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.write(ROLE + HALF);
        void rest.promise.then(() => response.end(REST + CALLS + DONE));
      }),
    );
    const { end, calls, text } = attempt(upstreamOf(), streamed(server));
    while (calls.length === 0) await turn();
    expect(calls).toEqual(['held token']);
    rest.resolve();
    expect(await end).toMatchObject({ type: 'completed', finishReason: 'tool_calls' });
    expect(calls).toEqual(['held token', 'first token', 'bytes', 'end']);
    expect(text()).toBe(ROLE + HALF + REST + CALLS);
  });

  it.each([
    ['inside a call', [HALF], 'stream_cut', 'nothing', undefined],
    ['inside a call after text', [HELLO, HALF, WORLD], 'stream_cut', 'text', 'Hello A'],
    ['with an error after a call', [HALF, 'data: {"error":{"message":"x"}}\n\n'], 'stream_error', 'nothing', undefined],
    ['with arguments that are no JSON', [HALF, CALLS, DONE], 'bad_response', 'nothing', undefined],
    ['with arguments that are no JSON after text', [HELLO, HALF, CALLS], 'bad_response', 'text', 'Hello'],
  ])('and breaks %s has delivered nothing of them', async (_, pieces, failureClass, delivered, delivery) => {
    const server = await streaming(pieces);
    const { end, text } = attempt(upstreamOf(), streamed(server));
    const ended = await end;
    expect(ended).toMatchObject({ type: 'failed', failure: { class: failureClass }, delivered });
    expect(ended).toHaveProperty(
      'usage.outputTokens',
      expect.toSatisfy((tokens: number) => tokens > 0),
    );
    expect('text' in ended ? ended.text : undefined).toBe(delivery);
    expect(text()).not.toContain('tool_calls');
  });

  it('may be silent in the middle of a call no longer than in the middle of a text', async () => {
    const server = await streaming([ROLE, HALF], false);
    const { end, calls } = attempt(upstreamOf(), streamed(server), { answerMs: 5_000, idleMs: 50 });
    expect(await end).toMatchObject({ failure: { class: 'timeout_idle' }, delivered: 'nothing' });
    expect(calls).toEqual(['held token', 'end']);
  });

  it('passes them on as they come where that was asked for, and cannot be gone on from', async () => {
    const server = await streaming([HALF]);
    const { end, calls, text } = attempt(upstreamOf(), streamed(server, { toolCalls: 'pass' }));
    expect(await end).toMatchObject({ failure: { class: 'stream_cut' }, delivered: 'unresumable' });
    expect([calls, text()]).toEqual([['first token', 'bytes', 'end'], HALF]);
  });
});

describe('the usage that a caller asked for', () => {
  const counted = { prompt_tokens: 8, completion_tokens: 2, total_tokens: 10 };

  it('is counted by us where the upstream tells none, in the stream’s own id', async () => {
    const server = await streaming([HELLO, WORLD, STOP, DONE]);
    const { end, text } = attempt(upstreamOf(), streamed(server, { wantsUsage: true }));
    expect(await end).toMatchObject({ usage: { inputTokens: 8, outputTokens: 2, reported: false } });
    expect(last(text())).toMatchObject({ id: 'chatcmpl-A1', choices: [], usage: counted });
  });

  it('is counted by us where one JSON body came instead of a stream, and tells none', async () => {
    const server = await streaming([answerJson('Hello A', { usage: undefined })], true, 'text/json');
    const { end, text } = attempt(upstreamOf(), streamed(server, { wantsUsage: true }));
    expect(await end).toMatchObject({ streamId: 'chatcmpl-A1' });
    expect(last(text())).toMatchObject({ choices: [], usage: counted });
  });

  it('is the upstream’s where it tells it', async () => {
    const server = await streaming([HELLO, STOP, USAGE, DONE]);
    const { end, text } = attempt(upstreamOf(), streamed(server, { wantsUsage: true }));
    await end;
    expect(text()).toBe(HELLO + STOP + USAGE);
  });
});
