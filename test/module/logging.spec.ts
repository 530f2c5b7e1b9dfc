import { Writable } from 'node:stream';
import { AsyncLocalStorage } from 'node:async_hooks';
import { Body, ConsoleLogger, Controller, Module, Post, RequestMethod } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Logger as PinoLogger, LoggerModule } from 'nestjs-pino';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { FallbackEvents, FallbackModule, ModelManagerService } from '../../src/index.js';
import { reply, type Script } from '../../src/testing.js';
import { contextOf, KeptLog, rejectionOf, twoModels } from './host.js';
import { NEVER_OPENS } from '../app/policies.js';

/** Fields of our lines, with their level and message. */
const toldBy = (log: KeptLog) =>
  log.ours.map(({ level, args }) => ({ level, ...(args[0] as object), message: args[1] as string }));

describe('the lines of a host', () => {
  it('come through its Logger with the context Fallback, fields first', async () => {
    await using stage = await twoModels(reply.error(500));
    const log = new KeptLog();
    await using host = await contextOf(stage.options, { logger: log });
    await host.models.chat('Hi');
    expect(log.ours.length).toBeGreaterThan(0);
    for (const { args } of log.ours) {
      expect(args).toEqual([expect.any(Object), expect.any(String), 'Fallback']);
    }
    expect(toldBy(log)).toMatchObject([
      {
        level: 'warn',
        message: 'Attempt on gpt-4 failed: server_error',
        status: 500,
        response_time: expect.any(Number),
      },
      { level: 'warn', message: 'Switching to model: gpt-3.5-turbo', from: 'gpt-4', to: 'gpt-3.5-turbo' },
      { level: 'debug', message: 'Successfully used gpt-3.5-turbo', request_id: expect.any(String) },
    ]);
  });

  it('are none above debug for a request that its first model answers', async () => {
    await using stage = await twoModels('ok');
    const log = new KeptLog();
    await using host = await contextOf(stage.options, { logger: log });
    await host.models.chat('Hi');
    await host.models.stream('Hi').result;
    expect(log.ours.map((line) => line.level)).toEqual(['debug', 'debug']);
  });

  it('are none at all at the start, but those of Nest itself', async () => {
    const log = new KeptLog();
    await using _ = await contextOf({}, { logger: log });
    expect(log.ours).toEqual([]);
  });

  const SECRETS = ['sk-one-0123456789abcdef', 'sk-two-0123456789abcdef'];
  const hostile: Script = (call) =>
    reply.error(500, { message: `You said ${call.bodyText}; ${call.headers.authorization}` });

  it('hold no prompt, answer, key or word of an upstream', async () => {
    await using stage = await twoModels(hostile);
    stage.second.use((call) => (call.number === 1 ? reply.error(400, { message: call.bodyText }) : 'The answer is 42'));
    const log = new KeptLog();
    await using host = await contextOf(stage.options, { logger: log });
    await rejectionOf(host.models.chat('My PIN is 1234', { system: 'Be a bank.' }));
    await host.models.chat('My PIN is 1234', { userId: 'ann' });
    expect(log.ours.length).toBeGreaterThan(3);
    for (const word of ['PIN', 'bank', 'The answer', 'You said', ...SECRETS]) expect(log.text()).not.toContain(word);
  });

  it('hold what upstreams say where FALLBACK_LOG_CONTENT asks for it, but never a key', async () => {
    vi.stubEnv('FALLBACK_LOG_CONTENT', 'true');
    await using stage = await twoModels(hostile);
    const log = new KeptLog();
    await using host = await contextOf(stage.options, { logger: log });
    await host.models.chat('My PIN is 1234');
    expect(log.text()).toContain('PIN');
    for (const secret of SECRETS) expect(log.text()).not.toContain(secret);
  });
  afterEach(() => vi.unstubAllEnvs());

  it('are one record each in Nest’s own console logger, as text and as JSON', async () => {
    for (const json of [false, true]) {
      const written: string[] = [];
      const spy = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
        written.push(String(text));
        return true;
      });
      const errors = vi.spyOn(process.stderr, 'write').mockImplementation(() => true);
      try {
        await using stage = await twoModels(reply.error(500));
        await using host = await contextOf(stage.options, { logger: new ConsoleLogger({ json, colors: false }) });
        await host.models.chat('Hi');
      } finally {
        spy.mockRestore();
        errors.mockRestore();
      }
      const lines = written
        .join('')
        .split('\n')
        .filter((line) => line.includes('Fallback') && line.includes('gpt-4'));
      expect(lines.length).toBeGreaterThanOrEqual(2);
      expect(lines.find((line) => line.includes('Switching to model'))).toMatch(/to\W+gpt-3\.5-turbo/);
      if (json) for (const line of lines) expect(() => JSON.parse(line) as unknown).not.toThrow();
    }
  });
});

