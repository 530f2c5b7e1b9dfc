/**
 * The attempts of a request as one line of text: the value of `x-fallback-trace`, and what logs say of a request.
 */
import type { AttemptRecord } from './events.js';

/** @returns `gpt-4;server_error;143ms, gpt-3.5-turbo;ok;412ms`, in the order they were started; empty without any. */
export function traceText(attempts: readonly AttemptRecord[]): string {
  // Nearly every request makes one attempt.
  const [only] = attempts;
  if (only && attempts.length === 1) return attemptText(only);
  return attempts.map(attemptText).join(', ');
}

function attemptText(attempt: AttemptRecord): string {
  return `${attempt.model};${attempt.class};${attempt.ms}ms`;
}
