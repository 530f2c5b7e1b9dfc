/**
 * Replays the failure catalogue through the running gateway: each fault from a real socket, and what caller, operator
 * and upstreams see of it.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { asArray, asObject } from '../../src/simulation/json-value.js';
import { askGateway } from '../app/ask-gateway.js';
import type { CallerView } from '../app/ask-gateway.js';
import { readModelMetrics, readOutcomes } from '../app/read-metrics.js';
import { acceptedClasses, loadCatalogue } from './catalogue.js';
import type { FailureCase } from './catalogue.js';
import {
  expectedAttempts,
  expectedCallsWithOneRetry,
  expectedOutcomesOfA,
  expectedRest,
  requestOf,
} from './expected.js';
import { DEADLINE_MS, startReplayStage } from './replay-stage.js';
import type { ReplayStage } from './replay-stage.js';

const catalogue = loadCatalogue();
const abandoned = catalogue.filter(({ expect: { caller } }) => caller.abort_after_tokens !== undefined);
/** Their streams break in the caller's hands and go on there. */
const resumed = catalogue.filter(({ expect: { reaction } }) => reaction === 'continue' || reaction === 'restart');
const replayed = catalogue.filter((one) => !resumed.includes(one) && !abandoned.includes(one));
const withAnswerAlone = catalogue.filter((one) => {
  const alone = one.expect.caller_if_A_is_alone;
  return alone !== undefined && alone !== 'n/a';
});
const retriable = replayed.filter(({ expect: { calls, reaction } }) => calls.A === 1 && reaction !== 'accept');

/** No answer to a caller may hold any of these, whatever the upstream sent: markup, or what is the operator's alone. */
const NEVER_SHOWN = ['<html', '<!doctype', 'org-abc', 'sk-proj', 'WXYZ', '\u{FFFD}'];

// Some cases are nothing but a wait for limits of 3 to 5 s.
vi.setConfig({ testTimeout: 20_000 });

let stage: ReplayStage;
beforeAll(async () => {
  stage = await startReplayStage(catalogue);
}, 60_000);
afterAll(() => stage?.close());

describe('the replay of the catalogue', () => {
  it('covers every case', () => {
    expect(replayed.length + resumed.length + abandoned.length).toBe(catalogue.length);
  });
});

describe('a chain whose first model fails as in the catalogue', () => {
  it.concurrent.for(replayed.map((one) => ({ one, ...one })))('$id: $title', async ({ one }) => {
    const { names, a } = stage.of(one);
    const { caller } = one.expect;
    const sentAtEpochMs = Date.now();
    let view = await askGateway(stage.gateway.url, requestOf(one, names.chain));
    if (one.expect.reaction === 'retry_same_once') {
      // The pause belongs to the case: without it the second request may open a socket of its own.
      await pause(50);
      view = await askGateway(stage.gateway.url, requestOf(one, names.chain));
    }
    const receivedAtEpochMs = Date.now();
    const metrics = await readModelMetrics(stage.gateway.url, names.a);
    const readAtEpochMs = Date.now();

    expectHeaders(one, view);
    expectContent(one, view);
    if (caller.evil_port_requests !== undefined) expect(stage.evilRequests()).toBe(caller.evil_port_requests);
    if (one.expect.calls.A !== undefined) expect(a.requests(names.a)).toBe(one.expect.calls.A);
    expect(stage.healthy.callsOf(names.b)).toHaveLength(one.expect.calls.B);

    expect(metrics).toMatchObject({ breaker: 'closed' });
    const rest = expectedRest(one);
    if (rest === undefined) expect(metrics).toMatchObject({ cooldownUntil: null });
    // A rest of a quarter of a second may be over before it is looked at.
    else if (metrics?.['cooldownUntil'] !== null || readAtEpochMs - sentAtEpochMs < rest.leastMs) {
      const untilEpochMs = Date.parse(String(metrics?.['cooldownUntil']));
      expect(untilEpochMs - sentAtEpochMs).toBeGreaterThanOrEqual(rest.leastMs);
      expect(untilEpochMs - receivedAtEpochMs).toBeLessThanOrEqual(rest.mostMs);
    }
    await expectOutcomes(names.a, expectedOutcomesOfA(one));
    if (rest !== undefined) await expectRestOfOthers(one);
  });
});