describe('a host with nestjs-pino', () => {
  it('keeps the fields, and each line under the request that it belongs to', async () => {
    await using stage = await twoModels(reply.error(500, {}, { delayMs: 20 }), reply.text('ok', { delayMs: 20 }));
    const lines: Record<string, unknown>[] = [];
    const stream = new Writable({
      write(piece: Buffer, _, done) {
        for (const line of piece.toString().trim().split('\n')) lines.push(JSON.parse(line) as Record<string, unknown>);
        done();
      },
    });
    @Controller()
    class Asking {
      constructor(private readonly models: ModelManagerService) {}
      @Post('ask')
      ask(@Body() body: { text: string }) {
        return this.models.chat(body.text).then(({ content }) => ({ content }));
      }
    }
    const genReqId = (request: { headers: Record<string, unknown> }) => String(request.headers['x-mine']);
    @Module({
      imports: [
        LoggerModule.forRoot({
          pinoHttp: [{ genReqId, autoLogging: false }, stream],
          forRoutes: [{ path: '/{*splat}', method: RequestMethod.ALL }],
        }),
        FallbackModule.forRoot({
          ...stage.options,
          policy: { breaker: NEVER_OPENS },
          controllers: ['openai'],
        }),
      ],
      controllers: [Asking],
    })
    class AppModule {}
    const app = await NestFactory.create(AppModule, { bufferLogs: true });
    app.useLogger(app.get(PinoLogger));
    await app.listen(0, '127.0.0.1');
    const url = await app.getUrl();
    const post = (path: string, id: string, body: object) =>
      fetch(url + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-mine': id },
        body: JSON.stringify(body),
      });
    const ids = ['a', 'b', 'c', 'd'];
    for (const id of ids) await (await post('/ask', id, { text: 'Hi' })).text();
    await Promise.all(ids.map(async (id) => (await post('/ask', `2${id}`, { text: 'Hi' })).text()));
    const ours = lines.filter((line) => line['context'] === 'Fallback');
    expect(ours.find((line) => String(line['msg']).startsWith('Switching'))).toMatchObject({
      from: 'gpt-4',
      to: 'gpt-3.5-turbo',
      class: 'server_error',
      level: 40,
      req: { id: expect.any(String) },
    });
    const hostIdsByRequest = Map.groupBy(ours, (line) => line['request_id'] as string);
    expect(hostIdsByRequest.size).toBe(8);
    const hostIds = [...hostIdsByRequest.values()].map((of) => [
      ...new Set(of.map((line) => (line['req'] as { id: string }).id)),
    ]);
    expect(hostIds.map((of) => of.length)).toEqual(hostIds.map(() => 1));
    expect(hostIds.flat().toSorted()).toEqual([...ids, ...ids.map((id) => `2${id}`)].toSorted());

    const response = await post('/v1/chat/completions', 'host-id', { messages: [{ role: 'user', content: 'Hi' }] });
    expect(response.headers.get('x-request-id')).toBe('host-id');
    await response.text();
    await app.close();
  });

  it('has its request id reused, a number too', async () => {
    await using stage = await twoModels('ok');
    @Module({ imports: [FallbackModule.forRoot({ ...stage.options, controllers: ['openai'] })] })
    class AppModule {}
    const app = await NestFactory.create(AppModule, { logger: false });
    app.use((request: { id: unknown }, _: unknown, next: () => void) => {
      request.id = 700;
      next();
    });
    await app.listen(0, '127.0.0.1');
    const response = await fetch(`${await app.getUrl()}/v1/models`);
    expect(response.headers.get('x-request-id')).toBe('700');
    await app.close();
  });
});

describe('a host’s async context', () => {
  it('is that of the request in every listener, whichever socket the answer came on', async () => {
    await using stage = await twoModels(
      (call) => (call.number % 2 === 0 ? 'ok' : reply.error(500)),
      reply.text(['o', 'k']),
    );
    await using host = await contextOf({ ...stage.options, policy: { maxRetries: 0, timeoutMs: 5_000 } });
    const context = new AsyncLocalStorage<string>();
    const seen: string[] = [];
    const events = host.app.get(FallbackEvents);
    for (const name of ['attempt.finished', 'model.switched', 'request.finished'] as const) {
      events.on(name).subscribe(() => seen.push(String(context.getStore())));
    }
    for (const id of ['a', 'b', 'c']) {
      seen.length = 0;
      await context.run(id, () => host.models.chat('Hi'));
      await context.run(id, () => host.models.stream('Hi').result);
      expect(new Set(seen)).toEqual(new Set([id]));
    }
  });
});
