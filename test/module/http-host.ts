/** A host that listens, on Express or on Fastify, with whatever globals it has of its own. */
import type { INestApplication, NestApplicationOptions } from '@nestjs/common';
import type { ModuleMetadata } from '@nestjs/common';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import OpenAI from 'openai';
import { FallbackModule } from '../../src/index.js';
import type { JsonObject } from '../../src/simulation/json-value.js';
import type { FallbackExtras, FallbackOptions } from '../../src/index.js';

export type Platform = 'express' | 'fastify';
export const PLATFORMS = ['express', 'fastify'] as const satisfies Platform[];

export interface HttpHost extends AsyncDisposable {
  readonly app: INestApplication;
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
  readonly client: OpenAI;
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<Answer>;
  get(path: string, headers?: Record<string, string>): Promise<Answer>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** Empty where the body is none. */
  readonly json: JsonObject;
}

export interface HostSettings {
  /** All routes unless said otherwise. */
  readonly options: FallbackOptions & FallbackExtras;
  readonly metadata?: ModuleMetadata;
  readonly application?: NestApplicationOptions;
  /** Before the app listens. */
  readonly prepare?: (app: INestApplication) => unknown;
}

export async function httpHost(platform: Platform, settings: HostSettings): Promise<HttpHost> {
  const { options, metadata = {}, application, prepare } = settings;
  const imports = [FallbackModule.forRoot({ controllers: true, ...options }), ...(metadata.imports ?? [])];
  const testing = await Test.createTestingModule({ ...metadata, imports }).compile();
  const adapter = platform === 'express' ? new ExpressAdapter() : new FastifyAdapter();
  const app = testing.createNestApplication(adapter, { logger: false, ...application });
  await prepare?.(app);
  await app.listen(0, '127.0.0.1');
  const { port } = app.getHttpServer().address() as { port: number };
  const url = `http://127.0.0.1:${port}`;
  return {
    app,
    url,
    client: new OpenAI({ baseURL: `${url}/v1`, apiKey: 'any', maxRetries: 0 }),
    post: (path, body, headers = {}) => {
      const text = typeof body === 'string' ? body : JSON.stringify(body);
      const all = { 'content-type': 'application/json', ...headers };
      return ask(url + path, { method: 'POST', headers: all, body: text });
    },
    get: (path, headers = {}) => ask(url + path, { headers }),
    [Symbol.asyncDispose]: () => app.close(),
  };
}

async function ask(url: string, init: RequestInit): Promise<Answer> {
  const response = await fetch(url, init);
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, json: (jsonOf(text) ?? {}) as JsonObject };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The `data:` events of a stream, JSON parsed. */
export function eventsOf(text: string): unknown[] {
  return text
    .split('\n\n')
    .filter((event) => event.startsWith('data: '))
    .map((event) => jsonOf(event.slice(6)) ?? event.slice(6));
}
