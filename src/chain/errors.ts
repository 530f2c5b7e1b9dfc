/**
 * What callers are thrown where no model answered: inside, failures are values; here, at the door, they become one
 * error with a stable code, the attempts and a sentence that says what to do.
 */
import type { Failure, FailureClass } from '../policy/failure.js';
import type { BrokenReason, ExhaustedReason, Verdict } from '../policy/verdict.js';
import type { AttemptRecord } from './events.js';

/** Two copies of the package in one process still know each other's errors. */
const BRAND = Symbol.for('nestjs-llm-fallback.FallbackError');

export class FallbackError extends Error {
  override name = 'FallbackError';
  /** HTTP status for a host's own filters; the contract's section 3. */
  readonly status: number;
  readonly statusCode: number;
  /** False for 5xx: filters that obey it keep the details inside. */
  readonly expose: boolean;
  readonly attempts: readonly AttemptRecord[];
  readonly [BRAND] = true;

  constructor(message: string, status: number, attempts: readonly AttemptRecord[], options?: ErrorOptions) {
    super(message, options);
    this.status = status;
    this.statusCode = status;
    this.expose = status < 500;
    this.attempts = attempts;
  }

  static isInstance(error: unknown): error is FallbackError {
    return typeof error === 'object' && error !== null && BRAND in error;
  }
}

/** No model answered. */
export class FallbackExhaustedError extends FallbackError {
  override name = 'FallbackExhaustedError';
  readonly code: 'all_failed' | 'deadline' | 'unavailable';
  /** When the first model may be usable again, ms from now. */
  declare readonly retryAfterMs?: number;

  constructor(cause: {
    readonly chain: string;
    readonly because: ExhaustedReason | 'broken' | 'shut-down';
    readonly attempts: readonly AttemptRecord[];
    readonly retryAfterMs?: number;
    /** Instead of the sentence that follows from the others. */
    readonly message?: string;
  }) {
    const { chain, because, attempts, retryAfterMs } = cause;
    const message = cause.message ?? exhaustedMessage(chain, because, attempts, retryAfterMs);
    super(message, EXHAUSTED_STATUS[because], attempts);
    const isUnavailable = attempts.length === 0 || because === 'shut-down';
    this.code = because === 'timed_out' ? 'deadline' : isUnavailable ? 'unavailable' : 'all_failed';
    if (retryAfterMs !== undefined) this.retryAfterMs = retryAfterMs;
  }
}

/** The request itself is at fault: the upstream's 4xx. */
export class FallbackRejectedError extends FallbackError {
  override name = 'FallbackRejectedError';
  readonly code: string;
  readonly class: FailureClass;
  readonly param: string | null;
  /** OpenAI's `error.type`. */
  readonly type: string;

  constructor(rejected: {
    readonly message: string;
    readonly status: number;
    readonly code: string;
    readonly class: FailureClass;
    readonly param?: string | null;
    readonly type?: string | null;
    readonly attempts?: readonly AttemptRecord[];
  }) {
    super(rejected.message, rejected.status, rejected.attempts ?? []);
    this.code = rejected.code;
    this.class = rejected.class;
    this.param = rejected.param ?? null;
    this.type = rejected.type ?? 'invalid_request_error';
  }
}

/** `broken`: a stream that ended in the caller's hands. */
const EXHAUSTED_STATUS = {
  failed: 502,
  broken: 502,
  rate_limited: 429,
  timed_out: 504,
  down: 503,
  'shut-down': 503,
} as const;
/** By then another process listens, or this one again. */
const RETRY_AFTER_SHUT_DOWN_MS = 1_000;

/** How a request ended, as far as an error tells of it. */
export interface EndedRequest {
  readonly verdict: Verdict;
  readonly attempts: readonly AttemptRecord[];
  /** Characters of text that were delivered before the last break. */
  readonly sentChars: number;
}

/** @returns undefined for `answered` and `cancelled`: the one is no error, the other rejects with the abort's reason. */
export function errorOf({ verdict, attempts, sentChars }: EndedRequest, chain: string): FallbackError | undefined {
  switch (verdict.type) {
    case 'answered':
    case 'cancelled':
      return undefined;
    case 'rejected':
      return rejectedBy(verdict.failure, attempts);
    case 'broken':
      return new FallbackExhaustedError({
        chain,
        because: 'broken',
        attempts,
        message: brokenMessage(verdict.failure, verdict.why, sentChars, attempts),
      });
    case 'shut-down':
      return shutDownError(chain, attempts);
    case 'exhausted':
      return new FallbackExhaustedError({
        chain,
        because: verdict.because,
        attempts,
        ...(verdict.retryAfterMs !== undefined && { retryAfterMs: verdict.retryAfterMs }),
      });
    default:
      return verdict satisfies never;
  }
}

export function shutDownError(chain: string, attempts: readonly AttemptRecord[] = []): FallbackExhaustedError {
  return new FallbackExhaustedError({ chain, because: 'shut-down', attempts, retryAfterMs: RETRY_AFTER_SHUT_DOWN_MS });
}

/** Compared with, it would be no limit at all. */
export function notANumberError(param: string): FallbackRejectedError {
  const message = `${param}: NaN: expected milliseconds.`;
  return new FallbackRejectedError({ message, status: 400, code: 'invalid_value', class: 'invalid_request', param });
}

export function unknownModelError(message: string): FallbackRejectedError {
  return new FallbackRejectedError({
    message,
    status: 404,
    code: 'model_not_found',
    class: 'not_found',
    param: 'model',
  });
}

function rejectedBy(failure: Failure, attempts: readonly AttemptRecord[]): FallbackRejectedError {
  const { status } = failure;
  return new FallbackRejectedError({
    message: failure.error.message,
    status: status !== undefined && status >= 400 && status < 500 ? status : 400,
    code: failure.error.code ?? failure.class,
    class: failure.class,
    param: failure.error.param,
    type: failure.error.type,
    attempts,
  });
}

function exhaustedMessage(
  chain: string,
  because: ExhaustedReason | 'broken' | 'shut-down',
  attempts: readonly AttemptRecord[],
  retryAfterMs: number | undefined,
): string {
  if (because === 'shut-down') return 'The server is shutting down and could not wait for the rest of the answer.';
  const what =
    attempts.length === 0
      ? `Every model of chain "${chain}" is known to be down and was not asked.`
      : `No model of chain "${chain}" answered: ${listed(attempts)}.`;
  const isWorthwhile = (because === 'rate_limited' || because === 'down') && retryAfterMs !== undefined;
  return isWorthwhile ? `${what} Retry in ${Math.max(1, Math.ceil(retryAfterMs / 1000))} s.` : what;
}

const WHY_NOT_CONTINUED: Readonly<Record<BrokenReason, string>> = {
  unresumable: 'tool calls, JSON output, several choices and logprobs cannot be gone on with',
  'switched-off': 'stream.onBreak is error',
  filtered: 'what follows was filtered',
  'nobody-left': 'no other model could go on with it',
};

function brokenMessage(
  failure: Failure,
  why: BrokenReason,
  sentChars: number,
  attempts: readonly AttemptRecord[],
): string {
  const after = `after ${sentChars} characters of text`;
  return `The answer broke off ${after} (${failure.class}) and was not continued: ${WHY_NOT_CONTINUED[why]}. Asked: ${listed(attempts)}.`;
}

function listed(attempts: readonly AttemptRecord[]): string {
  return attempts.map((a) => `${a.model} ${a.class} (${a.status ?? `${a.ms} ms`})`).join(', ');
}
