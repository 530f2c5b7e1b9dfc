/**
 * The public surface as it was promised: the declarations that the outside was given, kept word for word, so that
 * `public-api.spec.ts` can hold what `src/index.ts` exports against them.
 */
import type { DynamicModule, FactoryProvider, InjectionToken, ModuleMetadata, Type } from '@nestjs/common';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import type OpenAI from 'openai';
import type { Observable } from 'rxjs';

// ---- words of the product ------------------------------------------------------------------------------------------

export type FailureClass =
  | 'invalid_request' | 'unsupported' | 'context_length' | 'content_filter'
  | 'auth' | 'permission' | 'quota' | 'not_found' | 'rate_limited' | 'overloaded'
  | 'server_error' | 'network' | 'bad_response'
  | 'timeout_ttft' | 'timeout_idle' | 'timeout_total' | 'stream_cut' | 'stream_error'
  | 'empty_answer' | 'invalid_output' | 'cancelled';
export type BreakerState = 'closed' | 'half-open' | 'open';

/** One upstream call as everyone is told of it: header, error, log, span, event. */
export interface AttemptRecord { model: string; class: FailureClass | 'ok'; status?: number; ms: number }

// ---- options: what a config file may say, and the same words here (section 2) --------------------------------------

/** `apiKey`: in options a literal, in a file only `${NAME}`, looked up in the host's configuration. `external`: answered by `execute()` alone, never polled. */
export interface ProviderOptions { kind?: 'openai' | 'azure' | 'external'; baseUrl?: string; endpoint?: string; apiVersion?: string; apiKey?: string }
export interface ModelOptions extends PolicyOptions {
  provider: string; id?: string; contextWindow?: number; embeddingSpace?: string;
  price?: { inputPerMTok: number; outputPerMTok: number }; weight?: number; maxConcurrent?: number; continuation?: 'prompt' | 'prefix' | 'vllm' | 'none';
}
export interface PolicyOptions {
  maxRetries?: number; timeoutMs?: number; deadlineMs?: number;
  backoff?: { baseMs?: number; factor?: number; maxMs?: number };
  retrySameModel?: { attempts?: number; maxWaitMs?: number };
  stream?: { ttftMs?: number; idleMs?: number; totalMs?: number; onBreak?: 'continue' | 'error'; toolCalls?: 'hold' | 'pass' };
  breaker?: { windowMs?: number; minAttempts?: number; failureRate?: number; consecutive?: number; openMs?: number; openMaxMs?: number; halfOpenAttempts?: number; closeAfter?: number; slowStartMs?: number };
  retryBudget?: { ratio?: number; burst?: number };
  hedge?: { enabled?: boolean; afterQuantile?: number; minMs?: number; maxShare?: number };
  onContentFilter?: 'return' | 'next'; onInvalidOutput?: 'next' | 'return';
}
/** A model, or a group of equals that share the load before the chain goes on. */
export type ChainEntry = string | readonly string[];
export type ChainOptions = readonly ChainEntry[] | ({ models: readonly ChainEntry[] } & PolicyOptions);
export interface FallbackOptions {
  enabled?: boolean;
  providers?: Record<string, ProviderOptions>; models?: Record<string, ModelOptions>; chains?: Record<string, ChainOptions>;
  policy?: PolicyOptions;
  health?: { intervalMs?: number; ping?: boolean };
  simulated?: boolean; drills?: boolean;
  configFile?: string;
}

// ---- the module ----------------------------------------------------------------------------------------------------