describe('a chain of that model alone', () => {
  it.concurrent.for(withAnswerAlone.map((one) => ({ one, ...one, alone: one.expect.caller_if_A_is_alone })))(
    '$id: $alone',
    async ({ one, alone }) => {
      const { names } = stage.of(one);
      const view = await askGateway(stage.gateway.url, requestOf(one, names.aloneChain));
      expectClean(one, view);
      if (typeof alone === 'string') return expectBrokenStream(one, view);
      expect([alone].flat()).toContain(view.status);
      if (view.status === 200) return expectStreamEnd(one, view);
      expect(view.error).toMatchObject({ message: expect.any(String), type: expect.any(String) });
      expect(view.error).toHaveProperty('code');
      expect(view.error).toHaveProperty('param');
      const attempts = asArray(view.error?.['attempts']).map((attempt) => asObject(attempt));
      expect(attempts.map(({ model }) => model)).toEqual([names.alone]);
      expect(acceptedClasses(one)).toContain(attempts[0]?.['class']);
      expect(view.trace).toMatchObject([{ model: names.alone, class: attempts[0]?.['class'] }]);
      expect(view.headers).not.toHaveProperty('x-fallback-model');
      if (expectedRest(one) !== undefined && view.status === 429) expect(view.headers).toHaveProperty('retry-after');
      const waitS = one.expect.caller.alone_retry_after_s;
      if (waitS !== undefined) expect(view.headers['retry-after']).toBe(String(waitS));
      const mayRetry = (view.status === 429 || view.status === 503) && 'retry-after' in view.headers;
      expect(view.headers['x-should-retry']).toBe(mayRetry ? undefined : 'false');
    },
  );
});

describe('that model alone, where one retry is allowed', () => {
  it.concurrent.for(
    retriable.flatMap((one) => {
      const calls = expectedCallsWithOneRetry(one, DEADLINE_MS);
      return calls === undefined ? [] : [{ one, ...one, later: one.expect.retry_same_later, calls }];
    }),
  )('$id is asked $calls times: $later', async ({ one, calls }) => {
    const { names, retried } = stage.of(one);
    const { trace } = await askGateway(stage.gateway.url, requestOf(one, names.retriedChain));
    expect(trace.map(({ model }) => model)).toEqual(Array.from({ length: calls }, () => names.retried));
    expect(retried.requests(names.retried)).toBe(calls);
  });
});

describe('a stream that breaks in the caller’s hands', () => {
  it.concurrent.for(resumed.map((one) => ({ one, ...one })))('$id: $title', async ({ one }) => {
    const { names, a } = stage.of(one);
    const view = await askGateway(stage.gateway.url, requestOf(one, names.chain));
    expectClean(one, view);
    expectStreamEnd(one, view);
    expect(view.events.at(-1)?.kind).toBe('done');
    const { text, text_starts_with: start = '' } = one.expect.caller;
    expect(view.text).toBe(text ?? `${start} three`);
    expect(view.finishReason).toBe('stop');
    // The headers went out at the first token; what came after stands in the chunks.
    expect(view.headers).toMatchObject({ 'x-fallback-model': names.a, 'x-fallback-attempts': '1' });
    const chunks = dataOf(view.body);
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
    const told = chunks.flatMap(({ fallback }) => (fallback === undefined ? [] : [asObject(fallback)]));
    const reason = told[0]?.['reason'];
    expect(acceptedClasses(one)).toContain(reason);
    expect(told[0]).toEqual({ from: names.a, to: names.b, reason });
    const trace = String(told[1]?.['trace']);
    expect(trace).toMatch(new RegExp(`^${names.a};${String(reason)};\\d+ms, ${names.b};ok;\\d+ms$`, 'u'));
    expect(told).toHaveLength(2);
    expect(a.requests(names.a)).toBe(1);
    expect(stage.healthy.callsOf(names.b)).toHaveLength(1);
    await expectOutcomes(names.a, expectedOutcomesOfA(one));
    await expectOutcomes(names.b, [{ ok: 1 }]);
  });
});

describe('a caller who goes away', () => {
  it.for(abandoned.map((one) => ({ one, ...one })))('$id: $title', async ({ one }) => {
    const { names, a } = stage.of(one);
    const leaving = new AbortController();
    let leftAtMs = Infinity;
    const tokens = one.expect.caller.abort_after_tokens ?? 0;
    const view = await askGateway(stage.gateway.url, requestOf(one, names.chain), {
      signal: leaving.signal,
      onPiece(bodySoFar) {
        if (bodySoFar.split('"content":"x"').length <= tokens || leaving.signal.aborted) return;
        leftAtMs = performance.now();
        leaving.abort();
      },
    });
    expect(view.isWhole).toBe(false);
    const closedAtMs = await a.lastClosedAtMs();
    expect(closedAtMs - leftAtMs).toBeLessThan(one.expect.caller.upstream_closed_within_ms ?? 0);
    expect(a.requests(names.a)).toBe(one.expect.calls.A);
    expect(stage.healthy.callsOf(names.b)).toHaveLength(one.expect.calls.B);
    await expectOutcomes(names.a, expectedOutcomesOfA(one));
    expect(await readModelMetrics(stage.gateway.url, names.a)).toMatchObject({
      cooldownUntil: null,
      breaker: 'closed',
    });
  });
});

