import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Injectable, Module, type ModuleMetadata } from '@nestjs/common';
import { ConfigModule, ConfigService, registerAs } from '@nestjs/config';
import { Test } from '@nestjs/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { FALLBACK_OPTIONS, FallbackConfigError, FallbackModule, ModelManagerService } from '../../src/index.js';
import type { FallbackOptions, FallbackOptionsFactory } from '../../src/index.js';
import { type ScriptedModel, startScriptedModel } from '../../src/testing.js';
import { rejectionOf } from './host.js';

let directory: string;
let model: ScriptedModel;
const environment = { ...process.env };

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'host-'));
  model = await startScriptedModel('ok');
});
afterEach(async () => {
  process.env = { ...environment };
  await model.close();
  await rm(directory, { recursive: true });
});

async function fileOf(name: string, content: string): Promise<string> {
  const path = join(directory, name);
  await writeFile(path, content);
  return path;
}

/** The models of the default chain, as the app has them. */
async function modelsOf(metadata: ModuleMetadata): Promise<string[]> {
  const app = await Test.createTestingModule(metadata).compile();
  const names = app
    .get(ModelManagerService)
    .getMetrics()
    .map(({ model: name }) => name);
  await app.close();
  return names;
}

describe('what the host’s ConfigModule holds', () => {
  it.each([
    { why: 'before us', arrange: (config: object, us: object) => [config, us] },
    { why: 'after us', arrange: (config: object, us: object) => [us, config] },
    { why: 'inside a module of the host’s, after us', arrange: (config: object, us: object) => [us, wrapped(config)] },
    { why: 'beside us, while we stand deeper', arrange: (config: object, us: object) => [wrapped(us), config] },
  ])('counts where it stands $why, global or not', async ({ arrange }) => {
    const envFilePath = await fileOf('own.env', 'FALLBACK_PRIMARY_MODEL=from-env-file\nFALLBACK_MODEL=a,b\n');
    for (const isGlobal of [true, false]) {
      delete process.env['FALLBACK_PRIMARY_MODEL'];
      delete process.env['FALLBACK_MODEL'];
      const config = ConfigModule.forRoot({ envFilePath, isGlobal });
      const imports = arrange(config, FallbackModule.forRoot()) as NonNullable<ModuleMetadata['imports']>;
      expect(await modelsOf({ imports })).toEqual(['from-env-file', 'a', 'b']);
    }
  });

  it.each([true, false])('counts where it is loaded by functions, before us: %s', async (isBefore) => {
    const config = ConfigModule.forRoot({
      ignoreEnvFile: true,
      load: [
        registerAs('mine', () => ({ secret: 'x' })),
        () => ({ FALLBACK_PRIMARY_MODEL: 'loaded', FALLBACK_MODEL: 'b' }),
      ],
    });
    const us = FallbackModule.forRoot();
    expect(await modelsOf({ imports: isBefore ? [config, us] : [us, config] })).toEqual(['loaded', 'b']);
  });

  it.each([true, false])('counts with the types that a schema gave it, before us: %s', async (isBefore) => {
    process.env['FALLBACK_MAX_RETRIES'] = '2';
    process.env['FALLBACK_ENABLED'] = 'false';
    process.env['FALLBACK_PRIMARY_MODEL'] = 'validated';
    const validationSchema = z.object({
      FALLBACK_MAX_RETRIES: z.coerce.number(),
      FALLBACK_ENABLED: z.stringbool(),
      FALLBACK_PRIMARY_MODEL: z.string().transform((text) => text.toUpperCase()),
    });
    const config = ConfigModule.forRoot({ ignoreEnvFile: true, validationSchema });
    const us = FallbackModule.forRoot();
    expect((await modelsOf({ imports: isBefore ? [config, us] : [us, config] }))[0]).toBe('VALIDATED');
  });

  it('counts with what its own function made of it', async () => {
    const validate = () => ({ FALLBACK_PRIMARY_MODEL: 'checked', FALLBACK_MAX_RETRIES: 0 });
    const config = ConfigModule.forRoot({ ignoreEnvFile: true, validate });
    expect((await modelsOf({ imports: [FallbackModule.forRoot(), config] }))[0]).toBe('checked');
  });

  it('counts where it caches', async () => {
    process.env['FALLBACK_PRIMARY_MODEL'] = 'cached';
    const config = ConfigModule.forRoot({ ignoreEnvFile: true, cache: true, isGlobal: true });
    expect((await modelsOf({ imports: [config, FallbackModule.forRoot()] }))[0]).toBe('cached');
  });

  it.each([true, false])(
    'counts alone where it leaves the process’s environment out, before us: %s',
    async (isBefore) => {
      process.env['FALLBACK_PRIMARY_MODEL'] = 'of-the-process';
      const config = ConfigModule.forRoot({
        ignoreEnvFile: true,
        skipProcessEnv: true,
        load: [() => ({ FALLBACK_MODEL: 'loaded' })],
      });
      const us = FallbackModule.forRoot();
      expect(await modelsOf({ imports: isBefore ? [config, us] : [us, config] })).toEqual(['gpt-4', 'loaded']);
    },
  );

  it('is not needed: the process’s environment counts by itself', async () => {
    process.env['FALLBACK_PRIMARY_MODEL'] = 'of-the-process';
    expect((await modelsOf({ imports: [FallbackModule.forRoot()] }))[0]).toBe('of-the-process');
  });

  it('fills the names in a config file, keys included', async () => {
    const file = await fileOf(
      'fallback.yaml',
      `providers: { mine: { baseUrl: "\${MY_URL}", apiKey: "\${MY_KEY}" } }
models: { m: { provider: mine } }
chains: { default: [m] }`,
    );
    const load = [() => ({ MY_URL: model.baseUrl, MY_KEY: 'sk-from-the-hosts-config', FALLBACK_CONFIG_FILE: file })];
    const imports = [FallbackModule.forRoot(), ConfigModule.forRoot({ ignoreEnvFile: true, load })];
    const app = await Test.createTestingModule({ imports }).compile();
    await app.get(ModelManagerService).chat('hi');
    await app.close();
    expect(model.calls[0]?.headers.authorization).toBe('Bearer sk-from-the-hosts-config');
  });

  it('is what a config file’s name may be filled from, in ConfigService.set too', async () => {
    @Module({ imports: [ConfigModule.forRoot({ ignoreEnvFile: true })] })
    class Settings {
      constructor(config: ConfigService) {
        config.set('FALLBACK_PRIMARY_MODEL', 'set-by-hand');
      }
    }
    expect((await modelsOf({ imports: [FallbackModule.forRoot(), Settings] }))[0]).toBe('set-by-hand');
  });
});

