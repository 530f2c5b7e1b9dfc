/** One request as it is given to the driver, what is heard of it, and what it comes to. */
import type { FailureClass } from '../policy/failure.js';
import type { RequestPlan } from '../policy/plan.js';
import type { Verdict } from '../policy/verdict.js';
import type { ContinuationRequest } from '../stream/continuation.js';
import type { AttemptEnd, AttemptHandler, AttemptLimits, RunningAttempt } from '../upstream/upstream.js';
import type { AttemptRecord } from './events.js';

/** What an attempt is to be, as its maker sees it. */
export interface AttemptOrder {
  readonly model: string;
  /** Counts from 1 within the request. */
  readonly number: number;
  readonly limits: AttemptLimits;
  /** It is asked to go on with this text; absent: to answer. */
  readonly continues?: ContinuationRequest;
}

/**
 * Hears of one request: for a stream one `onCommit`, then bytes; for every request exactly one `onFinish`, last. A stream
 * that is gone on with says `onResume` before the next model's bytes.
 */
export interface RequestSink {
  /** Streamed: a model has spoken, but what it says is held back. */
  onHeld?(): void;
  /** Streamed: the first token is there; what it says is what the headers tell. */
  onCommit(soFar: RequestSoFar): void;
  onBytes(bytes: Uint8Array): void;
  onResume?(soFar: RequestSoFar): void;
  onFinish(result: RequestResult): void;
}

export interface RequestSoFar {
  /** The model that is answering, or answered; absent where none did. */
  readonly model?: string;
  /** The answer is not the first model's. */
  readonly fallbackUsed: boolean;
  readonly attempts: readonly AttemptRecord[];
}

export type CompletedEnd = Extract<AttemptEnd, { type: 'completed' }>;
export type FailedEnd = Extract<AttemptEnd, { type: 'failed' }>;

export interface RequestResult extends RequestSoFar {
  readonly verdict: Verdict;
  readonly latencyMs: number;
  /** Of the attempt that answered. */
  readonly end?: CompletedEnd;
  /** Of the stream that the caller read, where it had one. */
  readonly streamId?: string;
  /** Characters of text that were delivered before the last break. */
  readonly sentChars: number;
}

export interface ChainRequest {
  readonly requestId: string;
  readonly plan: RequestPlan;
  /** Starts one attempt; calls the handler only later. What it throws is booked as `network`. */
  readonly ask: (order: AttemptOrder, handler: AttemptHandler) => RunningAttempt;
  /** These models fail so, before they are asked, for this request alone. */
  readonly drills?: ReadonlyMap<string, FailureClass>;
  readonly sink: RequestSink;
}

export interface RunningRequest {
  /** What is known by now; `model`: the one that has spoken. */
  readonly soFar: RequestSoFar;
  /** The caller left: every attempt is aborted at once. Harmless after the end. */
  cancel(): void;
  pause(): void;
  resume(): void;
}
