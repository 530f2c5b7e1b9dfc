import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { INestApplication } from '@nestjs/common';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FallbackModule } from '../../src/index.js';
import type { FallbackExtras, FallbackOptions } from '../../src/index.js';
import { startScriptedModel } from '../../src/testing.js';
import { optionsFor } from './host.js';

const BARE_HOST = fileURLToPath(new URL('bare-host.mjs', import.meta.url));
/** A host that has closed and still runs is a failure of its own. */
const EXIT_LIMIT_MS = 15_000;

interface HostReport {
  readonly afterStart: readonly string[];
  readonly files: readonly string[];
  readonly text?: string;
  readonly status?: number;
  readonly environmentChanged: boolean;
  readonly listenersChanged: boolean;
}

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'host-'));
});
afterEach(() => rm(directory, { recursive: true }));

/** Resolves only where the process ended by itself with code 0. */
async function runHost(
  kind: 'context' | 'http' | 'microservice',
  options: FallbackOptions & FallbackExtras & { readonly ask?: boolean } = {},
): Promise<HostReport> {
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [BARE_HOST, kind, JSON.stringify(options)], {
    cwd: directory,
    env: { PATH: process.env['PATH'] ?? '' },
    timeout: EXIT_LIMIT_MS,
  });
  expect(stderr).toBe('');
  return JSON.parse(stdout) as HostReport;
}

describe.each(['context', 'http', 'microservice'] as const)('a host that is a Nest %s and only imports us', (kind) => {
  it('gets no timer, port, file, signal handler or variable, writes nothing, and ends by itself once closed', async () => {
    const report = await runHost(kind);
    expect(report).toEqual({
      afterStart: [],
      files: [],
      environmentChanged: false,
      listenersChanged: false,
      ...(kind === 'http' && { status: 404 }),
    });
  });

  it('ends by itself once closed where it has asked, with connections still warm', async () => {
    await using model = await startScriptedModel('fine');
    const report = await runHost(kind, { ...optionsFor(model.baseUrl, model.baseUrl), ask: true });
    expect(report).toMatchObject({ text: 'fine', files: [] });
  });
});

describe('a host that only imports us', () => {
  it('does not have the .env of its working directory read', async () => {
    await writeFile(join(directory, '.env'), 'FALLBACK_MAX_RETRIES=many\nOPENAI_API_KEY=sk-nobody-asked\n');
    await mkdir(join(directory, 'logs'));
    const report = await runHost('context');
    expect(report).toMatchObject({ environmentChanged: false, files: ['.env', 'logs'] });
    expect(await readdir(join(directory, 'logs'))).toEqual([]);
    expect(await readFile(join(directory, '.env'), 'utf8')).toContain('many');
  });

  it('does not have variables of the gateway looked at', async () => {
    const bad = { PORT: 'x', HOST: '!', REDIS_URL: 'nonsense', FALLBACK_API_KEYS: ',', FALLBACK_SIMULATED: 'perhaps' };
    const env = { PATH: process.env['PATH'] ?? '', ...bad };
    const run = promisify(execFile)(process.execPath, [BARE_HOST, 'context', '{}'], { cwd: directory, env });
    await expect(run).resolves.toMatchObject({ stderr: '' });
  });

  it('gets simulated models only where its options ask for them', async () => {
    const report = await runHost('context', { simulated: true, ask: true });
    expect(report.afterStart).toEqual(['TCPServerWrap']);
    expect(report.text).toContain('simulated');
  });
});

describe('the routes of a host', () => {
  async function routesOf(extras: FallbackExtras, on: 'express' | 'fastify'): Promise<string[]> {
    const testing = await Test.createTestingModule({ imports: [FallbackModule.forRoot(extras)] }).compile();
    const app: INestApplication = testing.createNestApplication(
      on === 'express' ? new ExpressAdapter() : new FastifyAdapter(),
    );
    const routes: string[] = [];
    if (on === 'fastify') {
      app
        .getHttpAdapter()
        .getInstance()
        .addHook('onRoute', ({ method, url }: { method: string; url: string }) => {
          if (method !== 'HEAD') routes.push(`${method} ${url}`);
        });
    }
    await app.init();
    if (on === 'express') {
      const { stack } = app.getHttpAdapter().getInstance().router as { stack: { route?: ExpressRoute }[] };
      for (const { route } of stack) {
        for (const method of Object.keys(route?.methods ?? {})) routes.push(`${method.toUpperCase()} ${route?.path}`);
      }
    }
    await app.close();
    return routes.toSorted();
  }

  const CHAT = ['DELETE /chat/:userId', 'POST /chat'];
  const OPENAI = ['GET /v1/models', 'POST /v1/chat/completions'];
  const METRICS = ['GET /metrics', 'GET /metrics/models'];
  const HEALTH = ['GET /health', 'GET /health/live', 'GET /health/ready', 'GET /health/startup'];
  const all = [...CHAT, ...OPENAI, ...METRICS, ...HEALTH].toSorted();

  describe.each(['express', 'fastify'] as const)('on %s', (on) => {
    it.each([
      { why: 'without a word', extras: {}, routes: [] },
      { why: 'with controllers: false', extras: { controllers: false }, routes: [] },
      { why: 'with an empty list', extras: { controllers: [] }, routes: [] },
      { why: 'with a path alone', extras: { path: 'ai' }, routes: [] },
      { why: 'with controllers: true', extras: { controllers: true }, routes: all },
      { why: 'with one group', extras: { controllers: ['openai'] as const }, routes: OPENAI },
      {
        why: 'with two groups',
        extras: { controllers: ['metrics', 'chat'] as const },
        routes: [...CHAT, ...METRICS].toSorted(),
      },
      {
        why: 'under a path',
        extras: { controllers: ['health'] as const, path: '/ai/llm/' },
        routes: HEALTH.map((route) => route.replace('/health', '/ai/llm/health')),
      },
    ])('$why are what was asked for', async ({ extras, routes }) => {
      expect(await routesOf(extras, on)).toEqual(routes);
    });
  });
});

interface ExpressRoute {
  readonly path: string;
  readonly methods: Readonly<Record<string, boolean>>;
}
