import { Injectable } from '@nestjs/common';
import { Engine } from '../chain/engine.js';
import type { BreakerState } from '../chain/events.js';
import type { ModelStanding } from '../chain/model-board.js';
import type { FailureClass } from '../policy/failure.js';
import { checkModels, type ModelAvailability } from '../chain/model-check.js';
import type { ChatStream } from './answer-stream.js';
import type { ChatInput, ChatOptions, ChatResult } from './call-options.js';
import { ChatDesk } from './chat-desk.js';

/** Milliseconds. */
export interface Quantiles {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly mean: number;
}

/** Since the start of the process, real traffic only. */
export interface ModelMetrics {
  readonly model: string;
  readonly requests: number;
  readonly successes: number;
  readonly failures: Partial<Record<FailureClass, number>>;
  readonly latencyMs: Quantiles;
  readonly ttftMs: Quantiles;
  readonly tokens: { readonly input: number; readonly output: number };
  readonly costUsd: number;
  readonly breaker: BreakerState;
  /** ISO 8601; null while the model does not rest. */
  readonly cooldownUntil: string | null;
}

/** Chats with whichever model answers. */
@Injectable()
export class ModelManagerService {
  readonly #desk: ChatDesk;
  readonly #engine: Engine;

  constructor(desk: ChatDesk, engine: Engine) {
    this.#desk = desk;
    this.#engine = engine;
  }

  /**
   * One whole answer.
   * @param input a text stands for one user message.
   * @throws FallbackExhaustedError where no model answered (with `fallback: false`: where the first one did not);
   * FallbackRejectedError where the request itself is at fault; the signal's reason where it was aborted.
   */
  chat(input: ChatInput, options?: ChatOptions): Promise<ChatResult> {
    return this.#desk.chat(input, options);
  }

  /** The answer as it comes: `for await (const { delta } of models.stream('…'))`. Errors as with `chat`. */
  stream(input: ChatInput, options?: ChatOptions): ChatStream {
    return this.#desk.stream(input, options);
  }

  /** What traffic has shown of each model since the start. */
  getMetrics(): ModelMetrics[] {
    const { board, clock } = this.#engine;
    const nowMs = clock.nowMs();
    return board.standings(nowMs).map((standing) => metricsOf(standing, clock.wallEpochMs() - nowMs));
  }

  /**
   * Whether each model is there: lists the models of each provider, which costs nothing.
   * @param options `billedPing` also asks each model for one token.
   */
  checkModels(options?: { billedPing?: boolean; signal?: AbortSignal }): Promise<ModelAvailability[]> {
    return checkModels(this.#engine, options);
  }
}

/** @param epochMs what turns a monotonic moment into wall time. */
function metricsOf(standing: ModelStanding, epochMs: number): ModelMetrics {
  const { model, requests, successes, failures, latencyMs, ttftMs, tokens, costUsd, breaker, restUntilMs } = standing;
  const cooldownUntil = restUntilMs === undefined ? null : new Date(epochMs + restUntilMs).toISOString();
  return { model, requests, successes, failures, latencyMs, ttftMs, tokens, costUsd, breaker, cooldownUntil };
}
