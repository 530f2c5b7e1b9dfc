/**
 * When the host's configuration is complete. Nest makes the providers of all modules at once; ours would read what a
 * ConfigModule further down the imports, or one with an asynchronous `load`, has not brought yet.
 */
import { ConfigModule, ConfigService } from '@nestjs/config';
import { ModulesContainer } from '@nestjs/core';
import { STATIC_CONTEXT } from '@nestjs/core/injector/constants.js';
import type { FactoryProvider } from '@nestjs/common';
import { setImmediate } from 'node:timers/promises';

/** The host's ConfigService, once everything that its ConfigModules load is in place. */
export const HostConfiguration = Symbol('nestjs-llm-fallback.host-configuration');

export const hostConfiguration: FactoryProvider<ConfigService> = {
  provide: HostConfiguration,
  inject: [ConfigService, ModulesContainer],
  async useFactory(config: ConfigService, modules: ModulesContainer): Promise<ConfigService> {
    // By then every provider that needs no waiting is made, and every other has begun.
    await setImmediate();
    // A `load` that fails stops the start by itself.
    await Promise.allSettled(loading(modules));
    return config;
  },
};

function loading(modules: ModulesContainer): Promise<unknown>[] {
  return [...modules.values()]
    .filter((module) => module.metatype === ConfigModule)
    .flatMap((module) => [...module.providers.values()])
    .flatMap((provider) => provider.getInstanceByContextId(STATIC_CONTEXT).donePromise ?? []);
}
