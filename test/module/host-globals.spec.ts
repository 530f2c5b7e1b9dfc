import {
  type ArgumentsHost,
  type CallHandler,
  type CanActivate,
  Catch,
  Controller,
  type ExceptionFilter,
  type ExecutionContext,
  ForbiddenException,
  Get,
  HttpException,
  type INestApplication,
  Injectable,
  type NestInterceptor,
  Param,
  type PipeTransform,
  VersioningType,
} from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import type { IncomingMessage } from 'node:http';
import { buffer, text } from 'node:stream/consumers';
import { map } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { ModelManagerService } from '../../src/index.js';
import { reply } from '../../src/testing.js';
import { twoModels } from './host.js';
import { eventsOf, httpHost, PLATFORMS } from './http-host.js';

const ASK = { messages: [{ role: 'user' as const, content: 'Hi' }] };

/** A host’s own route, which its globals must go on changing. */
@Controller('own')
class OwnController {
  @Get()
  read() {
    return { own: true };
  }
}

@Injectable()
class Wrapping implements NestInterceptor {
  intercept(_: ExecutionContext, next: CallHandler) {
    return next.handle().pipe(map((data: unknown) => ({ data, statusCode: 200 })));
  }
}

@Catch()
class Teapots implements ExceptionFilter {
  catch(exception: unknown, host: ArgumentsHost) {
    const response = host.switchToHttp().getResponse<{ status(code: number): { send(body: unknown): void } }>();
    const cause = exception instanceof HttpException ? exception.getStatus() : 0;
    response.status(418).send({ teapot: true, cause });
  }
}

/** What `ValidationPipe({ whitelist, forbidNonWhitelisted })` does to bodies it knows no class of, and worse. */
@Injectable()
class Forbidding implements PipeTransform {
  transform(): never {
    throw new ForbiddenException('property message should not exist');
  }
}

/** Where Fastify's plugins (helmet, rate limits) set their headers: on its reply, not on the response. */
function addHook(app: INestApplication): void {
  const fastify = app.getHttpAdapter().getInstance() as {
    addHook(name: string, hook: (request: unknown, replying: Replying, done: () => void) => void): void;
  };
  fastify.addHook('onRequest', (_, replying, done) => {
    replying.header('x-hook', 'set');
    done();
  });
}

interface Replying {
  header(name: string, value: string): unknown;
}

@Controller('ask')
class AskingController {
  constructor(private readonly models: ModelManagerService) {}
  @Get(':chain')
  ask(@Param('chain') chain: string) {
    return this.models.chat('Hi', { chain });
  }
}

describe.each(PLATFORMS)('a host’s own route on %s', (on) => {
  it('that lets our errors pass answers with their status', async () => {
    const limited = reply.error(429, {}, { headers: { 'retry-after': '9' } });
    await using stage = await twoModels([reply.error(500), reply.error(422), limited], [reply.error(500), limited]);
    await using host = await httpHost(on, {
      options: { ...stage.options, controllers: false },
      metadata: { controllers: [AskingController] },
    });
    const statuses = [];
    for (const chain of ['default', 'default', 'default', 'nobody']) {
      statuses.push((await host.get(`/ask/${chain}`)).status);
    }
    expect(statuses).toEqual([502, 422, 429, 404]);
  });
});

