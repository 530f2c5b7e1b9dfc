/**
 * One chain, ready to use: what `@InjectFallbackChain(name)` gives.
 */
import { Inject, type InjectionToken } from '@nestjs/common';
import type { ChatStream } from './answer-stream.js';
import type { Answered, ChatInput, ChatOptions, ChatResult } from './call-options.js';
import type { Attempt, ExecuteOptions, FallbackChainService } from './fallback-chain.service.js';
import type { ModelManagerService } from './model-manager.service.js';

export interface FallbackChain {
  readonly name: string;
  chat(input: ChatInput, options?: ChatOptions): Promise<ChatResult>;
  stream(input: ChatInput, options?: ChatOptions): ChatStream;
  execute<T>(run: (attempt: Attempt) => PromiseLike<T>, options?: ExecuteOptions): Promise<Answered & { value: T }>;
}

const DEFAULT_CHAIN = 'default';

/**
 * The names whose tokens were asked for. A decorator runs before any app is compiled, and a chain may stand in a file
 * that is read only then; so the module provides a token for every name that was asked for.
 */
const askedNames = new Set<string>([DEFAULT_CHAIN]);

export function getFallbackChainToken(chain: string = DEFAULT_CHAIN): InjectionToken {
  askedNames.add(chain);
  return `nestjs-llm-fallback.chain.${chain}`;
}

export function InjectFallbackChain(chain: string = DEFAULT_CHAIN): PropertyDecorator & ParameterDecorator {
  return Inject(getFallbackChainToken(chain));
}

/** @param declared the chains that the host named in its options. */
export function chainNames(declared: Iterable<string>): string[] {
  return [...new Set([...askedNames, ...declared])];
}

/** A name that the configuration does not have fails at the call: it may belong to another module of the process. */
export function chainNamed(name: string, models: ModelManagerService, chains: FallbackChainService): FallbackChain {
  return {
    name,
    chat: (input, options) => models.chat(input, { chain: name, ...options }),
    stream: (input, options) => models.stream(input, { chain: name, ...options }),
    execute: (run, options) => chains.execute(run, { chain: name, ...options }),
  };
}
