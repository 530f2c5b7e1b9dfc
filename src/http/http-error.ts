/**
 * An error as OpenAI's clients read it, with the attempts where some were made; which statuses a client may try again.
 */
import type { AttemptRecord } from '../chain/events.js';
import { FallbackError, FallbackExhaustedError, FallbackRejectedError } from '../chain/errors.js';
import { blotSecrets } from '../upstream/blot.js';

export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly code: string | null;
    readonly param: string | null;
    readonly attempts?: readonly AttemptRecord[];
  };
}

/** A request that our route itself refuses. */
export class BadRequestError extends FallbackRejectedError {
  override name = 'BadRequestError';
  constructor(message: string, param: string | null, more: { readonly status?: number; readonly code?: string } = {}) {
    const { status = 400, code = 'invalid_value' } = more;
    super({ message, status, code, class: 'invalid_request', param });
  }
}

/** The most of a request's own words that an error repeats. */
const MAX_QUOTED_LENGTH = 64;

/** A piece of the request as an error may repeat it: callers put keys in wrong places, and errors go into others' logs. */
export function quoted(text: string): string {
  const blotted = blotSecrets(text);
  return blotted.length > MAX_QUOTED_LENGTH ? `${blotted.slice(0, MAX_QUOTED_LENGTH)}…` : blotted;
}

const EXHAUSTED_TYPE: Readonly<Record<number, string>> = {
  429: 'rate_limit_error',
  503: 'service_unavailable_error',
  504: 'timeout_error',
};

export function errorBodyOf(error: unknown): ErrorBody {
  if (!FallbackError.isInstance(error)) {
    return { error: { message: 'The gateway failed.', type: 'server_error', code: 'internal_error', param: null } };
  }
  const attempts = error.attempts.length > 0 ? { attempts: error.attempts } : {};
  const { message } = error;
  if (error instanceof FallbackRejectedError) {
    return { error: { message, type: error.type, code: error.code, param: error.param, ...attempts } };
  }
  const code = error instanceof FallbackExhaustedError ? error.code : null;
  return { error: { message, type: EXHAUSTED_TYPE[error.status] ?? 'server_error', code, param: null, ...attempts } };
}

export function statusOf(error: unknown): number {
  return FallbackError.isInstance(error) ? error.status : 500;
}

/**
 * Both official SDKs retry by status unless told otherwise, and would triple the load on a chain that has just tried
 * everything. Only a 429 or 503 that names a time is worth coming back for.
 */
export function retryHeadersOf(error: unknown): Record<string, string> {
  const status = statusOf(error);
  const retryAfterMs = error instanceof FallbackExhaustedError ? error.retryAfterMs : undefined;
  if ((status === 429 || status === 503) && retryAfterMs !== undefined) {
    return { 'retry-after': String(Math.max(1, Math.ceil(retryAfterMs / 1_000))) };
  }
  return { 'x-should-retry': 'false' };
}
