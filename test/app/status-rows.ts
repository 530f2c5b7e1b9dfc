/**
 * Chains in which no model answers, and what the caller must be told: the contract's section 3, a row for each of its
 * words.
 */
import { reply, type Reply } from '../../src/testing.js';

export interface StatusRow {
  readonly why: string;
  /** What each model of the chain says, every time. */
  readonly models: readonly Reply[];
  /** Of the chain. */
  readonly policy?: object;
  readonly headers?: Readonly<Record<string, string>>;
  readonly status: number;
  readonly error: { readonly type: string; readonly code: string; readonly param?: string; readonly message?: RegExp };
  /** Class and status of each attempt; the model is the one of that place in the chain. */
  readonly attempts: readonly string[];
  readonly retryAfterS?: number;
}

const failing = (status: number, code: string, more: object = {}, headers: Record<string, string> = {}) =>
  reply.error(status, { type: 'invalid_request_error', code, ...more }, { headers });
const limited = (retryAfterS?: number) =>
  failing(429, 'rate_limit_exceeded', {}, retryAfterS === undefined ? {} : { 'retry-after': String(retryAfterS) });
const overloaded = (retryAfterS: number) =>
  failing(503, 'server_is_overloaded', {}, { 'retry-after': String(retryAfterS) });

const INVALID = failing(400, 'invalid_value', { message: 'Invalid value: robot.', param: 'messages[0].role' });
const TOO_LONG = failing(400, 'context_length_exceeded', { message: 'At most 8192 tokens.', param: 'messages' });
const UNSUPPORTED = failing(400, 'unsupported_parameter', { message: 'Not with this model.', param: 'max_tokens' });

const ALL_FAILED = { type: 'server_error', code: 'all_failed', message: /^No model of chain ".+" answered: / };
const DEADLINE = { type: 'timeout_error', code: 'deadline' };
const LIMITED = { type: 'rate_limit_error', code: 'all_failed', message: /Retry in \d+ s\.$/ };

