/**
 * Checks one whole chat answer, not streamed, before anyone sees it: a 200 can be a login page, an error, empty,
 * filtered, or not the JSON that was asked for.
 *
 * Pure, and throws at nothing. A healthy answer is decoded and parsed once; its bytes go on as they came.
 */
import { ownFailure } from './failure-of.js';
import { classifyErrorPayload, isErrorPayload } from './classify.js';
import type { Failure } from '../policy/failure.js';
import { type AnswerChoice, readChoice } from './answer-choice.js';
import { breaksSchema } from './answer-schema.js';
import { isRecord, parseJson, property } from './unknown-value.js';
import type { TokenUsage, UpstreamRequest } from './upstream.js';

export interface ReceivedAnswer {
  /** 2xx. */
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly bytes: Uint8Array;
}

export type CheckedAnswer =
  | {
      readonly ok: true;
      readonly json: unknown;
      readonly outcome: 'ok' | 'content_filter';
      /** Of the first choice. */
      readonly finishReason: string | null;
      readonly usage: TokenUsage;
    }
  | { readonly ok: false; readonly failure: Failure; readonly usage: TokenUsage };

type Expectations = Pick<UpstreamRequest, 'wantsJson' | 'onInvalidOutput' | 'onContentFilter'>;

/** A byte order mark is cut off, and what is no UTF-8 becomes a sign that says so. */
const UTF8 = new TextDecoder();

const NO_USAGE: TokenUsage = { inputTokens: 0, outputTokens: 0, reported: false };

export function checkAnswer(received: ReceivedAnswer, request: Expectations, wallEpochMs: number): CheckedAnswer {
  const text = UTF8.decode(received.bytes);
  const json = parseJson(text);
  if (json === undefined) return failed('bad_response', describeNoJson(text, received), received);
  if (isErrorPayload(json)) {
    const failure = classifyErrorPayload(json, received.headers, wallEpochMs);
    return { ok: false, failure: { ...failure, status: received.status }, usage: readUsage(json, []) };
  }

  const written = property(json, 'choices');
  if (!Array.isArray(written) || written.length === 0) {
    return failed('bad_response', `HTTP ${received.status} with JSON that has no choices`, received);
  }
  const choices = written.map(readChoice).filter((choice) => choice !== undefined);
  const usage = readUsage(json, choices);
  if (choices.length < written.length) {
    return failed('bad_response', `HTTP ${received.status} with a choice that has no message`, received, usage);
  }
  const failure = findFault(choices, request, received, wallEpochMs);
  if (failure) return { ok: false, failure, usage };
  return {
    ok: true,
    json,
    outcome: choices.every((choice) => choice.end === 'content_filter') ? 'content_filter' : 'ok',
    finishReason: choices[0]?.finishReason ?? null,
    usage,
  };
}

/** Output tokens where an upstream reported none: a quarter of the bytes, rounded up. */
export function estimateTokens(byteLength: number): number {
  return Math.ceil(byteLength / 4);
}

function findFault(
  choices: readonly AnswerChoice[],
  request: Expectations,
  { status, headers }: ReceivedAnswer,
  wallEpochMs: number,
): Failure | undefined {
  const broken = choices.find((choice) => choice.end === 'error');
  if (broken) {
    return broken.error === undefined
      ? ownFailure('server_error', 'the answer ended with finish_reason "error"', status)
      : { ...classifyErrorPayload({ error: broken.error }, headers, wallEpochMs), status };
  }
  const areAllVoid = choices.every((choice) => !choice.hasContent);
  if (areAllVoid && choices.every((choice) => choice.end === 'content_filter')) {
    return request.onContentFilter === 'next'
      ? ownFailure('content_filter', 'the answer was filtered before any text', status)
      : undefined;
  }
  // One that was cut or filtered says why it has no text; as long as one does, the answer is no empty one.
  if (areAllVoid && choices.every((choice) => choice.end === 'finished')) {
    return ownFailure('empty_answer', 'the answer has no text, no tool call and no refusal', status);
  }
  if (choices.some((choice) => choice.hasBrokenToolCall && choice.end !== 'length')) {
    return ownFailure('bad_response', 'a tool call with arguments that are not JSON', status);
  }
  if (!request.wantsJson || request.onInvalidOutput === 'return') return undefined;
  const complaint = findBrokenJson(choices, request.wantsJson.schema);
  return complaint === undefined ? undefined : ownFailure('invalid_output', complaint, status);
}

function findBrokenJson(
  choices: readonly AnswerChoice[],
  schema: Readonly<Record<string, unknown>> | undefined,
): string | undefined {
  for (const choice of choices) {
    if (choice.end !== 'finished' || choice.isExemptFromJson) continue;
    const value = parseJson(choice.text);
    if (value === undefined) return 'the answer is not the JSON that response_format asked for';
    if (!schema && !isRecord(value)) return 'the answer is JSON, but not the object that response_format asked for';
    if (schema && breaksSchema(value, schema)) return 'the answer does not match the schema of response_format';
  }
  return undefined;
}

function failed(
  failureClass: 'bad_response',
  message: string,
  { status }: ReceivedAnswer,
  usage: TokenUsage = NO_USAGE,
): CheckedAnswer {
  return { ok: false, failure: ownFailure(failureClass, message, status), usage };
}

function describeNoJson(text: string, { status, headers }: ReceivedAnswer): string {
  if (text.trim() === '') return `HTTP ${status} with an empty body`;
  if (/^\s{0,64}</.test(text)) return `HTTP ${status} with an HTML page`;
  const isEventStream = headers['content-type']?.startsWith('text/event-stream') || /^(?:data|event):/.test(text);
  return `HTTP ${status} with ${isEventStream ? 'an event stream that nobody asked for' : 'a body that is not JSON'}`;
}

/** More is no count of tokens but a fault, and would spoil every sum it goes into. */
const MOST_TOKENS = 100_000_000;

/** The upstream's own figures where they can be true; else the output is counted, and the input left to who knows it. */
function readUsage(json: unknown, choices: readonly AnswerChoice[]): TokenUsage {
  const usage = property(json, 'usage');
  const inputTokens = countOf(property(usage, 'prompt_tokens') ?? property(usage, 'input_tokens'));
  const outputTokens = countOf(property(usage, 'completion_tokens') ?? property(usage, 'output_tokens'));
  const isCredible = outputTokens !== undefined && (outputTokens > 0 || choices.every((choice) => !choice.hasContent));
  if (inputTokens !== undefined && isCredible) return { inputTokens, outputTokens, reported: true };
  const byteLength = choices.reduce((sum, choice) => sum + choice.countBytes(), 0);
  return { inputTokens: inputTokens ?? 0, outputTokens: estimateTokens(byteLength), reported: false };
}

function countOf(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= MOST_TOKENS ? value : undefined;
}
