/**
 * The port to a model: one attempt, started and ended exactly once. Whatever carries it out (HTTP, another SDK's
 * promise, a simulated model in virtual time) looks the same to the driver.
 *
 * Knows nothing of chains, retries or Nest.
 */
import type { Delivered, Failure } from '../policy/failure.js';

/** Where a model lives and how it is called; made once per configuration. */
export interface ModelTarget {
  /** The model's key in config, metrics and headers. */
  readonly name: string;
  /** What the provider calls it: the `model` of the request (Azure: the deployment in the path). */
  readonly id: string;
  readonly provider: ProviderTarget;
}

export interface ProviderTarget {
  readonly name: string;
  readonly kind: 'openai' | 'azure' | 'external';
  /** `openai`: the base URL, `/v1` included. `azure`: the resource's endpoint. Without a trailing slash. */
  readonly baseUrl: string;
  readonly apiVersion?: string;
  readonly apiKey?: string;
}

/** Time limits of one attempt, counted from its start, in ms. */
export interface AttemptLimits {
  /** Not streamed: the whole answer (`timeout_total`). Streamed: the first token (`timeout_ttft`). */
  readonly answerMs: number;
  /** Streamed only: longest silence after the first token (`timeout_idle`). */
  readonly idleMs: number;
  /** Streamed only: the whole stream (`timeout_total`). */
  readonly totalMs: number;
}

/** One chat request as it goes to one model. */
export interface UpstreamRequest {
  readonly target: ModelTarget;
  /** JSON, the model's id already in it. */
  readonly body: Uint8Array;
  readonly streaming: boolean;
  /** `n`: a stream has finished when so many choices have; 1 where nothing is said. */
  readonly choices?: number;
  /** Streamed only: a usage chunk is read for the count, but not delivered, since the caller did not ask for it. */
  readonly withholdUsage?: boolean;
  /** Streamed only: the caller asked for a usage chunk; where the upstream sends none, we count and write one. */
  readonly wantsUsage?: boolean;
  /**
   * Streamed only: the body asks for usage, though the caller did not; this is the same without. A provider that
   * refuses the question (Mistral: 422) is asked so, within the same attempt, and so from then on.
   */
  readonly bodyWithoutUsage?: () => Uint8Array;
  /** Streamed only: no text at all is an answer too, since the text that is gone on with may have been whole. */
  readonly mayBeEmpty?: boolean;
  /** Streamed only. `hold` (where nothing is said): tool calls are delivered whole, once the answer has finished. */
  readonly toolCalls?: 'hold' | 'pass';
  /** What `response_format` asked of the answer; checked where the answer is not streamed. */
  readonly wantsJson?: JsonExpectation;
  /** `return`: an answer that breaks `wantsJson` is delivered as it came. */
  readonly onInvalidOutput: 'next' | 'return';
  /** `next`: an answer filtered before any text is a failure (`content_filter`), not an answer. */
  readonly onContentFilter: 'return' | 'next';
  /** Sent along as `x-request-id`, so that both sides' logs meet. */
  readonly requestId: string;
}

/** `schema` absent: any JSON object (`json_object`). */
export interface JsonExpectation {
  readonly schema?: Readonly<Record<string, unknown>>;
}

export interface TokenUsage {
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** False where the upstream reported nothing and we counted ourselves (a quarter of the bytes). */
  readonly reported: boolean;
}

export type AttemptEnd =
  | {
      readonly type: 'completed';
      /** An answer that ended with `finish_reason: content_filter` is delivered, but booked as such. */
      readonly outcome: 'ok' | 'content_filter';
      /** Absent where there is no HTTP (`execute()`). */
      readonly status?: number;
      /** Not streamed: the answer as it came, already checked, and the same parsed. Streamed: absent. */
      readonly answer?: { readonly bytes: Uint8Array; readonly json: unknown };
      readonly finishReason: string | null;
      /** The id of the stream that was delivered, where it had one. */
      readonly streamId?: string;
      /** The provider's limits are used up for so long (`x-ratelimit-remaining-*` at 0), ms. */
      readonly usedUpForMs?: number;
      readonly usage: TokenUsage;
    }
  | {
      readonly type: 'failed';
      readonly failure: Failure;
      readonly delivered: Delivered;
      /** Where `delivered` is `text`: all of the first choice's text that `onBytes` has brought. */
      readonly text?: string;
      /** The id of the stream that was delivered, where it had one. */
      readonly streamId?: string;
      readonly usage: TokenUsage;
    };

/**
 * Called synchronously, in this order: at most one `onFirstToken(true)`, at most one `onFirstToken(false)`, then any
 * number of `onBytes`, then exactly one `onEnd`, last. None of them is called from within `start()`, nor after `cancel()`.
 */
export interface AttemptHandler {
  /**
   * Streamed only. What was held until now (a role-only chunk) comes with the first `onBytes` after it.
   * @param held the model has spoken, but nothing goes out yet (a tool call, until the answer finishes); once something
   * does, it is called again with false.
   */
  onFirstToken(held: boolean): void;
  /** Streamed only: whole SSE events, as they came; never `[DONE]`, an error event or a part of an event. */
  onBytes(bytes: Uint8Array): void;
  onEnd(end: AttemptEnd): void;
}

export interface RunningAttempt {
  /** Aborts at once and says nothing more. Idempotent; harmless after the end. */
  cancel(): void;
  /** Stops reading, so that the upstream is slowed down; the time until `resume` is not silence. */
  pause(): void;
  resume(): void;
  /**
   * What it has used by now; for one that is about to be cancelled. Nothing before it has spoken: whether a provider bills
   * a prompt that it has not answered, it does not say, and an invented figure would be worse than none.
   */
  spent?(): TokenUsage;
}

/** Time for attempts; tests bring their own. */
export interface UpstreamClock {
  /** Monotonic, ms. */
  nowMs(): number;
  /** Milliseconds since the epoch, for dates in headers. */
  wallEpochMs(): number;
  /** @returns what cancels it; harmless after it has fired. */
  setTimer(delayMs: number, fire: () => void): () => void;
}

export interface Upstream<Request = UpstreamRequest> {
  start(request: Request, limits: AttemptLimits, handler: AttemptHandler): RunningAttempt;
}
