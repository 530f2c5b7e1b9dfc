/**
 * Makes a Failure of what was read from an upstream's error: structure before text, in the contract's order (code,
 * type, status, known phrases), then whom it puts to rest, for how long, and what may be told of it.
 */
import type { Failure, FailureClass, RestScope } from '../policy/failure.js';
import { blotSecrets } from './blot.js';
import { classOfText, namesModel, refineByPhrase, saysRequestTooLarge } from './classify-phrases.js';
import { classOfStatus, classOfWord, isInvalidRequestWord } from './classify-words.js';
import { type ErrorFacts, readErrorBody } from './error-body.js';
import { readRetryAfterMs, readRetryInfoMs } from './retry-after.js';

/** Lower-case names. */
export type HeaderRecord = Readonly<Record<string, string>>;

/** What was received, as far as it is known. */
export interface ErrorEvidence {
  /** The HTTP status that the class may be read from: that of a failed response. */
  readonly status?: number;
  readonly headers: HeaderRecord;
  /** The parsed body or event. */
  readonly payload: unknown;
  /** Names of the error besides its body's: an SDK's class, AWS's header. */
  readonly names?: readonly string[];
  /** Our words, where the body has none. */
  readonly fallbackMessage: string;
}

/** Longer ones help nobody; they hold stack traces or the caller's own prompt. */
const LONGEST_MESSAGE = 2_000;
const LONGEST_FIELD = 200;

interface Reading {
  readonly failureClass: FailureClass;
  /** What it was read from; `nothing`: a `server_error` for want of better. */
  readonly basis: 'structure' | 'text' | 'nothing';
}

/** @returns the failure, and what its class was read from. */
export function failureOf(
  evidence: ErrorEvidence,
  wallEpochMs: number,
): { readonly failure: Failure; readonly basis: Reading['basis'] } {
  const facts = readErrorBody(evidence.payload);
  const { failureClass, basis } = classOf(facts, evidence);
  const isTooLarge = failureClass === 'rate_limited' && saysRequestTooLarge(facts.text);
  const retryAfterMs = readRetryAfterMs(evidence.headers, wallEpochMs) ?? readRetryInfoMs(evidence.payload);
  const neverRetry = isTooLarge || forbidsRetry(evidence.headers);
  return {
    basis,
    failure: {
      class: failureClass,
      ...(evidence.status !== undefined && { status: evidence.status }),
      error: {
        message: speakable(facts.message ?? '', evidence.fallbackMessage),
        type: field(facts.type),
        code: field(facts.code),
        param: field(facts.param),
      },
      ...(retryAfterMs !== undefined && !isTooLarge && { retryAfterMs }),
      restScope: isTooLarge ? 'none' : restScopeOf(failureClass, facts),
      ...(neverRetry && { neverRetry }),
    },
  };
}

/** Our own words for it: no upstream said anything. It rests nobody. */
export function ownFailure(failureClass: FailureClass, message: string, status?: number): Failure {
  return {
    class: failureClass,
    ...(status !== undefined && { status }),
    error: { message: speakable(message, failureClass), type: null, code: failureClass, param: null },
    restScope: 'none',
  };
}

/** Shapes of keys are blotted out already; a key of no known shape is known to its attempt alone. */
export function withoutKey(failure: Failure, apiKey: string | undefined): Failure {
  if (apiKey === undefined) return failure;
  const { message, type, code, param } = failure.error;
  const blot = <T extends string | null>(text: T) => (text === null ? text : blotSecrets(text, [apiKey]));
  return { ...failure, error: { message: blot(message), type: blot(type), code: blot(code), param: blot(param) } };
}

export function forbidsRetry(headers: HeaderRecord): boolean {
  return headers['x-should-retry']?.trim().toLowerCase() === 'false';
}

function classOf(facts: ErrorFacts, evidence: ErrorEvidence): Reading {
  const status = facts.codeStatus ?? evidence.status;
  const types = [...facts.types, ...(evidence.names ?? [])];

  const byCode = firstClass(facts.codes);
  if (byCode) return structural(inContext(byCode, facts, status));
  if (facts.isFlagged) return structural('content_filter');

  const byType = firstClass(types);
  // A type that only says "server error" beside a status that is sure of itself says nothing.
  if (byType && !(byType === 'server_error' && status !== undefined && isSureStatus(status))) {
    return structural(refineByPhrase(inContext(byType, facts, status), facts.text));
  }
  if (status !== undefined) return structural(refineByPhrase(classOfStatus(status), facts.text));
  if (types.some(isInvalidRequestWord)) return structural(refineByPhrase('invalid_request', facts.text));

  const byText = classOfText(facts.text);
  return byText ? { failureClass: byText, basis: 'text' } : { failureClass: 'server_error', basis: 'nothing' };
}

function structural(failureClass: FailureClass): Reading {
  return { failureClass, basis: 'structure' };
}

function firstClass(words: readonly string[]): FailureClass | undefined {
  for (const word of words) {
    const failureClass = classOfWord(word);
    if (failureClass) return failureClass;
  }
  return undefined;
}

/** A `server_error` beside one of these is no word about the server: many stand-ins write that type under any status. */
const SURE_STATUSES = new Set([401, 402, 403, 404, 410, 413, 429]);

function isSureStatus(status: number): boolean {
  return SURE_STATUSES.has(status);
}

/** The same word means another thing beside another status, or with Google's names of limits. */
function inContext(failureClass: FailureClass, facts: ErrorFacts, status: number | undefined): FailureClass {
  // OpenAI: 403 with model_not_found is a project without access to the model.
  if (failureClass === 'not_found' && status === 403) return 'permission';
  // Google writes RESOURCE_EXHAUSTED and the same text for a limit per minute and for one per day.
  if (failureClass === 'rate_limited' && facts.quotaIds.some((id) => /perday/i.test(id))) return 'quota';
  return failureClass;
}

function restScopeOf(failureClass: FailureClass, facts: ErrorFacts): RestScope {
  switch (failureClass) {
    case 'auth':
    case 'permission':
    case 'quota':
      return isAboutOneModel(facts) ? 'model' : 'provider';
    case 'not_found':
    case 'rate_limited':
    case 'overloaded':
      return 'model';
    default:
      return 'none';
  }
}

function isAboutOneModel(facts: ErrorFacts): boolean {
  return (
    facts.namesModel ||
    facts.codes.some((code) => classOfWord(code) === 'not_found') ||
    facts.quotaIds.some((id) => /permodel/i.test(id)) ||
    namesModel(facts.text)
  );
}

/** What may be told: no key, no page of markup, not too long. */
function speakable(message: string, fallbackMessage: string): string {
  const text = hasMarkup(message) ? '' : message.trim();
  return cut(blotSecrets(text === '' ? fallbackMessage : text), LONGEST_MESSAGE);
}

/** A page of HTML or XML somewhere in a message: SDKs and proxies put whole pages there. */
function hasMarkup(text: string): boolean {
  return /<!doctype|<\?xml|<html|<head[ >]|<body[ >]/i.test(text);
}

function field(text: string | null): string | null {
  return text === null ? null : cut(blotSecrets(text), LONGEST_FIELD);
}

function cut(text: string, longest: number): string {
  return text.length <= longest ? text : `${text.slice(0, longest - 1).toWellFormed()}…`;
}
