/**
 * Holds the reading of upstreams against the failure catalogue, as far as it needs no socket: every case that is one
 * HTTP response to a request without streaming, and every error event that opens a stream.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import type { Failure } from '../policy/failure.js';
import { checkAnswer } from './answer.js';
import { classifyErrorPayload, classifyResponse, isErrorPayload, streamErrorFailure } from './classify.js';

const Catalogue = z.array(
  z.looseObject({
    id: z.string(),
    title: z.string(),
    request: z.looseObject({ stream: z.boolean(), response_format: z.object({ type: z.string() }).optional() }),
    upstream: z.looseObject({
      kind: z.string(),
      status: z.number().optional(),
      headers: z.record(z.string(), z.string()).optional(),
      body: z.string().optional(),
      steps: z.array(z.looseObject({ bytes: z.string().optional() })).optional(),
    }),
    expect: z.looseObject({
      class: z.string(),
      cause: z.string().optional(),
      retry_same_later: z.string(),
      cooldown: z.object({ scope: z.string(), ms: z.number().optional(), from: z.string().optional() }),
      caller: z.looseObject({
        error_code: z.string().optional(),
        error_param: z.string().optional(),
        body_must_not_contain: z.array(z.string()).optional(),
      }),
    }),
  }),
);
type Case = z.infer<typeof Catalogue>[number];

const WALL_EPOCH_MS = Date.UTC(2024, 10, 24, 12);
const REST_SCOPES: Readonly<Record<string, string>> = { provider_key: 'provider' };

const catalogue = Catalogue.parse(
  parse(readFileSync(new URL('../../test/data/failure-catalogue.yaml', import.meta.url), 'utf8')),
);

/** The payload of the last data line of the first step that carries an error; undefined where none does. */
function errorEventOf(one: Case): { readonly payload: unknown; readonly isFirst: boolean } | undefined {
  const events = (one.upstream.steps ?? []).flatMap((step) => /^data: (\{.*\})$/m.exec(step.bytes ?? '')?.[1] ?? []);
  for (const [index, event] of events.entries()) {
    if (!event.endsWith('}') || !isJson(event)) continue;
    const payload: unknown = JSON.parse(event);
    if (isErrorPayload(payload)) return { payload, isFirst: index === 0 };
  }
  return undefined;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function expectFailure(one: Case, failure: Failure): void {
  const { cooldown, caller } = one.expect;
  expect(failure.class).toBe(one.expect.class);
  expect(failure.restScope).toBe(REST_SCOPES[cooldown.scope] ?? cooldown.scope);
  expect(failure.retryAfterMs).toBe(cooldown.from === 'default' ? undefined : cooldown.ms);
  const written = JSON.stringify(failure);
  for (const secret of ['org-', ...(caller.body_must_not_contain ?? [])]) expect(written).not.toContain(secret);
  if (caller.error_code) expect(failure.error.code).toBe(caller.error_code);
  if (caller.error_param) expect(failure.error.param).toBe(caller.error_param);
  expect(failure.error.message).not.toMatch(/<html|<!doctype/i);
}

const plain = catalogue.filter((one) => one.upstream.kind === 'http' && !one.request.stream);
const failed = plain.filter((one) => (one.upstream.status ?? 0) >= 300);
const answered = plain.filter((one) => one.upstream.status === 200);
const firstEvents = catalogue.filter((one) => one.upstream.kind === 'sse' && errorEventOf(one)?.isFirst);
const laterEvents = catalogue.filter((one) => one.upstream.kind === 'sse' && errorEventOf(one)?.isFirst === false);

it('finds the cases it is about', () => {
  expect([failed.length, answered.length, firstEvents.length, laterEvents.length]).toEqual([46, 13, 4, 2]);
});

describe('a failed response', () => {
  it.each(failed)('$id: $title', (one) => {
    const { status = 0, headers = {}, body = '' } = one.upstream;
    const failure = classifyResponse({ status, headers, body }, WALL_EPOCH_MS);
    expectFailure(one, failure);
    expect(failure.status).toBe(status);
    const isForbidden = headers['x-should-retry'] === 'false' || one.id === 'openai-429-request-too-large';
    expect(failure.neverRetry ?? false).toBe(isForbidden);
  });
});

describe('a 200', () => {
  it.each(answered)('$id: $title', (one) => {
    const { headers = {}, body = '' } = one.upstream;
    const checked = checkAnswer(
      { status: 200, headers, bytes: Buffer.from(body) },
      {
        ...(one.request.response_format && { wantsJson: {} }),
        onInvalidOutput: 'next',
        onContentFilter: 'return',
      },
      WALL_EPOCH_MS,
    );
    if (checked.ok) expect(checked.outcome).toBe(one.expect.class);
    else expectFailure(one, checked.failure);
  });
});

describe('an error event that opens a stream', () => {
  it.each(firstEvents)('$id: $title', (one) => {
    expectFailure(one, classifyErrorPayload(errorEventOf(one)?.payload, one.upstream.headers ?? {}, WALL_EPOCH_MS));
  });
});

describe('an error event after the first token', () => {
  it.each(laterEvents)('$id: $title', (one) => {
    const failure = streamErrorFailure(errorEventOf(one)?.payload, one.upstream.headers ?? {}, WALL_EPOCH_MS);
    expectFailure(one, failure);
    expect(failure.underlying).toBe(one.expect.cause);
  });
});