export type RouteGroup = 'chat' | 'openai' | 'metrics' | 'health';
/** Fixed at definition time, so they stand beside a factory, never in its result. */
export interface FallbackExtras {
  isGlobal?: boolean; controllers?: boolean | readonly RouteGroup[]; path?: string;
  /** A class of the host's, built by Nest with what `imports` gives; default: kept in process. */
  conversationStore?: Type<ConversationStore>;
}
export interface FallbackOptionsFactory { createFallbackOptions(): FallbackOptions | Promise<FallbackOptions> }
export interface FallbackAsyncOptions extends FallbackExtras, Pick<ModuleMetadata, 'imports'> {
  useFactory?: (...args: never[]) => FallbackOptions | Promise<FallbackOptions>; inject?: FactoryProvider['inject'];
  useClass?: Type<FallbackOptionsFactory>; useExisting?: Type<FallbackOptionsFactory>;
}
export declare class FallbackModule {
  static forRoot(options?: FallbackOptions & FallbackExtras): DynamicModule;
  static forRootAsync(options: FallbackAsyncOptions): DynamicModule;
  /** More chains, provided where a feature needs them, wherever the root stands in the app; models, breakers and limits stay those of the root. */
  static forFeature(chains: Record<string, ChainOptions>): DynamicModule;
}
/** The options as the host gave them. */
export declare const FALLBACK_OPTIONS: InjectionToken;
export declare function getOpenAIToken(chain?: string): InjectionToken;
export declare function InjectOpenAI(chain?: string): PropertyDecorator & ParameterDecorator;
/** One chain, ready to use: what `@InjectFallbackChain(name)` gives. */
export interface FallbackChain extends Pick<ModelManagerService, 'chat' | 'stream'>, Pick<FallbackChainService, 'execute'> { readonly name: string }
export declare function getFallbackChainToken(chain?: string): InjectionToken;
export declare function InjectFallbackChain(chain?: string): PropertyDecorator & ParameterDecorator;

// ---- asking --------------------------------------------------------------------------------------------------------

export type ChatInput = string | readonly OpenAI.ChatCompletionMessageParam[];
/**
 * `fallback: false`: only the chain's first model; its failure is thrown as FallbackExhaustedError.
 * `models` replaces the chain's list and keeps its policy; an unknown name rejects with FallbackRejectedError, 404 `model_not_found`.
 */
export interface CallOptions { chain?: string; models?: readonly string[]; fallback?: boolean; deadlineMs?: number; signal?: AbortSignal }
export interface ChatOptions extends CallOptions {
  userId?: string; system?: string;
  params?: Omit<OpenAI.ChatCompletionCreateParamsNonStreaming, 'model' | 'messages' | 'stream'>;
}
export interface Answered { model: string; fallbackUsed: boolean; attempts: readonly AttemptRecord[]; latencyMs: number }
export interface ChatResult extends Answered { content: string | null; finishReason: string; usage?: OpenAI.CompletionUsage; completion: OpenAI.ChatCompletion }
export interface ChatChunk { id: string; model: string; delta: string; fallback?: { from: string; to: string; reason: FailureClass } }
/**
 * Not a promise: nothing to await but the loop. Asks at once, and is held back while nobody reads.
 * Its iterator's return() aborts the upstream at once, also while a model is silent; `result` then rejects with the abort's reason
 * (never as an unhandled rejection), and awaited without a loop it reads to the end by itself.
 */
export interface ChatStream extends AsyncIterable<ChatChunk> {
  readonly result: Promise<ChatResult>;
  text(): AsyncIterable<string>;
  asObservable(): Observable<ChatChunk>;
  abort(): void;
}
export interface ModelAvailability { model: string; available: boolean; class?: FailureClass; status?: number; ms: number }
export interface Quantiles { p50: number; p95: number; p99: number; mean: number }
export interface ModelMetrics {
  model: string; requests: number; successes: number; failures: Partial<Record<FailureClass, number>>;
  latencyMs: Quantiles; ttftMs: Quantiles; tokens: { input: number; output: number }; costUsd: number;
  breaker: BreakerState; cooldownUntil: string | null;
}
export declare class ModelManagerService {
  /** A schema also becomes `response_format`, unless `params` names one. */
  chat<S extends StandardSchemaV1>(input: ChatInput, options: ChatOptions & { schema: S }): Promise<ChatResult & { output: StandardSchemaV1.InferOutput<S> }>;
  chat(input: ChatInput, options?: ChatOptions): Promise<ChatResult>;
  stream(input: ChatInput, options?: ChatOptions): ChatStream;
  /** For any client that takes a fetch. */
  readonly fetch: typeof globalThis.fetch;
  /** Everything a client needs, its own retries off where it has such an option: `new OpenAI(models.clientOptions())`. */
  clientOptions(chain?: string): { apiKey: string; baseURL: string; fetch: typeof globalThis.fetch; maxRetries: 0 };
  getMetrics(): ModelMetrics[];
  /** Lists models, which costs nothing; `billedPing` also asks each for one token. */
  checkModels(options?: { billedPing?: boolean; signal?: AbortSignal }): Promise<ModelAvailability[]>;
}

