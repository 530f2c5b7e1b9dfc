import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import type { AttemptOrder, RequestSink } from '../chain/chain-request.js';
import { type CallRules, Engine } from '../chain/engine.js';
import { errorOf } from '../chain/errors.js';
import type { ModelSettings } from '../config/settings.js';
import { type Failure, type FailureClass, isFailureClass, traitsOf } from '../policy/failure.js';
import { classifyThrown, ownFailure } from '../upstream/classify.js';
import type { AttemptHandler, RunningAttempt, TokenUsage } from '../upstream/upstream.js';
import type { Answered, CallOptions } from './call-options.js';
import { CallersLeave } from './callers-leave.js';

/** What `run` is given. */
export interface Attempt {
  readonly model: string;
  readonly modelId: string;
  readonly provider: string;
  /** Counts from 1. */
  readonly number: number;
  /** Aborts at the limit of this attempt, and when the caller leaves. */
  readonly signal: AbortSignal;
  /** Milliseconds until `signal` aborts. */
  readonly remainingMs: number;
}

export interface ExecuteOptions extends CallOptions {
  /** Wins over our own reading of the error; undefined leaves it to us. */
  classify?: (error: unknown) => FailureClass | undefined;
}

const NO_USAGE: TokenUsage = { inputTokens: 0, outputTokens: 0, reported: false };

/** Runs any call through a chain. */
@Injectable()
export class FallbackChainService {
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /**
   * Any SDK, any call: retries, fallback, deadline and rests as for chats. A result that comes after its attempt was
   * aborted is dropped.
   * @param run makes one attempt; what it throws is read by status, code, name and cause. An error that tells nothing is
   * a `server_error`.
   * @throws FallbackExhaustedError, FallbackRejectedError, or the signal's reason.
   */
  execute<T>(
    run: (attempt: Attempt) => PromiseLike<T>,
    options: ExecuteOptions = {},
  ): Promise<Answered & { value: T }> {
    const { signal, chain, classify } = options;
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const leave = new CallersLeave(signal);
      let value: { readonly is: T } | undefined;
      let thrown: unknown;
      const sink: RequestSink = {
        onCommit() {},
        onBytes() {},
        onFinish: (result) => {
          leave.end();
          const error = errorOf(result, chain ?? 'default');
          if (error) reject(withCause(error, thrown));
          else if (result.verdict.type === 'answered' && value) {
            const { model = '', fallbackUsed, attempts, latencyMs } = result;
            resolve({ value: value.is, model, fallbackUsed, attempts, latencyMs: Math.round(latencyMs) });
          } else reject(leave.reason);
        },
      };
      const ask = (order: AttemptOrder, model: ModelSettings, handler: AttemptHandler) =>
        runAttempt(order, model, handler, {
          run,
          classify,
          keep: (is) => (value = { is }),
          blame: (error) => (thrown = error),
        });
      leave.cancels(this.#engine.startExecution(rulesOf(options), ask, sink));
    });
  }
}

/** Not enumerable, as every cause: another SDK's error may hold the key it was called with. */
function withCause(error: Error, cause: unknown): Error {
  if (cause !== undefined) Object.defineProperty(error, 'cause', { value: cause, configurable: true, writable: true });
  return error;
}

function rulesOf({ chain, models, fallback, deadlineMs }: ExecuteOptions): CallRules {
  return {
    requestId: randomUUID(),
    route: { ...(chain !== undefined && { chain }), ...(models && { models }) },
    ...(fallback !== undefined && { fallback }),
    ...(deadlineMs !== undefined && { deadlineMs }),
  };
}

interface Execution<T> {
  readonly run: (attempt: Attempt) => PromiseLike<T>;
  readonly classify: ((error: unknown) => FailureClass | undefined) | undefined;
  readonly keep: (value: T) => void;
  readonly blame: (error: unknown) => void;
}

/** A promise as an attempt: its resolution is its answer, its limit the attempt's. */
function runAttempt<T>(
  order: AttemptOrder,
  model: ModelSettings,
  handler: AttemptHandler,
  execution: Execution<T>,
): RunningAttempt {
  const { answerMs } = order.limits;
  const controller = new AbortController();
  let isOver = false;
  const end = (finish: () => void): void => {
    if (isOver) return;
    isOver = true;
    clearTimeout(timer);
    finish();
  };
  const fail = (failure: Failure): void =>
    handler.onEnd({ type: 'failed', failure, delivered: 'nothing', usage: NO_USAGE });
  const timer = setTimeout(() => {
    end(() => {
      fail(ownFailure('timeout_total', `no result within ${Math.round(answerMs)} ms`));
      controller.abort(new DOMException(`No result within ${Math.round(answerMs)} ms.`, 'TimeoutError'));
    });
  }, Math.ceil(answerMs));
  const attempt: Attempt = {
    model: model.name,
    modelId: model.id,
    provider: model.provider.name,
    number: order.number,
    signal: controller.signal,
    remainingMs: answerMs,
  };
  // `run` is called in a turn of its own: what it throws at once, or asks of us, meets no half-made state.
  void Promise.resolve()
    .then(() => (isOver ? Promise.reject(controller.signal.reason) : execution.run(attempt)))
    .then(
      (value) =>
        end(() => {
          execution.keep(value);
          handler.onEnd({ type: 'completed', outcome: 'ok', finishReason: null, usage: NO_USAGE });
        }),
      (error: unknown) =>
        end(() => {
          execution.blame(error);
          fail(failureOf(error, execution.classify));
        }),
    );
  return {
    cancel: () => end(() => controller.abort(new DOMException('The attempt was cancelled.', 'AbortError'))),
    pause() {},
    resume() {},
  };
}

function failureOf(error: unknown, classify: Execution<unknown>['classify']): Failure {
  const read = classifyThrown(error, Date.now());
  const named = classifyQuietly(error, classify);
  if (named === undefined || named === read.class) return read;
  const { rest, fallBack } = traitsOf(named);
  return { ...read, class: named, restScope: fallBack === 'other-provider' ? 'provider' : rest ? 'model' : 'none' };
}

/** A host's classifier that throws, or names what is no class, says nothing. */
function classifyQuietly(error: unknown, classify: Execution<unknown>['classify']): FailureClass | undefined {
  try {
    const named = classify?.(error);
    return named !== undefined && isFailureClass(named) && named !== 'cancelled' ? named : undefined;
  } catch {
    return undefined;
  }
}
