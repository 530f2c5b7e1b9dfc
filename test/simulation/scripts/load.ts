/** Who is asked at all, and how long: equals, places and queues, hedges, deadlines, callers who leave. */
import type { Script } from '../script.js';
import { answers, breaks, every, fails, hangs, NEVER_OPENS, script } from './words.js';

const HEDGED = { hedge: { enabled: true, minMs: 20, maxShare: 1, afterQuantile: 0.9 }, ...NEVER_OPENS };

export const LOAD: readonly Script[] = [
  script('all is well', { requests: [...every(30, 6), ...every(30, 6, { streaming: true }, 200)] }),
  script('equals share the load', {
    chain: [['a', 'b'], 'c'],
    usually: { a: answers(80), b: answers(40) },
    requests: every(20, 40),
  }),
  script('equals of different weight, and one of them fails', {
    chain: [['a', 'b'], 'c'],
    models: { a: { weight: 3 }, b: { weight: 1 } },
    requests: [
      ...every(20, 20),
      ...every(20, 20, { meets: { a: fails('server_error') } }, 500),
      ...every(20, 10, {}, 1_000),
    ],
  }),
  script('equals of whom one is open, and then all', {
    chain: [['a', 'b', 'c'], 'd'],
    policy: { breaker: { consecutive: 2, openMs: 300, openMaxMs: 300 } },
    requests: [
      ...every(30, 12, { meets: { b: fails('network') } }),
      ...every(30, 20, { meets: { a: fails('network'), b: fails('network'), c: fails('network') } }, 500),
      ...every(30, 12, {}, 1_200),
    ],
  }),
  script('a model that is full: as many wait as it can serve, the rest goes on', {
    models: { a: { maxConcurrent: 2 } },
    usually: { a: answers(80) },
    requests: every(7, 12),
  }),
  script('all are full: the queue, then 503', {
    models: { a: { maxConcurrent: 1 }, b: { maxConcurrent: 1 } },
    usually: { a: answers(120), b: answers(100) },
    requests: every(9, 9),
  }),
  script('places that become free, by answers, by failures and by callers who leave', {
    chain: ['a'],
    models: { a: { maxConcurrent: 2 } },
    policy: { maxRetries: 0, ...NEVER_OPENS },
    requests: [
      { atMs: 0, meets: { a: answers(90) } },
      { atMs: 5, meets: { a: fails('server_error', { afterMs: 50 }) } },
      { atMs: 10 },
      { atMs: 15, leavesAtMs: 30 },
      { atMs: 35, meets: { a: hangs }, leavesAtMs: 400 },
      { atMs: 40 },
      { atMs: 300 },
      { atMs: 310 },
      { atMs: 320 },
    ],
  }),
  script('a queue that is longer than the deadline', {
    chain: ['a'],
    models: { a: { maxConcurrent: 1, timeoutMs: 900 } },
    policy: { maxRetries: 0, timeoutMs: 900 },
    usually: { a: answers(600) },
    requests: [{ atMs: 0 }, { atMs: 20, deadlineMs: 300 }, { atMs: 340 }, { atMs: 360 }],
  }),
  script('a queue of more than five seconds', {
    chain: ['a'],
    models: { a: { maxConcurrent: 1 } },
    policy: { deadlineMs: 30_000, timeoutMs: 20_000 },
    usually: { a: answers(7_000) },
    requests: [{ atMs: 0 }, { atMs: 100 }],
  }),
  script('a queue beside retries: who failed elsewhere waits for a place', {
    models: { b: { maxConcurrent: 1 } },
    usually: { b: answers(150) },
    requests: [{ atMs: 0, model: 'b' }, ...every(20, 3, { meets: { a: fails('server_error') } }, 20)],
  }),
  script('a hedge beside one that is slower than usual', {
    policy: HEDGED,
    requests: [
      ...every(15, 24),
      { atMs: 600, meets: { a: answers(150), b: answers(30) } },
      { atMs: 900, meets: { a: answers(70), b: answers(90) } },
      { atMs: 1_200, meets: { a: answers(150), b: fails('server_error') } },
      { atMs: 1_500, meets: { a: fails('network', { afterMs: 110 }), b: answers(60) } },
      { atMs: 1_800, meets: { a: fails('invalid_request', { afterMs: 110 }), b: answers(60) } },
    ],
  }),
  script('streams are hedged by their first token', {
    policy: HEDGED,
    requests: [
      ...every(15, 24, { streaming: true }),
      { atMs: 600, streaming: true, meets: { a: answers(120), b: answers(30) } },
      { atMs: 900, streaming: true, meets: { a: answers(60, { totalMs: 190 }), b: answers(50) } },
      { atMs: 1_200, streaming: true, meets: { a: answers(150), b: breaks('cut') } },
    ],
  }),
  script('no hedge beyond its share, nor beyond the budget', {
    policy: { hedge: { ...HEDGED.hedge, maxShare: 0.1 }, retryBudget: { ratio: 0, burst: 3 }, ...NEVER_OPENS },
    requests: [...every(15, 24), ...every(200, 6, { meets: { a: answers(130) } }, 600)],
  }),
  script('no hedge onto a model that rests', {
    policy: HEDGED,
    requests: [
      ...every(15, 24),
      { atMs: 600, meets: { a: fails('server_error'), b: fails('overloaded') } },
      { atMs: 900, meets: { a: answers(130) } },
    ],
  }),
  script('a deadline is shared out: the third still gets its time', {
    chain: ['a', 'b', 'c'],
    policy: { deadlineMs: 500, timeoutMs: 500 },
    requests: [
      { atMs: 0, meets: { a: hangs, b: hangs, c: answers(100) } },
      { atMs: 700, streaming: true, meets: { a: hangs, b: hangs, c: answers(100) } },
      ...every(20, 22, { model: 'c' }, 1_300),
      { atMs: 2_000, meets: { a: hangs, b: hangs } },
    ],
  }),
  script('a caller’s own deadline only shortens', {
    requests: [
      { atMs: 0, deadlineMs: 90, meets: { a: hangs } },
      { atMs: 200, deadlineMs: 60, streaming: true, meets: { a: answers(25), b: hangs } },
      { atMs: 400, deadlineMs: 60, meets: { a: hangs, b: hangs } },
      { atMs: 700, deadlineMs: 3_000_000, meets: { a: hangs, b: hangs } },
    ],
  }),
  script('a deadline that ends in the middle of a wait', {
    policy: { deadlineMs: 150, backoff: { baseMs: 150, factor: 2, maxMs: 400 }, maxRetries: 8, ...NEVER_OPENS },
    usually: { a: fails('server_error'), b: fails('server_error') },
    requests: every(400, 4),
  }),
  script('a model with a deadline and a time limit of its own', {
    models: { a: { timeoutMs: 60, deadlineMs: 100 }, b: { timeoutMs: 120 } },
    usually: { a: hangs, b: answers(80) },
    requests: [{ atMs: 0 }, { atMs: 300, streaming: true }],
  }),
  script('whoever has never been fast enough is not asked any more', {
    policy: { deadlineMs: 260, timeoutMs: 200, ...NEVER_OPENS },
    usually: { b: answers(120) },
    requests: [
      ...every(20, 21, { model: 'b' }),
      { atMs: 800, meets: { a: fails('server_error', { afterMs: 130 }) } },
      { atMs: 1_200, meets: { a: fails('server_error', { afterMs: 60 }) } },
    ],
  }),
  script('fallback off', {
    requests: [
      { atMs: 0, fallback: false },
      { atMs: 150, fallback: false, meets: { a: [fails('server_error'), answers()] } },
      { atMs: 500, fallback: false, streaming: true, meets: { a: breaks('cut') } },
      { atMs: 900, fallback: false, meets: { a: fails('overloaded') } },
      { atMs: 1_000, fallback: false },
    ],
  }),
  script('FALLBACK_ENABLED=false', {
    enabled: false,
    policy: { maxRetries: 1 },
    usually: { a: fails('server_error') },
    requests: [{ atMs: 0 }, { atMs: 300, streaming: true }],
  }),
  script('a model by name, a list of models, a chain with rules of its own', {
    chain: ['a', 'b', 'c'],
    models: { d: {} },
    chains: { hasty: { models: ['b', 'c'], maxRetries: 0, deadlineMs: 400, timeoutMs: 90 } },
    usually: { b: fails('server_error') },
    requests: [
      { atMs: 0, model: 'b' },
      { atMs: 200, model: 'd', meets: { d: fails('server_error') } },
      { atMs: 600, models: ['d', 'a'], meets: { d: fails('server_error') } },
      { atMs: 900, model: 'hasty', meets: { c: hangs } },
      { atMs: 1_200, models: ['b', 'a'], model: 'hasty' },
    ],
  }),
  script('callers who leave: at once, while they wait, in the middle of a stream', {
    policy: { backoff: { baseMs: 200, factor: 1, maxMs: 200 } },
    requests: [
      { atMs: 0, leavesAtMs: 20 },
      { atMs: 100, streaming: true, leavesAtMs: 130 },
      { atMs: 300, streaming: true, leavesAtMs: 355 },
      { atMs: 500, leavesAtMs: 535, meets: { a: fails('server_error'), b: fails('server_error') } },
      { atMs: 800, streaming: true, leavesAtMs: 930, meets: { a: breaks('cut'), b: answers(70) } },
      { atMs: 1_200, leavesAtMs: 1_900 },
    ],
  }),
];
