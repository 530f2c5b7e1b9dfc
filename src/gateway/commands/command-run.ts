/**
 * What every command has in common: the configuration it reads as the gateway does, the module it works on, and how it
 * speaks to people and to programs.
 */
import { type DynamicModule, type INestApplicationContext, Module } from '@nestjs/common';
import { ConfigModule } from '@nestjs/config';
import { NestFactory } from '@nestjs/core';
import { FallbackModule } from '../../fallback.module.js';
import { type GatewayConfiguration, readGatewayConfiguration } from '../gateway-configuration.js';
import type { Terminal } from '../progress-bar.js';

export const EXIT_WELL = 0;
export const EXIT_NOT_WELL = 1;

/** What stands before every command's own options. */
export interface CommandOptions {
  /** Wins over FALLBACK_CONFIG_FILE. */
  readonly config?: string;
  /** One JSON document on standard output, and nothing else there. */
  readonly json?: boolean;
}

export interface CommandOutput {
  /** Lines for people. */
  readonly out: Terminal;
  /** Where progress is drawn. */
  readonly progress: Terminal;
}

/** @returns the exit code. Throws FallbackConfigError where the configuration cannot be right. */
export type Command<Options extends CommandOptions = CommandOptions> = (
  options: Options,
  output: CommandOutput,
) => Promise<number>;

/** The module as the gateway has it, without routes, port or log. */
export async function withModule<T>(
  { options }: GatewayConfiguration,
  use: (app: INestApplicationContext) => Promise<T>,
): Promise<T> {
  const app = await NestFactory.createApplicationContext(CommandModule.forRoot(options), {
    logger: false,
    abortOnError: false,
  });
  try {
    return await use(app);
  } finally {
    await app.close();
  }
}

/** The same, from the command line's own options. */
export async function onConfiguredModule<T>(
  { config }: CommandOptions,
  use: (app: INestApplicationContext, configuration: GatewayConfiguration) => Promise<T>,
): Promise<T> {
  const configuration = await readGatewayConfiguration(config);
  return withModule(configuration, (app) => use(app, configuration));
}

export function print(output: CommandOutput, lines: readonly string[]): void {
  if (lines.length > 0) output.out.write(`${lines.join('\n')}\n`);
}

export function printJson(output: CommandOutput, document: unknown): void {
  output.out.write(`${JSON.stringify(document, null, 2)}\n`);
}

@Module({})
class CommandModule {
  static forRoot(options: GatewayConfiguration['options']): DynamicModule {
    return {
      module: CommandModule,
      imports: [ConfigModule.forRoot({ ignoreEnvFile: true }), FallbackModule.forRoot(options)],
    };
  }
}
