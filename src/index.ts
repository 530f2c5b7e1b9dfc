/**
 * The public names, one per line: what we promise to keep.
 */
export { FallbackModule } from './fallback.module.js';
export type { FallbackAsyncOptions, FallbackExtras, FallbackOptionsFactory, RouteGroup } from './fallback.module.js';
export type { ChainEntry, ChainOptions, FallbackOptions, ModelOptions, ProviderOptions } from './config/options.js';
export type { PolicyOptions } from './policy/policy.js';
export type { FailureClass } from './policy/failure.js';
export type { AttemptRecord, BreakerState } from './chain/events.js';

export { FALLBACK_OPTIONS } from './fallback/tokens.js';
export { ModelManagerService } from './fallback/model-manager.service.js';
export type { ModelMetrics, Quantiles } from './fallback/model-manager.service.js';
export { FallbackChainService } from './fallback/fallback-chain.service.js';
export type { Attempt, ExecuteOptions } from './fallback/fallback-chain.service.js';
export { getFallbackChainToken, InjectFallbackChain } from './fallback/fallback-chain.js';
export type { FallbackChain } from './fallback/fallback-chain.js';
export type { Answered, CallOptions, ChatInput, ChatOptions, ChatResult } from './fallback/call-options.js';
export type { ChatChunk, ChatStream } from './fallback/answer-stream.js';
export type { ModelAvailability } from './chain/model-check.js';

export { FallbackEvents } from './fallback/fallback-events.js';
export type { FallbackEventMap } from './fallback/fallback-events.js';
export { FallbackHealthIndicator } from './health/fallback-health-indicator.js';
export type { HealthResult } from './health/fallback-health-indicator.js';
export { ConversationStore } from './store/conversation-store.js';

export { FallbackError, FallbackExhaustedError, FallbackRejectedError } from './chain/errors.js';
export { FallbackConfigError } from './config/config-error.js';