describe('options that are made when the app is compiled', () => {
  const made: FallbackOptions = { models: { a: { provider: 'openai' } }, chains: { default: ['a'] } };

  it('come from a factory with what it injects and imports', async () => {
    const imports = [
      FallbackModule.forRootAsync({
        imports: [ConfigModule.forRoot({ ignoreEnvFile: true, load: [() => ({ mine: { first: 'injected' } })] })],
        inject: [ConfigService],
        useFactory: async (config: ConfigService) => ({
          chains: { default: [config.getOrThrow<string>('mine.first')] },
        }),
      }),
    ];
    expect(await modelsOf({ imports })).toEqual(['injected']);
  });

  it('come from a namespace of the host’s configuration', async () => {
    const appConfig = registerAs('fallback', () => made);
    expect(await modelsOf({ imports: [FallbackModule.forRootAsync(appConfig.asProvider())] })).toEqual(['a']);
  });

  it('come from a namespace that is loaded asynchronously', async () => {
    const slow = registerAs('fallback', async () => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      return made;
    });
    const imports = [
      FallbackModule.forRootAsync({ ...slow.asProvider(), controllers: ['chat'] }),
      ConfigModule.forRoot({ ignoreEnvFile: true, load: [slow] }),
    ];
    expect(await modelsOf({ imports })).toEqual(['a']);
  });

  it.each([
    {
      why: 'imports it for us',
      imports: (config: Config) => [FallbackModule.forRootAsync({ imports: [config], ...late })],
    },
    {
      why: 'has it globally',
      imports: (config: Config) => [FallbackModule.forRootAsync(late), config],
    },
    {
      why: 'imports the plain ConfigModule for us',
      imports: (config: Config) => [config, FallbackModule.forRootAsync({ imports: [ConfigModule], ...late })],
    },
  ])('see what an asynchronous load brings, where the host $why', async ({ imports }) => {
    const load = [
      async () => {
        await new Promise((resolve) => setTimeout(resolve, 20));
        return { LATE: 'late-model', FALLBACK_MODEL: 'late-too' };
      },
    ];
    const config = ConfigModule.forRoot({ ignoreEnvFile: true, isGlobal: true, load });
    expect(await modelsOf({ imports: imports(config) })).toEqual(['late-model', 'late-too']);
  });

  it('come from a class that we build', async () => {
    @Injectable()
    class Options implements FallbackOptionsFactory {
      constructor(private readonly config: ConfigService) {}
      createFallbackOptions() {
        return { chains: { default: [this.config.getOrThrow<string>('FIRST')] } };
      }
    }
    const config = ConfigModule.forRoot({ ignoreEnvFile: true, load: [() => ({ FIRST: 'by-class' })] });
    expect(
      await modelsOf({ imports: [FallbackModule.forRootAsync({ imports: [config], useClass: Options })] }),
    ).toEqual(['by-class']);
  });

  it('come from a class that the host has', async () => {
    @Injectable()
    class Options implements FallbackOptionsFactory {
      createFallbackOptions = async () => made;
    }
    @Module({ providers: [Options], exports: [Options] })
    class OptionsModule {}
    const imports = [FallbackModule.forRootAsync({ imports: [OptionsModule], useExisting: Options })];
    expect(await modelsOf({ imports })).toEqual(['a']);
  });

  it('may be nothing', async () => {
    const imports = [FallbackModule.forRootAsync({ useFactory: () => ({}) })];
    expect(await modelsOf({ imports })).toEqual(['gpt-4', 'gpt-3.5-turbo']);
  });
});