describe.each(PLATFORMS)('our routes on %s', (on) => {
  it('answer with OpenAI’s shapes under a host’s pipe, interceptor and filter, whose own routes stay as they are', async () => {
    await using stage = await twoModels([reply.text('Hello'), reply.text(['He', 'llo']), 'Hello', reply.error(400)]);
    await using host = await httpHost(on, {
      options: stage.options,
      metadata: { controllers: [OwnController] },
      prepare: (app) =>
        app.useGlobalPipes(new Forbidding()).useGlobalInterceptors(new Wrapping()).useGlobalFilters(new Teapots()),
    });
    expect((await host.get('/own')).json).toEqual({ data: { own: true }, statusCode: 200 });

    const completion = await host.client.chat.completions.create({ ...ASK, model: 'default' });
    expect(completion.choices[0]?.message.content).toBe('Hello');
    const stream = await host.client.chat.completions.create({ ...ASK, model: 'gpt-4', stream: true });
    let said = '';
    for await (const chunk of stream) said += chunk.choices[0]?.delta.content ?? '';
    expect(said).toBe('Hello');
    expect((await host.post('/chat', { message: 'Hi' })).json).toMatchObject({ content: 'Hello', model: 'gpt-4' });

    const refused = await host.post('/v1/chat/completions', { ...ASK, model: 'default' });
    expect([refused.status, Object.keys(refused.json['error'] as object)]).toEqual([
      400,
      ['message', 'type', 'code', 'param', 'attempts'],
    ]);
    for (const [path, body, status, code] of [
      ['/v1/chat/completions', { ...ASK, model: 'nobody' }, 404, 'model_not_found'],
      ['/v1/chat/completions', {}, 400, 'invalid_value'],
      ['/chat', { message: 7 }, 400, 'invalid_value'],
      ['/chat', { message: 'Hi', chain: 'nobody' }, 404, 'model_not_found'],
    ] as const) {
      const answer = await host.post(path, body);
      expect(answer).toMatchObject({ status, json: { error: { message: expect.any(String), code } } });
      expect(answer.headers.get('x-request-id')).toMatch(/./);
    }
    expect((await host.get('/v1/models')).json).toMatchObject({
      object: 'list',
      data: [{ id: 'default' }, { id: 'gpt-4' }, {}],
    });
    expect((await host.get('/metrics')).text).toContain('fallback_requests_total');
    expect((await host.get('/metrics/models')).json).toMatchObject([{ model: 'gpt-4' }, { model: 'gpt-3.5-turbo' }]);
    expect((await host.get('/health/live')).json).toMatchObject({ status: 'ok' });
    expect((await host.get('/nothing')).json).toEqual({ teapot: true, cause: 404 });
  });

  it('obey the host’s guards: each is refused as the host refuses', async () => {
    await using stage = await twoModels('Hello');
    class Refusing implements CanActivate {
      canActivate = () => false;
    }
    const settings = { options: stage.options, metadata: { providers: [{ provide: APP_GUARD, useClass: Refusing }] } };
    await using host = await httpHost(on, settings);
    for (const path of ['/v1/models', '/metrics', '/metrics/models', '/health', '/health/live', '/health/ready']) {
      expect(await host.get(path)).toMatchObject({ status: 403, json: { message: 'Forbidden resource' } });
    }
    expect((await host.post('/chat', { message: 'Hi' })).status).toBe(403);
    expect((await host.post('/v1/chat/completions', ASK)).status).toBe(403);
    expect(stage.first.calls).toHaveLength(0);
  });

  it('stand under the host’s prefix, and after it under our own path', async () => {
    await using stage = await twoModels('Hello');
    const options = { ...stage.options, path: 'llm' };
    await using host = await httpHost(on, { options, prepare: (app) => app.setGlobalPrefix('api') });
    expect((await host.post('/api/llm/v1/chat/completions', ASK)).status).toBe(200);
    expect((await host.get('/api/llm/health/ready')).status).toBe(200);
    for (const path of ['/v1/models', '/api/v1/models', '/llm/v1/models'])
      expect((await host.get(path)).status).toBe(404);
  });

  it.each([
    { why: 'in the URI', versioning: { type: VersioningType.URI, defaultVersion: '7' } as const },
    {
      why: 'in a header',
      versioning: { type: VersioningType.HEADER, header: 'x-version', defaultVersion: '7' } as const,
    },
    {
      why: 'in the media type',
      versioning: { type: VersioningType.MEDIA_TYPE, key: 'v=', defaultVersion: '7' } as const,
    },
  ])('do not move where the host versions its own $why', async ({ versioning }) => {
    await using stage = await twoModels('Hello');
    await using host = await httpHost(on, {
      options: stage.options,
      prepare: (app) => app.enableVersioning(versioning),
    });
    expect((await host.post('/chat', { message: 'Hi' })).status).toBe(200);
    expect((await host.post('/v1/chat/completions', ASK)).status).toBe(200);
    for (const path of ['/v1/models', '/metrics', '/health']) expect((await host.get(path)).status).toBe(200);
    expect((await host.get('/v7/metrics')).status).toBe(404);
  });

  it('keep the headers that a host’s middleware and CORS set, in answers, errors and streams', async () => {
    await using stage = await twoModels(['Hello', 'Hello', reply.text(['He', 'llo'])]);
    await using host = await httpHost(on, {
      options: stage.options,
      prepare: (app) => {
        if (on === 'fastify') addHook(app);
        app.enableCors({ origin: 'https://app.example', exposedHeaders: ['x-fallback-model'] });
        app.use((_: unknown, response: { setHeader(name: string, value: string): void }, next: () => void) => {
          response.setHeader('x-frame-options', 'DENY');
          next();
        });
      },
    });
    const answers = [
      await host.post('/v1/chat/completions', ASK),
      await host.post('/chat', { message: 'Hi' }),
      await host.post('/v1/chat/completions', { ...ASK, stream: true }),
      await host.post('/v1/chat/completions', { ...ASK, model: 'nobody' }),
      await host.get('/metrics'),
      await host.get('/health/live'),
    ];
    for (const { headers } of answers) {
      expect(headers.get('x-frame-options')).toBe('DENY');
      if (on === 'fastify') expect(headers.get('x-hook')).toBe('set');
      expect(headers.get('access-control-allow-origin')).toBe('https://app.example');
      expect(headers.get('access-control-expose-headers')).toBe('x-fallback-model');
    }
    expect(answers.map((answer) => answer.status)).toEqual([200, 200, 200, 404, 200, 200]);
  });

  it('set no CORS header of their own', async () => {
    await using stage = await twoModels('Hello');
    await using host = await httpHost(on, { options: stage.options });
    const { headers } = await host.post('/chat', { message: 'Hi' }, { origin: 'https://evil.example' });
    expect([...headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([]);
  });

  const WRITTEN =
    '{ "messages": [{"role":"user","content":"Hi"}], "temperature": 1.0, "model":"default", "own": {"b":1,"a":2} }';

  it.each([
    { why: 'the host parses it', application: {} },
    { why: 'the host keeps its bytes, too', application: { rawBody: true } },
    { why: 'the host leaves it alone', application: { bodyParser: false } },
  ])('read the body where $why', async ({ application }) => {
    await using stage = await twoModels('Hello');
    await using host = await httpHost(on, { options: stage.options, application });
    expect((await host.post('/v1/chat/completions', WRITTEN)).status).toBe(200);
    expect((await host.post('/chat', { message: 'Hi' })).status).toBe(200);
    const [call] = stage.first.calls;
    expect(call?.body).toEqual({ ...(JSON.parse(WRITTEN) as object), model: 'gpt-4' });
    // With the bytes at hand they go upstream as they came; Fastify parses by itself what Nest leaves alone.
    if (application.rawBody || (application.bodyParser === false && on === 'express')) {
      expect(call?.bodyText).toBe(WRITTEN.replace('"default"', '"gpt-4"'));
    }
  });

  it.each(['bytes', 'text'] as const)('read the body where the host’s parser leaves it as %s', async (kind) => {
    await using stage = await twoModels('Hello');
    await using host = await httpHost(on, {
      options: stage.options,
      application: { bodyParser: false },
      prepare: (app) => {
        // As `express.raw()` and `express.text()` do.
        app.use(async (request: IncomingMessage & { body?: unknown }, _: unknown, next: () => void) => {
          if (on === 'express') request.body = kind === 'text' ? await text(request) : await buffer(request);
          next();
        });
      },
    });
    expect((await host.post('/v1/chat/completions', WRITTEN)).status).toBe(200);
    if (on === 'express') expect(stage.first.calls[0]?.bodyText).toBe(WRITTEN.replace('"default"', '"gpt-4"'));
  });

  it('want application/json, whatever else the host’s parser takes', async () => {
    await using stage = await twoModels('Hello');
    await using host = await httpHost(on, { options: stage.options });
    const form = await host.post('/chat', 'message=Hi', { 'content-type': 'application/x-www-form-urlencoded' });
    expect([form.status, stage.first.calls.length]).toEqual([415, 0]);
  });

  it('stream /chat in our own words', async () => {
    await using stage = await twoModels(reply.error(500), reply.text(['He', 'llo']));
    await using host = await httpHost(on, { options: stage.options });
    const { headers, text: events } = await host.post('/chat', { message: 'Hi', stream: true });
    expect(headers.get('content-type')).toMatch(/^text\/event-stream/);
    expect(headers.get('x-fallback-model')).toBe('gpt-3.5-turbo');
    expect(headers.get('x-fallback-trace')).toMatch(/^gpt-4;server_error;\d+ms, gpt-3\.5-turbo;ok;\d+ms$/);
    expect(eventsOf(events)).toMatchObject([
      { model: 'gpt-3.5-turbo', delta: 'He' },
      { model: 'gpt-3.5-turbo', delta: 'llo' },
      { content: 'Hello', fallbackUsed: true, attempts: [{ class: 'server_error' }, { class: 'ok' }] },
      '[DONE]',
    ]);
  });

  it('remember and forget a user’s conversation, apart from what the host’s own code says', async () => {
    await using stage = await twoModels('Hello');
    await using host = await httpHost(on, { options: stage.options });
    const say = async () => {
      await host.post('/chat', { message: 'Hi', userId: 'a/b' });
      const messages = stage.first.calls.at(-1)?.body['messages'] as unknown[] | undefined;
      return messages?.length;
    };
    expect([await say(), await say()]).toEqual([1, 3]);
    const gone = await fetch(`${host.url}/chat/${encodeURIComponent('a/b')}`, { method: 'DELETE' });
    expect([gone.status, await gone.text()]).toEqual([204, '']);
    expect(await say()).toBe(1);
  });

  it('take a header that shortens the deadline, and one that switches fallbacks off', async () => {
    await using stage = await twoModels([reply.hang(), reply.error(500)]);
    await using host = await httpHost(on, { options: { ...stage.options, chains: { default: ['gpt-4'] } } });
    const late = await host.post('/v1/chat/completions', ASK, { 'x-fallback-deadline-ms': '60' });
    expect(late).toMatchObject({ status: 504, json: { error: { code: 'deadline' } } });
    const off = await host.post('/chat', { message: 'Hi' }, { 'x-fallback': 'off' });
    expect(off.status).toBe(502);
    expect(off.headers.get('x-should-retry')).toBe('false');
    expect(off.headers.get('x-fallback-attempts')).toBe('1');
  });
});
