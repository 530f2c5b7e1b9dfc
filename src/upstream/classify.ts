/**
 * Reads what an upstream answered instead of an answer: a Failure with its class, in OpenAI's words, without keys.
 *
 * Pure; nothing here throws, whatever comes. The order (structure before text) is in `failure-of.ts`, the words in
 * `classify-words.ts` and `classify-phrases.ts`, all written from the failure catalogue in test/data.
 */
import type { Failure } from '../policy/failure.js';
import { type ErrorEvidence, failureOf, forbidsRetry, type HeaderRecord, ownFailure } from './failure-of.js';
import { parseJson } from './unknown-value.js';

export { classifyThrown } from './classify-thrown.js';
export { classifyWireError } from './classify-wire.js';
export { isErrorPayload } from './error-body.js';
export { ownFailure } from './failure-of.js';

export interface ReceivedResponse {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: HeaderRecord;
  /** Its first 64 KiB, decoded. */
  readonly body: string;
}

/** A response that is not 2xx; a redirect is one, since none is ever followed. */
export function classifyResponse(response: ReceivedResponse, wallEpochMs: number): Failure {
  const { status, headers, body } = response;
  if (status < 400) {
    const what = status >= 300 ? 'a redirect, which is never followed' : 'no answer';
    const failure = ownFailure('bad_response', `HTTP ${status}, ${what}`, status);
    return forbidsRetry(headers) ? { ...failure, neverRetry: true } : failure;
  }
  const evidence: ErrorEvidence = {
    status,
    headers,
    payload: readPayload(body, headers),
    names: amazonName(headers),
    fallbackMessage: describeBody(status, body, headers),
  };
  return failureOf(evidence, wallEpochMs).failure;
}

/** An error inside a 200, before the first token: the class that its content would have had as a status. */
export function classifyErrorPayload(payload: unknown, headers: HeaderRecord, wallEpochMs: number): Failure {
  const fallbackMessage = 'an error without a message inside HTTP 200';
  const { failure } = failureOf({ headers, payload, fallbackMessage }, wallEpochMs);
  return { ...failure, status: 200 };
}

/** An error event after the first token. It rests nobody: what it would have been as a status is `underlying`. */
export function streamErrorFailure(payload: unknown, headers: HeaderRecord, wallEpochMs: number): Failure {
  const { class: underlying, error, status, neverRetry } = classifyErrorPayload(payload, headers, wallEpochMs);
  return {
    class: 'stream_error',
    ...(status !== undefined && { status }),
    error,
    restScope: 'none',
    ...(neverRetry && { neverRetry }),
    underlying,
  };
}

/** JSON where it is; a short text as it stands; nothing of a page or of JSON that was cut. */
function readPayload(body: string, headers: HeaderRecord): unknown {
  const parsed = parseJson(body);
  if (parsed !== undefined) return parsed;
  return isPage(body, headers) || looksLikeJson(body) || isBinary(body) ? undefined : body;
}

function describeBody(status: number, body: string, headers: HeaderRecord): string {
  if (body.trim() === '') return `HTTP ${status} with an empty body`;
  if (isPage(body, headers)) return `HTTP ${status} with an HTML page`;
  return parseJson(body) === undefined
    ? `HTTP ${status} with a body that is not JSON`
    : `HTTP ${status} without an error message`;
}

function isPage(body: string, headers: HeaderRecord): boolean {
  return /\b(?:x?html|xml)\b/i.test(headers['content-type'] ?? '') || /^\s{0,64}</.test(body);
}

function looksLikeJson(body: string): boolean {
  return /^\s{0,64}[[{"]/.test(body);
}

function isBinary(body: string): boolean {
  return Array.from(body.slice(0, 512)).some((character) => character < ' ' && !'\t\r\n'.includes(character));
}

function amazonName(headers: HeaderRecord): readonly string[] {
  const name = headers['x-amzn-errortype']?.split(':')[0];
  return name ? [name] : [];
}
