/** SIGTERM on a gateway with requests under way: the contract's section 5. */
import { once } from 'node:events';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { reply, startScriptedModel, type Script, type ScriptedModel } from '../../src/testing.js';
import { askGateway } from '../app/ask-gateway.js';
import { type RunningGateway, startGateway } from '../app/start-gateway.js';

// Processes are started, on machines that may be busy.
vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 });

const closers: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

async function open(script: Script, env: Record<string, string> = {}): Promise<[RunningGateway, ScriptedModel]> {
  const model = await startScriptedModel(script);
  // One model: who fails stays failed, and nothing is asked twice.
  const gateway = await startGateway({
    env,
    config: {
      providers: { openai: { baseUrl: model.baseUrl } },
      models: { 'gpt-4': { provider: 'openai' } },
      chains: { default: ['gpt-4'] },
    },
  });
  closers.push(
    () => model.close(),
    () => gateway.stop(),
  );
  return [gateway, model];
}

const CHAT = { model: 'default', messages: [{ role: 'user', content: 'hello' }] };

async function untilReadyIs(gateway: RunningGateway, status: number): Promise<void> {
  await vi.waitFor(async () => expect((await fetch(`${gateway.url}/health/ready`)).status).toBe(status), {
    timeout: 5_000,
    interval: 10,
  });
}

describe('SIGTERM', () => {
  it('lets a request and a stream finish, serves who still comes, says that it is not ready, then exits with 0', async () => {
    const held = Promise.withResolvers<void>();
    const [gateway, model] = await open(async ({ isStreaming, number }) => {
      if (number > 2) return 'late';
      if (isStreaming) return reply.text(['one ', 'two ', 'three'], { paceMs: 200 });
      await held.promise;
      return 'whole';
    });
    const whole = askGateway(gateway.url, CHAT);
    await model.waitForCall(1);
    const { promise: hasBegun, resolve: begin } = Promise.withResolvers<void>();
    const stream = askGateway(gateway.url, { ...CHAT, stream: true }, { onPiece: () => begin() });
    await hasBegun;

    gateway.child.kill('SIGTERM');
    const exited = once(gateway.child, 'exit');
    await untilReadyIs(gateway, 503);
    expect((await fetch(`${gateway.url}/health/live`)).status).toBe(200);
    const late = await askGateway(gateway.url, CHAT);
    expect(late).toMatchObject({ status: 200, text: 'late' });
    expect(late.headers['connection']).toBe('close');
    held.resolve();
    expect(await whole).toMatchObject({ status: 200, text: 'whole', isWhole: true });
    const streamed = await stream;
    expect(streamed).toMatchObject({ text: 'one two three', isWhole: true });
    expect(streamed.events.at(-1)?.kind).toBe('done');
    expect(await exited).toEqual([0, null]);
  });

  it('ends what takes longer than the grace: a stream with an error event that says so, a request with 503', async () => {
    const [gateway, model] = await open(
      ({ isStreaming }) => (isStreaming ? reply.text(['begun ', 'never'], { paceMs: 60_000 }) : reply.hang()),
      { SHUTDOWN_GRACE_MS: '300' },
    );
    const { promise: hasBegun, resolve: begin } = Promise.withResolvers<void>();
    const stream = askGateway(gateway.url, { ...CHAT, stream: true }, { onPiece: () => begin() });
    await hasBegun;
    const whole = askGateway(gateway.url, CHAT);
    const chat = askGateway(gateway.url, { message: 'hello', stream: true }, { path: '/chat' });
    await model.waitForCall(3);

    gateway.child.kill('SIGTERM');
    const exited = once(gateway.child, 'exit');
    const broken = await stream;
    expect(broken).toMatchObject({ status: 200, text: 'begun ', isWhole: true });
    expect(broken.events.map(({ kind }) => kind).at(-1)).toBe('error');
    expect(broken.events.some(({ kind }) => kind === 'done')).toBe(false);
    expect(broken.error).toMatchObject({ code: 'unavailable', message: expect.stringContaining('shutting down') });
    const refused = await whole;
    expect(refused).toMatchObject({ status: 503, error: { code: 'unavailable' } });
    expect(refused.headers['retry-after']).toBe('1');
    const chatted = await chat;
    expect(chatted.isWhole).toBe(true);
    expect(chatted.error).toMatchObject({ code: 'unavailable' });
    expect(await exited).toEqual([0, null]);
    expect(gateway.logs()).toContain('Not all requests finished within 300 ms');
  });

  it('waits for a caller who is still sending', async () => {
    const [gateway] = await open('heard');
    const body = new TextEncoder().encode(JSON.stringify(CHAT));
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    const writer = writable.getWriter();
    const sending = fetch(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: readable,
      duplex: 'half',
    });
    await writer.write(body.slice(0, 10));
    // Proof that the first bytes are there: a request on another connection came after them and is answered.
    await fetch(`${gateway.url}/health/live`);
    gateway.child.kill('SIGTERM');
    const exited = once(gateway.child, 'exit');
    await untilReadyIs(gateway, 503);
    await writer.write(body.slice(10));
    await writer.close();
    expect((await sending).status).toBe(200);
    expect(await exited).toEqual([0, null]);
  });

  it('with nothing under way ends soon', async () => {
    const [gateway] = await open('hello');
    const startedAtMs = performance.now();
    gateway.child.kill('SIGTERM');
    expect(await once(gateway.child, 'exit')).toEqual([0, null]);
    expect(performance.now() - startedAtMs).toBeLessThan(5_000);
  });

  it('a second one ends it at once', async () => {
    const [gateway, model] = await open(reply.hang());
    const lost = askGateway(gateway.url, CHAT).catch((error: unknown) => error);
    await model.waitForCall(1);
    gateway.child.kill('SIGTERM');
    await untilReadyIs(gateway, 503);
    gateway.child.kill('SIGTERM');
    expect(await once(gateway.child, 'exit')).toEqual([143, null]);
    expect(await lost).toBeInstanceOf(Error);
  });
});

it('SIGINT with nothing under way ends at once with 0', async () => {
  const [gateway] = await open('hello');
  const startedAtMs = performance.now();
  gateway.child.kill('SIGINT');
  expect(await once(gateway.child, 'exit')).toEqual([0, null]);
  expect(performance.now() - startedAtMs).toBeLessThan(1_500);
});
