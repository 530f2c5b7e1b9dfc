/**
 * A streamed attempt whose body asks for usage though the caller did not: a provider that refuses the question (Mistral
 * answers 422) is asked once more without it, and nobody hears of it. The same attempt: it keeps its limits.
 */
import type { Failure } from '../policy/failure.js';
import type {
  AttemptEnd,
  AttemptHandler,
  AttemptLimits,
  RunningAttempt,
  TokenUsage,
  UpstreamClock,
  UpstreamRequest,
} from './upstream.js';

/** How providers name what they do not know, in whatever words around it. */
const USAGE_OPTION = /stream_options|include_usage/;

export interface UsageQuestionSetup {
  /** Starts an attempt whose body is this. */
  readonly start: (body: Uint8Array, limits: AttemptLimits, handler: AttemptHandler) => RunningAttempt;
  readonly request: UpstreamRequest;
  readonly limits: AttemptLimits;
  readonly handler: AttemptHandler;
  readonly clock: UpstreamClock;
  /** Whoever asks this model next need not ask. */
  readonly onRefused: () => void;
}

export class UsageQuestion implements RunningAttempt, AttemptHandler {
  readonly #setup: UsageQuestionSetup;
  readonly #startedAtMs: number;
  #running: RunningAttempt;

  constructor(setup: UsageQuestionSetup) {
    this.#setup = setup;
    this.#startedAtMs = setup.clock.nowMs();
    this.#running = setup.start(setup.request.body, setup.limits, this);
  }

  cancel(): void {
    this.#running.cancel();
  }

  pause(): void {
    this.#running.pause();
  }

  resume(): void {
    this.#running.resume();
  }

  spent(): TokenUsage {
    return this.#running.spent?.() ?? { inputTokens: 0, outputTokens: 0, reported: false };
  }

  onFirstToken(held: boolean): void {
    this.#setup.handler.onFirstToken(held);
  }

  onBytes(bytes: Uint8Array): void {
    this.#setup.handler.onBytes(bytes);
  }

  onEnd(end: AttemptEnd): void {
    const { request, handler, start, limits, clock, onRefused } = this.#setup;
    const body = end.type === 'failed' && refusesUsage(end.failure) ? request.bodyWithoutUsage?.() : undefined;
    if (!body) {
      handler.onEnd(end);
      return;
    }
    onRefused();
    const goneMs = clock.nowMs() - this.#startedAtMs;
    const left = {
      ...limits,
      answerMs: Math.max(0, limits.answerMs - goneMs),
      totalMs: Math.max(0, limits.totalMs - goneMs),
    };
    this.#running = start(body, left, handler);
  }
}

function refusesUsage({ class: failureClass, error: { message, param } }: Failure): boolean {
  const isRefusal = failureClass === 'invalid_request' || failureClass === 'unsupported';
  return isRefusal && USAGE_OPTION.test(`${message} ${param ?? ''}`);
}