function expectHeaders(one: FailureCase, { headers, status, trace }: CallerView): void {
  const { names } = stage.of(one);
  const { caller } = one.expect;
  const nameOf = (model: 'A' | 'B') => (model === 'A' ? names.a : names.b);
  const attempts = expectedAttempts(one);
  expect(status).toBe(caller.status);
  expect(trace.map(({ model }) => model)).toEqual(attempts.map(({ model }) => nameOf(model)));
  for (const [index, { classes }] of attempts.entries()) expect(classes).toContain(trace[index]?.class);
  expect(headers['x-fallback-attempts']).toBe(String(attempts.length));
  expect(headers['x-fallback-used']).toBe(String(attempts.some(({ model }) => model === 'B')));
  expect(headers).toHaveProperty('x-request-id');
  const answered = caller.answered_by;
  if (answered === 'A' || answered === 'B') expect(headers['x-fallback-model']).toBe(nameOf(answered));
  else expect(headers).not.toHaveProperty('x-fallback-model');
}

function expectContent(one: FailureCase, view: CallerView): void {
  const { caller } = one.expect;
  expectClean(one, view);
  if (view.status === 200) expectStreamEnd(one, view);
  if (caller.answered_by === 'B' && one.request.tools === undefined) {
    expect(view.text).toBe(one.request.response_format === undefined ? 'Hello from B' : '{"from":"B"}');
  }
  if (caller.text !== undefined) expect(view.text).toBe(caller.text);
  if (caller.finish_reason !== undefined) expect(view.finishReason).toBe(caller.finish_reason);
  if (caller.role_chunks !== undefined) {
    expect(view.events.filter(({ kind }) => kind === 'role')).toHaveLength(caller.role_chunks);
  }
  if (caller.done_count !== undefined) {
    expect(view.events.filter(({ kind }) => kind === 'done')).toHaveLength(caller.done_count);
  }
  if (caller.usage_total !== undefined) expect(view.usageTotal).toBe(caller.usage_total);
  if (caller.tool_calls !== undefined) expect(view.toolCalls).toHaveLength(caller.tool_calls);
  if (caller.tool_indexes !== undefined) expect(view.toolCalls.map(({ index }) => index)).toEqual(caller.tool_indexes);
  if (caller.tool_args !== undefined) expect(view.toolCalls[0]?.arguments).toBe(caller.tool_args);
  if (caller.error_code !== undefined) expect(view.error?.['code']).toBe(caller.error_code);
  if (caller.error_param !== undefined) expect(view.error?.['param']).toBe(caller.error_param);
}

/** Whatever else: a whole body, and nothing in it that is not the caller's to see. */
function expectClean({ expect: { caller } }: FailureCase, view: CallerView): void {
  expect(view.isWhole).toBe(true);
  const shown = (view.body + JSON.stringify(view.headers)).toLowerCase();
  const words = [...NEVER_SHOWN, ...(caller.body_must_not_contain ?? [])];
  expect(words.filter((word) => shown.includes(word.toLowerCase()))).toEqual([]);
}

/** Exactly one terminator, and it is the last event. */
function expectStreamEnd(one: FailureCase, { events, body, headers }: CallerView): void {
  if (!one.request.stream) return;
  expect(headers['content-type']).toMatch(/^text\/event-stream/u);
  expect(body).toMatch(/\n\n$/u);
  expect(events.filter(({ kind }) => kind === 'unreadable')).toEqual([]);
  const terminators = events.filter(({ kind }) => kind === 'done' || kind === 'error');
  expect(terminators).toEqual([events.at(-1)]);
}

function dataOf(body: string): Record<string, unknown>[] {
  const data = [...body.matchAll(/^data: (\{.*)$/gmu)];
  return data.map((match) => asObject(JSON.parse(match[1] ?? '')) ?? {});
}

/** The text so far, then one error event and the end. */
function expectBrokenStream(one: FailureCase, view: CallerView): void {
  expect(view.status).toBe(200);
  expectStreamEnd(one, view);
  expect(view.events.at(-1)?.kind).toBe('error');
  expect(view.error).toMatchObject({ message: expect.any(String) });
  expect(view.text).toBe(one.expect.caller.text_starts_with ?? '');
}

/** While A rests, so do those that share its key, if the rest is the provider's; and nobody asks A again. */
async function expectRestOfOthers(one: FailureCase): Promise<void> {
  const { names, a } = stage.of(one);
  const isModelAlone = one.expect.cooldown.scope === 'model';
  const seen = a.requests(names.a);
  const sibling = await askGateway(stage.gateway.url, requestOf(one, names.siblingChain));
  expect(sibling.headers['x-fallback-model']).toBe(isModelAlone ? names.sibling : names.b);
  expect(a.requests(names.sibling)).toBe(isModelAlone ? 1 : 0);
  // A rest shorter than these requests may be over by now.
  if ((one.expect.cooldown.ms ?? 0) < 2_000) return;
  const again = await askGateway(stage.gateway.url, requestOf(one, names.chain));
  expect(again.headers['x-fallback-model']).toBe(names.b);
  expect(a.requests(names.a)).toBe(seen);
}

/** Counted when the attempt has ended, which may be a moment after the caller has its answer. */
async function expectOutcomes(model: string, accepted: readonly object[]): Promise<void> {
  await vi.waitFor(async () => expect(accepted).toContainEqual(await readOutcomes(stage.gateway.url, model)), {
    timeout: 2_000,
    interval: 20,
  });
}