describe('precedence', () => {
  it('is options over variables over file over defaults, key by key', async () => {
    const configFile = await fileOf(
      'fallback.json',
      JSON.stringify({
        providers: { openai: { baseUrl: 'http://127.0.0.1:1/v1' } },
        models: { a: { provider: 'openai', id: 'a-file' } },
        chains: { default: ['a'] },
      }),
    );
    process.env['OPENAI_BASE_URL'] = 'http://127.0.0.1:2/v1';
    process.env['OPENAI_API_KEY'] = 'sk-of-the-environment';
    const imports = [FallbackModule.forRoot({ configFile, providers: { openai: { baseUrl: model.baseUrl } } })];
    const app = await Test.createTestingModule({ imports }).compile();
    await app.get(ModelManagerService).chat('hi');
    await app.close();
    expect(model.calls[0]).toMatchObject({
      model: 'a-file',
      headers: { authorization: 'Bearer sk-of-the-environment' },
    });
  });
});

describe('FALLBACK_OPTIONS', () => {
  it('are the options as the host gave them, without what only the definition uses', async () => {
    const options = { policy: { maxRetries: 1 } };
    const us = FallbackModule.forRoot({ ...options, isGlobal: true, controllers: ['chat'], path: 'x' });
    const app = await Test.createTestingModule({ imports: [us] }).compile();
    expect(app.get(FALLBACK_OPTIONS)).toEqual(options);
    await app.close();
  });

  it('may leave anything undefined', async () => {
    const nothing = { enabled: undefined, providers: { openai: { apiKey: undefined } }, policy: { stream: undefined } };
    const extras = { isGlobal: undefined, controllers: undefined, path: undefined, conversationStore: undefined };
    const us = FallbackModule.forRoot({ ...nothing, ...extras } as unknown as FallbackOptions);
    expect(await modelsOf({ imports: [us] })).toEqual(['gpt-4', 'gpt-3.5-turbo']);
  });
});

describe('wrong configuration', () => {
  it('shows at compile(), all of it at once, without a key', async () => {
    process.env['FALLBACK_MAX_RETRIES'] = 'many';
    const options = {
      providers: { p: { baseUrl: 'nonsense', apiKey: 'sk-very-secret-0123456789' } },
      polcy: {},
    } as FallbackOptions;
    const error = await rejectionOf(Test.createTestingModule({ imports: [FallbackModule.forRoot(options)] }).compile());
    expect(error).toBeInstanceOf(FallbackConfigError);
    const { faults, message } = error as FallbackConfigError;
    expect(faults).toHaveLength(3);
    expect(faults.join('\n')).toMatch(/FALLBACK_MAX_RETRIES=.*many/);
    expect(faults.join('\n')).toMatch(/polcy.*policy/);
    expect(message).toContain(faults[0]);
    expect(message).not.toContain('very-secret');
  });

  it('is an unset name in a config file', async () => {
    const configFile = await fileOf('f.yaml', 'providers: { openai: { apiKey: "${NOBODY_SET_ME}" } }');
    const error = await rejectionOf(
      Test.createTestingModule({ imports: [FallbackModule.forRoot({ configFile })] }).compile(),
    );
    expect(String(error)).toContain('NOBODY_SET_ME');
  });

  it.each(['isGlobal', 'controllers', 'path', 'conversationStore'])('is %s in a factory’s result', async (key) => {
    const us = FallbackModule.forRootAsync({ useFactory: () => ({ [key]: true }) });
    const error = await rejectionOf(Test.createTestingModule({ imports: [us] }).compile());
    expect(error).toBeInstanceOf(FallbackConfigError);
    expect(String(error)).toMatch(new RegExp(`${key}.*beside the factory`));
  });

  it.each([
    { why: 'nothing at all', result: undefined },
    { why: 'a text', result: 'default' },
  ])('is a factory that makes $why', async ({ result }) => {
    const us = FallbackModule.forRootAsync({ useFactory: () => result as unknown as FallbackOptions });
    const error = await rejectionOf(Test.createTestingModule({ imports: [us] }).compile());
    expect(error).toBeInstanceOf(FallbackConfigError);
  });

  it('is a group of routes that nobody knows', async () => {
    const controllers = ['chats'] as unknown as ['chat'];
    const compiled = async () =>
      Test.createTestingModule({ imports: [FallbackModule.forRoot({ controllers })] }).compile();
    expect(String(await rejectionOf(compiled()))).toMatch(/chats.*chat, openai, metrics, health/);
  });
});

type Config = ReturnType<typeof ConfigModule.forRoot>;

/** Names its first model by a key of the host's configuration; FALLBACK_MODEL names the rest. */
const late = {
  inject: [ConfigService],
  useFactory: (config: ConfigService): FallbackOptions => ({
    chains: { default: [config.getOrThrow<string>('LATE'), config.getOrThrow<string>('FALLBACK_MODEL')] },
  }),
};

function wrapped(inner: object): object {
  @Module({})
  class Wrapper {}
  return { module: Wrapper, imports: [inner] };
}