/** `number` counts from 1. */
export interface Attempt { model: string; modelId: string; provider: string; number: number; signal: AbortSignal; remainingMs: number }
export declare class FallbackChainService {
  /**
   * Any SDK, any call: retries, fallback, deadline, breaker and budget as for chats. `classify` wins over our own reading of the error
   * (status, code, name, cause); an error that tells nothing is a `server_error`.
   */
  execute<T>(run: (attempt: Attempt) => PromiseLike<T>, options?: CallOptions & { classify?: (error: unknown) => FailureClass | undefined }): Promise<Answered & { value: T }>;
}

// ---- what is thrown: a signal's abort rejects with its reason, as everywhere ----------------------------------------

export declare class FallbackError extends Error {
  /** HTTP status for a host's own filters; 'expose' keeps details inside. */
  readonly status: number; readonly statusCode: number; readonly expose: boolean;
  readonly attempts: readonly AttemptRecord[];
  static isInstance(error: unknown): error is FallbackError;
}
/** No model answered. */
export declare class FallbackExhaustedError extends FallbackError { readonly code: 'all_failed' | 'deadline' | 'unavailable'; readonly retryAfterMs?: number }
/** The request itself is at fault (invalid_request, context_length, unsupported, content_filter): the upstream's 4xx. */
export declare class FallbackRejectedError extends FallbackError { readonly code: string; readonly class: FailureClass; readonly param: string | null }
/** Wrong options: one line per fault, and no secret in any. */
export declare class FallbackConfigError extends Error { readonly faults: readonly string[] }

// ---- watching ------------------------------------------------------------------------------------------------------

export interface FallbackEventMap {
  'request.finished': { requestId: string; chain: string; outcome: 'ok' | 'failed' | 'cancelled'; model?: string; attempts: readonly AttemptRecord[]; latencyMs: number };
  'attempt.finished': AttemptRecord & { requestId: string; chain: string };
  'model.switched': { requestId: string; from: string; to: string; reason: FailureClass };
  'model.rested': { model: string; reason: FailureClass; restMs: number };
  'breaker.changed': { model: string; state: BreakerState };
}
export declare class FallbackEvents { on<K extends keyof FallbackEventMap>(name: K): Observable<FallbackEventMap[K]> }
/** Terminus's HealthIndicatorResult by shape, so that a host without Terminus compiles. */
export type HealthResult<K extends string> = Record<K, { status: 'up' | 'down' } & Record<string, unknown>>;
export declare class FallbackHealthIndicator {
  /** Up while the chain (default: every chain) has a usable or untested model. Calls no model. */
  isHealthy<const K extends string>(key: K, options?: { chain?: string; model?: string }): Promise<HealthResult<K>>;
}

/** Conversations by `userId`; provide your own under this class's token. One that throws never fails a chat. */
export declare abstract class ConversationStore {
  abstract read(owner: string, userId: string): Promise<readonly OpenAI.ChatCompletionMessageParam[]>;
  abstract append(owner: string, userId: string, exchange: readonly OpenAI.ChatCompletionMessageParam[]): Promise<void>;
  abstract forget(owner: string, userId: string): Promise<void>;
}