export const STATUS_ROWS: readonly StatusRow[] = [
  // The caller's own fault: the upstream's 4xx, message, code and param, and nobody else is asked.
  {
    why: 'an invalid request',
    models: [INVALID, 'never asked'],
    status: 400,
    error: {
      type: 'invalid_request_error',
      code: 'invalid_value',
      param: 'messages[0].role',
      message: /^Invalid value: robot\.$/,
    },
    attempts: ['invalid_request 400'],
  },
  {
    why: 'an invalid request that the upstream calls 422',
    models: [failing(422, 'invalid_value', { message: 'No.' }), 'never asked'],
    status: 422,
    error: { type: 'invalid_request_error', code: 'invalid_value', message: /^No\.$/ },
    attempts: ['invalid_request 422'],
  },
  {
    why: 'an invalid request told inside a 200',
    models: [
      reply.errorInside200({
        message: 'Bad role.',
        type: 'invalid_request_error',
        code: 'invalid_value',
        param: 'role',
      }),
      'never asked',
    ],
    status: 400,
    error: { type: 'invalid_request_error', code: 'invalid_value', param: 'role', message: /^Bad role\.$/ },
    attempts: ['invalid_request 200'],
  },
  {
    why: 'an invalid request in another shape than OpenAI’s',
    models: [reply.json(400, { detail: [{ loc: ['body', 'messages'], msg: 'field required', type: 'missing' }] })],
    status: 400,
    error: { type: 'missing', code: 'invalid_request', param: 'messages', message: /field required/ },
    attempts: ['invalid_request 400'],
  },
  {
    why: 'an invalid request, found by the second model',
    models: [reply.error(500), INVALID],
    status: 400,
    error: { type: 'invalid_request_error', code: 'invalid_value', param: 'messages[0].role' },
    attempts: ['server_error 500', 'invalid_request 400'],
  },
  {
    why: 'a prompt that the filter refuses',
    models: [failing(400, 'content_filter', { message: 'Filtered.', param: 'prompt' }), 'never asked'],
    status: 400,
    error: { type: 'invalid_request_error', code: 'content_filter', param: 'prompt', message: /^Filtered\.$/ },
    attempts: ['content_filter 400'],
  },
  {
    why: 'a prompt too long for every model',
    models: [TOO_LONG, TOO_LONG],
    status: 400,
    error: {
      type: 'invalid_request_error',
      code: 'context_length_exceeded',
      param: 'messages',
      message: /^At most 8192 tokens\.$/,
    },
    attempts: ['context_length 400', 'context_length 400'],
  },
  {
    why: 'a prompt that is larger than the upstream takes',
    models: [reply.json(413, { error: { message: 'Too large.' } })],
    status: 413,
    error: { type: 'invalid_request_error', code: 'context_length', message: /^Too large\.$/ },
    attempts: ['context_length 413'],
  },
  {
    why: 'a parameter that no model knows',
    models: [UNSUPPORTED, UNSUPPORTED],
    status: 400,
    error: { type: 'invalid_request_error', code: 'unsupported_parameter', param: 'max_tokens' },
    attempts: ['unsupported 400', 'unsupported 400'],
  },
  {
    why: 'a prompt too long for one model, while the other is broken',
    models: [TOO_LONG, reply.error(500)],
    status: 502,
    error: ALL_FAILED,
    attempts: ['context_length 400', 'server_error 500'],
  },
  {
    why: 'a parameter that one model does not know, while the other is broken',
    models: [reply.error(500), UNSUPPORTED],
    status: 502,
    error: ALL_FAILED,
    attempts: ['server_error 500', 'unsupported 400'],
  },
  // All rate-limited: the soonest.
  {
    why: 'all rate-limited, who say when',
    models: [limited(90), limited(40)],
    status: 429,
    error: LIMITED,
    attempts: ['rate_limited 429', 'rate_limited 429'],
    retryAfterS: 40,
  },
  {
    why: 'all rate-limited, who do not say when',
    models: [limited(), limited()],
    policy: { deadlineMs: 1_000 },
    status: 429,
    error: LIMITED,
    attempts: ['rate_limited 429', 'rate_limited 429'],
    retryAfterS: 2,
  },
  {
    why: 'one rate-limited, the other broken',
    models: [limited(90), reply.error(500)],
    status: 502,
    error: ALL_FAILED,
    attempts: ['rate_limited 429', 'server_error 500'],
  },
  // Deadline passed, or every attempt timed out.
  {
    why: 'the deadline passes',
    models: [reply.hang(), reply.hang()],
    policy: { deadlineMs: 300 },
    status: 504,
    error: DEADLINE,
    attempts: ['timeout', 'timeout'],
  },
  {
    why: 'the caller’s own deadline passes',
    models: [reply.hang(), reply.hang()],
    headers: { 'x-fallback-deadline-ms': '300' },
    status: 504,
    error: DEADLINE,
    attempts: ['timeout', 'timeout'],
  },
  {
    why: 'every attempt times out',
    models: [reply.hang(), reply.hang({ after: 'headers' })],
    policy: { timeoutMs: 150 },
    status: 504,
    error: DEADLINE,
    attempts: ['timeout', 'timeout'],
  },
  {
    why: 'one attempt times out, the other model is broken',
    models: [reply.hang(), reply.error(500)],
    policy: { timeoutMs: 150 },
    status: 502,
    error: ALL_FAILED,
    attempts: ['timeout', 'server_error 500'],
  },
  // The operator's own affairs are never shown as the caller's.
  {
    why: 'a wrong key',
    models: [failing(401, 'invalid_api_key')],
    status: 502,
    error: ALL_FAILED,
    attempts: ['auth 401'],
  },
  {
    why: 'no permission',
    models: [failing(403, 'forbidden')],
    status: 502,
    error: ALL_FAILED,
    attempts: ['permission 403'],
  },
  {
    why: 'an empty account',
    models: [failing(429, 'insufficient_quota')],
    status: 502,
    error: ALL_FAILED,
    attempts: ['quota 429'],
  },
  { why: 'an unpaid account', models: [reply.json(402, {})], status: 502, error: ALL_FAILED, attempts: ['quota 402'] },
  {
    why: 'a model that is not there',
    models: [failing(404, 'model_not_found')],
    status: 502,
    error: ALL_FAILED,
    attempts: ['not_found 404'],
  },
  // Everything else.
  { why: 'a broken model', models: [reply.error(500)], status: 502, error: ALL_FAILED, attempts: ['server_error 500'] },
  { why: 'a busy model', models: [overloaded(90)], status: 502, error: ALL_FAILED, attempts: ['overloaded 503'] },
  { why: 'a reset', models: [reply.reset()], status: 502, error: ALL_FAILED, attempts: ['network'] },
  { why: 'an empty answer', models: [reply.text([])], status: 502, error: ALL_FAILED, attempts: ['empty_answer 200'] },
  {
    why: 'a page of HTML',
    models: [reply.raw('HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n<html></html>')],
    status: 502,
    error: ALL_FAILED,
    attempts: ['bad_response 200'],
  },
  {
    why: 'every failure that there is',
    models: [reply.reset(), failing(401, 'invalid_api_key'), overloaded(90), limited(90)],
    status: 502,
    error: ALL_FAILED,
    attempts: ['network', 'auth 401', 'overloaded 503', 'rate_limited 429'],
  },
  {
    why: 'only the first model is to be asked',
    models: [reply.error(500), 'never asked'],
    headers: { 'x-fallback': 'off' },
    status: 502,
    error: ALL_FAILED,
    attempts: ['server_error 500'],
  },
];
