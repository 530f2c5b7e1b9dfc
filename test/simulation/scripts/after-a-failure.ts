/** What one failure leads to: every class, retries and their waits, rests, budgets, the same model again. */
import { FAULTS, type FaultName } from '../faults.js';
import type { Script, ScriptedRequest } from '../script.js';
import { answers, breaks, every, fails, hangs, NEVER_OPENS, script } from './words.js';

const faults = Object.keys(FAULTS) as FaultName[];
/** Other requests meet what the failure left behind: at once, after a moment, and when most rests are over. */
const LATER_MS = [150, 700, 2_600];

export const EVERY_FAULT: readonly Script[] = faults.flatMap((fault) => {
  const request: ScriptedRequest = {
    atMs: 0,
    meets: { a: fails(fault) },
    ...(fault === 'invalid_output' && { wantsJson: true }),
  };
  const streamed = fault === 'invalid_output' ? request : { ...request, streaming: true };
  const later = LATER_MS.map((atMs): ScriptedRequest => ({ atMs, streaming: atMs > 1_000 }));
  const policy = { onContentFilter: 'next' } as const;
  return [
    script(`${fault}, and another model beside it`, { policy, requests: [request, ...later] }),
    script(`${fault}, streamed, and another model beside it`, { policy, requests: [streamed, ...later] }),
    script(`${fault}, and nobody else`, { chain: ['a'], policy, requests: [streamed, ...later] }),
  ];
});

