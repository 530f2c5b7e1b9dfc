/**
 * The failure catalogue as values: read once, checked strictly, so that a key that nobody plays or asserts is noticed
 * when the file is loaded and not passed over in silence. The file's head says what each key means.
 */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { z } from 'zod';
import { FAILURE_CLASSES } from '../../src/policy/failure.js';

const CATALOGUE_FILE = new URL('../data/failure-catalogue.yaml', import.meta.url);

const step = z.union([
  z.strictObject({ after_ms: z.number(), bytes: z.string() }),
  z.strictObject({ after_ms: z.number(), hex: z.string() }),
]);
const end = z.enum(['fin', 'rst', 'hang']);
const headers = z.record(z.string(), z.string());
const http = z.strictObject({
  kind: z.literal('http'),
  status: z.number(),
  headers,
  body: z.string(),
  after_ms: z.number().optional(),
});

const upstream = z.discriminatedUnion('kind', [
  http,
  z.strictObject({ kind: z.literal('sse'), status: z.number(), headers, steps: z.array(step), end }),
  z.strictObject({ kind: z.literal('tcp'), steps: z.array(step), end }),
  z.strictObject({ kind: z.literal('refused') }),
  z.strictObject({ kind: z.literal('dns'), host: z.string() }),
  z.strictObject({
    kind: z.literal('keepalive_close'),
    first: http,
    second_request_on_same_socket: z.string(),
    fresh_sockets: z.string(),
  }),
  z.strictObject({ kind: z.literal('tls_self_signed') }),
  z.strictObject({ kind: z.literal('plain_on_tls') }),
]);

const caller = z.strictObject({
  status: z.number(),
  answered_by: z.enum(['A', 'B', 'A+B']).nullable(),
  text: z.string().optional(),
  text_starts_with: z.string().optional(),
  finish_reason: z.string().optional(),
  role_chunks: z.number().optional(),
  done_count: z.number().optional(),
  usage_total: z.number().optional(),
  tool_args: z.string().optional(),
  tool_calls: z.number().optional(),
  tool_indexes: z.array(z.number()).optional(),
  error_code: z.string().optional(),
  error_param: z.string().optional(),
  body_must_not_contain: z.array(z.string()).optional(),
  evil_port_requests: z.number().optional(),
  alone_retry_after_s: z.number().optional(),
  'x-fallback-model': z.string().optional(),
  abort_after_tokens: z.number().optional(),
  upstream_closed_within_ms: z.number().optional(),
});

const expectation = z.strictObject({
  class: z.enum(['ok', ...FAILURE_CLASSES]),
  /** What a `stream_error` would have been as a status. */
  cause: z.enum(FAILURE_CLASSES).optional(),
  reaction: z.enum([
    'accept',
    'deliver_as_is',
    'next_model',
    'next_larger_model',
    'continue',
    'restart',
    'retry_same_once',
    'retry_same_after_backoff',
    'give_up',
    'end_with_error',
    'none',
  ]),
  retry_same_later: z.enum(['no', 'after_backoff', 'after_retry_after']),
  breaker: z.enum(['failure', 'success', 'no']),
  cooldown: z.strictObject({
    scope: z.enum(['none', 'model', 'provider', 'provider_key']),
    ms: z.number().optional(),
    from: z.string().optional(),
    tolerance_ms: z.number().optional(),
  }),
  calls: z.strictObject({ A: z.number().optional(), B: z.number() }),
  caller,
  caller_if_A_is_alone: z.union([z.number(), z.array(z.number()), z.string()]).optional(),
});

const failureCase = z.strictObject({
  id: z.string(),
  group: z.string(),
  title: z.string(),
  source: z.array(z.string()),
  wire: z.enum(['verbatim', 'documented', 'recalled', 'shaped']),
  request: z.strictObject({
    stream: z.boolean(),
    tools: z.array(z.literal('get_weather')).optional(),
    response_format: z.strictObject({ type: z.literal('json_object') }).optional(),
  }),
  policy: z
    .strictObject({
      maxRetries: z.number().optional(),
      chain: z.array(z.enum(['A', 'B'])).optional(),
      contextWindows: z.strictObject({ A: z.number(), B: z.number() }).optional(),
      ttft_ms: z.number().optional(),
      idle_ms: z.number().optional(),
      total_ms: z.number().optional(),
    })
    .optional(),
  times: z.number().optional(),
  upstream,
  expect: expectation,
  notes: z.string().optional(),
});

export type FailureCase = z.infer<typeof failureCase>;
export type CaseUpstream = FailureCase['upstream'];
export type WireStep = z.infer<typeof step>;

/** Where a note accepts a second class; the key of the case stands beside it so that a changed note is noticed. */
const ALSO_ACCEPTED: Readonly<Record<string, FailureCase['expect']['class']>> = {
  'conn-body-stall': 'timeout_idle',
  'conn-garbage': 'network',
};

/** @throws ZodError that names the place, where the file says something that is not known here. */
export function loadCatalogue(): readonly FailureCase[] {
  return z.array(failureCase).parse(parse(readFileSync(CATALOGUE_FILE, 'utf8')));
}

/** The classes that A's attempt may be given. */
export function acceptedClasses({ id, expect }: FailureCase): readonly string[] {
  const also = ALSO_ACCEPTED[id];
  return also === undefined ? [expect.class] : [expect.class, also];
}

export function bytesOf(one: WireStep): Buffer {
  return 'hex' in one ? Buffer.from(one.hex, 'hex') : Buffer.from(one.bytes, 'utf8');
}
