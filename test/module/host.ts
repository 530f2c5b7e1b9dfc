/**
 * What the specs of this directory share: two scripted models behind two providers, and the Nest apps of hosts that import
 * us. Real sockets on loopback; nothing of ours is replaced.
 */
import { type INestApplicationContext, type LoggerService, Module, type ModuleMetadata } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FallbackModule, ModelManagerService } from '../../src/index.js';
import type { FallbackExtras, FallbackOptions } from '../../src/index.js';
import { type Script, type ScriptedModel, startScriptedModel } from '../../src/testing.js';

export interface TwoModels extends AsyncDisposable {
  /** `gpt-4` */
  readonly first: ScriptedModel;
  /** `gpt-3.5-turbo`, at another provider */
  readonly second: ScriptedModel;
  /** Both in the default chain, with short waits. */
  readonly options: FallbackOptions;
}

export async function twoModels(first: Script, second: Script = 'from the second'): Promise<TwoModels> {
  const [one, two] = await Promise.all([startScriptedModel(first), startScriptedModel(second)]);
  return {
    first: one,
    second: two,
    options: optionsFor(one.baseUrl, two.baseUrl),
    async [Symbol.asyncDispose]() {
      await Promise.all([one.close(), two.close()]);
    },
  };
}

export function optionsFor(first: string, second: string): FallbackOptions {
  return {
    providers: {
      one: { baseUrl: first, apiKey: 'sk-one-0123456789abcdef' },
      two: { baseUrl: second, apiKey: 'sk-two-0123456789abcdef' },
    },
    models: { 'gpt-4': { provider: 'one' }, 'gpt-3.5-turbo': { provider: 'two' } },
    chains: { default: ['gpt-4', 'gpt-3.5-turbo'] },
    policy: { maxRetries: 0, backoff: { baseMs: 1, maxMs: 2 } },
  };
}

export interface RunningContext extends AsyncDisposable {
  readonly app: INestApplicationContext;
  readonly models: ModelManagerService;
}

/** An application without HTTP, of our module and whatever else. */
export async function contextOf(
  options: FallbackOptions & FallbackExtras,
  rest: ModuleMetadata & { readonly logger?: LoggerService | false } = {},
): Promise<RunningContext> {
  const { logger = false, imports = [], ...metadata } = rest;
  return contextWith({ ...metadata, imports: [FallbackModule.forRoot(options), ...imports] }, logger);
}

export async function contextWith(
  metadata: ModuleMetadata,
  logger: LoggerService | false = false,
): Promise<RunningContext> {
  @Module({})
  class HostModule {}
  const app = await NestFactory.createApplicationContext(
    { module: HostModule, ...metadata },
    { logger, abortOnError: false },
  );
  return { app, models: app.get(ModelManagerService), [Symbol.asyncDispose]: () => app.close() };
}

/** What a promise rejects with. */
export async function rejectionOf(promise: PromiseLike<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('expected a rejection');
}

export interface LogLine {
  readonly level: string;
  readonly args: readonly unknown[];
}

/** A host's logger that keeps every line; the context is the last argument. */
export class KeptLog implements LoggerService {
  readonly lines: LogLine[] = [];
  readonly log = this.#keeper('log');
  readonly error = this.#keeper('error');
  readonly warn = this.#keeper('warn');
  readonly debug = this.#keeper('debug');
  readonly verbose = this.#keeper('verbose');

  /** Ours alone. */
  get ours(): readonly LogLine[] {
    return this.lines.filter((line) => line.args.at(-1) === 'Fallback');
  }

  text(): string {
    return this.lines
      .map(({ level, args }) => `${level} ${args.map((arg) => JSON.stringify(arg)).join(' ')}`)
      .join('\n');
  }

  #keeper(level: string) {
    return (...args: unknown[]) => void this.lines.push({ level, args });
  }
}
