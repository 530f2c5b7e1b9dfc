/** What the catalogue's words come to, as a caller and an operator see them. */
import { acceptedClasses } from './catalogue.js';
import type { FailureCase } from './catalogue.js';

export interface ExpectedAttempt {
  readonly model: 'A' | 'B';
  readonly classes: readonly string[];
}

/** The attempts of one request in order, each with the classes that are right for it. */
export function expectedAttempts(one: FailureCase): readonly ExpectedAttempt[] {
  const failed: ExpectedAttempt = { model: 'A', classes: acceptedClasses(one) };
  switch (one.expect.reaction) {
    case 'next_model':
    case 'next_larger_model':
      return [failed, { model: 'B', classes: ['ok'] }];
    case 'retry_same_after_backoff':
      return [failed, { model: 'A', classes: ['ok'] }];
    case 'retry_same_once':
    case 'accept':
      return [{ model: 'A', classes: ['ok'] }];
    case 'deliver_as_is':
      // A stream's headers go out at its first token, when all was well yet.
      return [{ model: 'A', classes: ['ok', one.expect.class] }];
    default:
      return [failed];
  }
}

/** What `fallback_attempts_total` must come to for A; a list per outcome where the catalogue accepts two classes. */
export function expectedOutcomesOfA(one: FailureCase): readonly Readonly<Record<string, number>>[] {
  if (one.expect.reaction === 'retry_same_once') return [{ ok: one.expect.calls.A ?? 1 }];
  const more = one.expect.reaction === 'retry_same_after_backoff' ? { ok: 1 } : {};
  return acceptedClasses(one).map((failureClass) => ({ [failureClass]: 1, ...more }));
}

/** The request that the caller sends, to a chain of the gateway. */
export function requestOf({ request }: FailureCase, chain: string): object {
  const parameters = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] };
  return {
    model: chain,
    messages: [{ role: 'user', content: 'Say hello' }],
    stream: request.stream,
    ...(request.tools === undefined
      ? {}
      : { tools: request.tools.map((name) => ({ type: 'function', function: { name, parameters } })) }),
    ...(request.response_format === undefined ? {} : { response_format: request.response_format }),
  };
}

/** How long A must rest, as bounds in ms; `undefined` where it must not. */
export function expectedRest({
  expect,
}: FailureCase): { readonly leastMs: number; readonly mostMs: number } | undefined {
  const { scope, ms, tolerance_ms: toleranceMs } = expect.cooldown;
  if (scope === 'none' || ms === undefined) return undefined;
  const tolerance = toleranceMs ?? ms * 0.2;
  return { leastMs: ms - tolerance, mostMs: ms + tolerance };
}

/**
 * How often A alone is asked where one retry is allowed: twice where the request may come back to it in time.
 * `undefined` where the catalogue does not say: a rest that no provider named is ours to wait for or to pass over.
 */
export function expectedCallsWithOneRetry({ expect }: FailureCase, deadlineMs: number): number | undefined {
  const { ms, from } = expect.cooldown;
  if (expect.retry_same_later === 'no') return 1;
  if (ms === undefined) return 2;
  if (from === 'default') return undefined;
  return ms < deadlineMs ? 2 : 1;
}
