import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ClientProxyFactory, MessagePattern, Transport } from '@nestjs/microservices';
import { firstValueFrom } from 'rxjs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FallbackChainService, FallbackExhaustedError, FallbackModule, ModelManagerService } from '../../src/index.js';
import { reply } from '../../src/testing.js';
import { contextOf, optionsFor, rejectionOf, twoModels } from './host.js';
import { eventsOf, httpHost, PLATFORMS } from './http-host.js';

const unhandled: unknown[] = [];
const note = (reason: unknown) => void unhandled.push(reason);
beforeEach(() => void process.on('unhandledRejection', note));
afterEach(async () => {
  await new Promise((resolve) => setImmediate(resolve));
  process.off('unhandledRejection', note);
  expect(unhandled.splice(0)).toEqual([]);
});

const BARE_HOST = fileURLToPath(new URL('bare-host.mjs', import.meta.url));
const ASK = { messages: [{ role: 'user', content: 'Hi' }] };
const slowly = reply.text(['one ', 'two ', 'three'], { delayMs: 150, paceMs: 60 });

describe.each(PLATFORMS)('close() of a host on %s', (on) => {
  it.each([
    { why: 'a request', ask: ASK, path: '/v1/chat/completions' },
    { why: 'a chat', ask: { message: 'Hi' }, path: '/chat' },
  ])('lets $why that is under way run on to its end', async ({ ask, path }) => {
    await using stage = await twoModels(slowly);
    const host = await httpHost(on, { options: stage.options });
    const answered = host.post(path, ask);
    await stage.first.waitForCall(1);
    await host.app.close();
    expect(await answered).toMatchObject({ status: 200 });
    expect((await answered).text).toContain('one two three');
  });

  it.each([
    { why: 'completions', ask: { ...ASK, stream: true }, path: '/v1/chat/completions' },
    { why: 'chat', ask: { message: 'Hi', stream: true }, path: '/chat' },
  ])('lets a stream of $why that is under way run on to its end', async ({ ask, path }) => {
    await using stage = await twoModels(slowly);
    const host = await httpHost(on, { options: stage.options });
    const answered = host.post(path, ask);
    await stage.first.waitForCall(1);
    await host.app.close();
    const events = eventsOf((await answered).text);
    expect(events.at(-1)).toBe('[DONE]');
    expect(JSON.stringify(events)).toContain('three');
  });

  it('aborts upstream calls whose callers the host cuts off', async () => {
    await using stage = await twoModels(reply.hang());
    const host = await httpHost(on, { options: stage.options, application: { forceCloseConnections: true } });
    const answered = rejectionOf(host.post('/chat', { message: 'Hi' }));
    const call = await stage.first.waitForCall(1);
    if (on === 'fastify') host.app.getHttpServer().closeAllConnections();
    await host.app.close();
    await answered;
    expect(await call.ended).toMatchObject({ how: 'left' });
    expect(stage.second.calls).toHaveLength(0);
  });
});

describe('close() of a host without HTTP', () => {
  it('aborts what its code still waits for, each with an error that says so', async () => {
    await using stage = await twoModels(reply.hang());
    const host = await contextOf(stage.options);
    const stream = host.models.stream('Hi');
    const streamed = rejectionOf(
      (async () => {
        for await (const _ of stream);
      })(),
    );
    const { promise: started, resolve: start } = Promise.withResolvers<AbortSignal>();
    const executed = rejectionOf(
      host.app.get(FallbackChainService).execute(({ signal }) => {
        start(signal);
        return new Promise(() => undefined);
      }),
    );
    const chatted = rejectionOf(host.models.chat('Hi', { signal: new AbortController().signal }));
    await stage.first.waitForCall(2);
    const signal = await started;
    await host.app.close();
    for (const error of await Promise.all([streamed, executed, chatted, rejectionOf(stream.result)])) {
      expect(error).toBeInstanceOf(FallbackExhaustedError);
      expect(error).toMatchObject({ code: 'unavailable', status: 503 });
    }
    expect(signal.aborted).toBe(true);
    for (const call of stage.first.calls) expect(await call.ended).toMatchObject({ how: 'left' });
  });

  it('lets nobody wait who asks afterwards', async () => {
    await using stage = await twoModels('ok');
    const host = await contextOf(stage.options);
    await host.app.close();
    const askedAtMs = performance.now();
    const run = async () => 1;
    for (const error of [
      await rejectionOf(host.models.chat('Hi')),
      await rejectionOf(host.models.stream('Hi').result),
      await rejectionOf(host.app.get(FallbackChainService).execute(run)),
    ]) {
      expect(error).toMatchObject({ code: 'unavailable', status: 503 });
    }
    expect(performance.now() - askedAtMs).toBeLessThan(500);
    expect(stage.first.calls).toHaveLength(0);
  });

  it('may come twice', async () => {
    const host = await contextOf({ simulated: true });
    await host.app.close();
    await host.app.close();
  });
});

describe('a host with shutdown hooks', () => {
  it('that gets SIGTERM answers what is under way, then ends', async () => {
    await using stage = await twoModels(slowly);
    const options = JSON.stringify({ ...stage.options, controllers: ['openai'], serve: true });
    const child = spawn(process.execPath, [BARE_HOST, 'http', options], { stdio: ['ignore', 'pipe', 'inherit'] });
    const exited = once(child, 'exit');
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    const answered = fetch(`${line.toString().trim()}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(ASK),
    });
    await stage.first.waitForCall(1);
    child.kill('SIGTERM');
    expect(await (await answered).text()).toContain('one two three');
    expect(await exited).toEqual([null, 'SIGTERM']);
  });
});

describe('a microservice', () => {
  it('asks, answers over TCP, and closes', async () => {
    await using stage = await twoModels(reply.error(500), 'from the second');
    @Controller()
    class Asking {
      constructor(private readonly models: ModelManagerService) {}
      @MessagePattern('ask')
      async ask(text: string) {
        return (await this.models.chat(text)).content;
      }
    }
    @Module({ imports: [FallbackModule.forRoot(stage.options)], controllers: [Asking] })
    class AppModule {}
    const { port } = await freePort();
    const transport = { transport: Transport.TCP, options: { host: '127.0.0.1', port } } as const;
    const app = await NestFactory.createMicroservice(AppModule, { ...transport, logger: false });
    await app.listen();
    const client = ClientProxyFactory.create(transport);
    expect(await firstValueFrom(client.send('ask', 'Hi'))).toBe('from the second');
    await client.close();
    await app.close();
  });
});

describe('a worker thread', () => {
  it('asks, closes, and ends by itself', async () => {
    await using stage = await twoModels(reply.error(500), 'from the second');
    const options = { ...optionsFor(stage.first.baseUrl, stage.second.baseUrl), ask: true };
    const worker = new Worker(BARE_HOST, { argv: ['context', JSON.stringify(options)], stdout: true });
    const pieces: string[] = [];
    worker.stdout.on('data', (piece: Buffer) => pieces.push(piece.toString()));
    expect(await once(worker, 'exit')).toEqual([0]);
    expect(JSON.parse(pieces.join(''))).toMatchObject({ text: 'from the second' });
  });
});

async function freePort(): Promise<{ port: number }> {
  await using stage = await twoModels('ok');
  return { port: Number(new URL(stage.first.baseUrl).port) };
}