export const AFTER_A_FAILURE: readonly Script[] = [
  script('a model that hangs before its headers, and one that hangs after them', {
    requests: [
      { atMs: 0, meets: { a: hangs } },
      { atMs: 300, meets: { a: { what: 'hangs', after: 'headers' } } },
      { atMs: 600, streaming: true, meets: { a: hangs } },
      { atMs: 900, streaming: true, meets: { a: { what: 'hangs', after: 'headers' } } },
    ],
  }),
  script('half an answer', { requests: [{ atMs: 0, meets: { a: breaks('cut') } }] }),
  script('all fail, and are asked again in turn, with waits that grow, until no retry is left', {
    policy: { maxRetries: 5, ...NEVER_OPENS },
    chain: ['a', 'b', 'c'],
    usually: { a: fails('server_error'), b: fails('network'), c: fails('html') },
    requests: [{ atMs: 0 }, { atMs: 700, streaming: true }],
  }),
  script('a retry that is answered', {
    requests: [{ atMs: 0, meets: { a: [fails('server_error'), answers()], b: fails('server_error') } }],
  }),
  script('no retry where none is allowed', {
    policy: { maxRetries: 0 },
    usually: { a: fails('server_error'), b: fails('server_error') },
    requests: [{ atMs: 0 }],
  }),
  script('a model with retries of its own', {
    policy: { maxRetries: 5 },
    models: { a: { maxRetries: 1 }, b: { maxRetries: 0 } },
    usually: { a: fails('server_error'), b: fails('server_error') },
    requests: [{ atMs: 0 }],
  }),
  script('x-should-retry: false forbids it on that model alone', {
    policy: { maxRetries: 3 },
    usually: { a: fails('no_retry'), b: fails('server_error') },
    requests: [{ atMs: 0 }],
  }),
  script('a budget that runs out, and is filled again by what succeeds', {
    policy: { retryBudget: { ratio: 0.5, burst: 2 }, ...NEVER_OPENS },
    requests: [
      ...every(400, 3, { meets: { a: fails('server_error'), b: fails('server_error') } }),
      ...every(60, 4, {}, 1_300),
      ...every(400, 3, { meets: { a: fails('server_error'), b: fails('server_error') } }, 1_800),
    ],
  }),
  script('the same model again, before the next', {
    policy: { retrySameModel: { attempts: 2, maxWaitMs: 400 } },
    requests: [
      { atMs: 0, meets: { a: [fails('server_error'), fails('network'), answers()] } },
      { atMs: 900, meets: { a: fails('html') } },
      { atMs: 1_900, streaming: true, meets: { a: [breaks('cut'), answers()] } },
    ],
  }),
  script('the same model again after a short Retry-After, which is waited for exactly', {
    policy: { retrySameModel: { attempts: 1, maxWaitMs: 400 } },
    requests: [{ atMs: 0, meets: { a: [fails('rate_limited', { retryAfterMs: 230 }), answers()] } }],
  }),
  script('not after one that is longer, nor after one that nobody named', {
    policy: { retrySameModel: { attempts: 1, maxWaitMs: 400 } },
    requests: [
      { atMs: 0, meets: { a: fails('rate_limited', { retryAfterMs: 430 }) } },
      { atMs: 900, meets: { a: fails('rate_limited') } },
    ],
  }),
  script('never the same model again where it was silent', {
    policy: { retrySameModel: { attempts: 2, maxWaitMs: 400 } },
    requests: [
      { atMs: 0, meets: { a: hangs } },
      { atMs: 500, streaming: true, meets: { a: hangs } },
    ],
  }),
  script('a rest that its provider names: skipped until then, and used again after', {
    requests: [{ atMs: 0, meets: { a: fails('rate_limited', { retryAfterMs: 510 }) } }, ...every(100, 8, {}, 90)],
  }),
  script('a rest that is lengthened by a later answer', {
    requests: [
      { atMs: 0, meets: { a: fails('overloaded', { retryAfterMs: 300, afterMs: 40 }) } },
      { atMs: 20, meets: { a: fails('overloaded', { retryAfterMs: 700, afterMs: 60 }) } },
      ...every(150, 7, {}, 120),
    ],
  }),
  script('rests that nobody names double, and a success ends the row', {
    policy: NEVER_OPENS,
    requests: [
      { atMs: 0, meets: { a: fails('overloaded') } },
      { atMs: 2_100, meets: { a: fails('overloaded') } },
      { atMs: 5_900 },
      { atMs: 6_300 },
      { atMs: 6_700, meets: { a: fails('overloaded') } },
      { atMs: 8_600 },
      { atMs: 8_900 },
    ],
  }),
  script('all rest for times that were named: the soonest is waited for', {
    usually: { b: fails('rate_limited', { retryAfterMs: 900 }) },
    requests: [
      { atMs: 0, meets: { a: [fails('rate_limited', { retryAfterMs: 400 }), answers()] } },
      { atMs: 100, streaming: true },
    ],
  }),
  script('all rest for longer than the deadline: 429 at once, with the soonest', {
    usually: { a: fails('rate_limited', { retryAfterMs: 7_000 }), b: fails('rate_limited', { retryAfterMs: 4_000 }) },
    requests: [{ atMs: 0 }, { atMs: 100, streaming: true }, { atMs: 200 }],
  }),
  script('a good answer that says its limits are used up', {
    requests: [
      { atMs: 0, meets: { a: answers(43, { usedUpForMs: 450 }) } },
      { atMs: 130, streaming: true },
      { atMs: 300 },
      { atMs: 600 },
    ],
  }),
  script('a key that is refused: nobody of that provider is asked', {
    chain: ['a', 'b', 'c'],
    models: { b: { provider: 'a-p' } },
    requests: [{ atMs: 0, meets: { a: fails('auth') } }, { atMs: 100 }, { atMs: 200, model: 'b' }],
  }),
  script('a permission that is wanting for one model: the next of that provider is asked', {
    chain: ['a', 'b', 'c'],
    models: { b: { provider: 'a-p' } },
    requests: [{ atMs: 0, meets: { a: fails('permission_of_model') } }, { atMs: 100 }],
  }),
  script('too much context: only a larger window', {
    chain: ['a', 'b', 'c', 'd'],
    models: { a: { contextWindow: 8_000 }, b: { contextWindow: 4_000 }, c: { contextWindow: 16_000 } },
    requests: [
      { atMs: 0, meets: { a: fails('context_length') } },
      { atMs: 200, meets: { a: fails('context_length'), c: fails('context_length') } },
      { atMs: 500, streaming: true, meets: { a: fails('context_length'), c: fails('server_error'), d: hangs } },
    ],
  }),
  script('what was filtered is the answer', {
    requests: [
      { atMs: 0, meets: { a: answers(43, { filtered: true }) } },
      { atMs: 200, streaming: true, meets: { a: answers(43, { filtered: true }) } },
      { atMs: 400, meets: { a: fails('content_filter') } },
    ],
  }),
  script('what was filtered before any text is asked of the next', {
    policy: { onContentFilter: 'next' },
    requests: [
      { atMs: 0, meets: { a: fails('filtered') } },
      { atMs: 200, streaming: true, meets: { a: fails('filtered'), b: fails('content_filter') } },
    ],
  }),
  script('the caller’s own mistake after another model’s failure', {
    requests: [
      { atMs: 0, meets: { a: fails('server_error'), b: fails('invalid_request') } },
      { atMs: 200, meets: { a: fails('server_error'), b: fails('unsupported') } },
      { atMs: 400, meets: { a: fails('unsupported'), b: fails('context_length') } },
    ],
  }),
];
