/** What many failures lead to: breakers, trials, slow starts, tries against all odds, storms of 400s. */
import type { Script } from '../script.js';
import { answers, breaks, every, fails, hangs, script } from './words.js';

const DOWN = fails('server_error');

/** One entry opens it, so that the script needs few. */
const QUICK = { consecutive: 2, openMs: 300, openMaxMs: 900, closeAfter: 2, slowStartMs: 500 };

export const OUTAGES: readonly Script[] = [
  script('failures in a row open the breaker, and its model is skipped', {
    requests: [...every(60, 7, { meets: { a: DOWN } }), ...every(50, 3, {}, 480)],
  }),
  script('a rate of failures opens it', {
    policy: { breaker: { minAttempts: 6, failureRate: 0.5, consecutive: 100, windowMs: 2_000 } },
    requests: [
      ...every(150, 9).map((request, i) => (i % 2 === 0 ? { ...request, meets: { a: DOWN } } : request)),
      ...every(40, 3, {}, 1_400),
    ],
  }),
  script('failures that are older than the window do not count', {
    policy: { breaker: { minAttempts: 4, failureRate: 0.5, consecutive: 100, windowMs: 500 } },
    requests: every(300, 8).map((request, i) => (i % 2 === 0 ? { ...request, meets: { a: DOWN } } : request)),
  }),
  script('a half-open one gets one trial at a time; the others go on', {
    policy: { breaker: QUICK },
    requests: [
      ...every(60, 2, { meets: { a: DOWN } }),
      { atMs: 500, meets: { a: answers(90) } },
      { atMs: 520 },
      { atMs: 540, streaming: true },
      { atMs: 700 },
      { atMs: 720 },
    ],
  }),
  script('two trials at a time, where two are allowed', {
    policy: { breaker: { ...QUICK, halfOpenAttempts: 2 } },
    requests: [...every(60, 2, { meets: { a: DOWN } }), ...every(20, 5, {}, 500)],
  }),
  script('a trial that fails opens it for longer, up to a bound', {
    policy: { breaker: QUICK },
    requests: [...every(60, 2, { meets: { a: DOWN } }), ...every(100, 40, { meets: { a: DOWN } }, 200)],
  }),
  script('a stream that speaks lets the next trial begin', {
    policy: { breaker: QUICK },
    requests: [
      ...every(60, 2, { meets: { a: DOWN } }),
      { atMs: 500, streaming: true, meets: { a: answers(30, { totalMs: 140 }) } },
      { atMs: 515, streaming: true },
      { atMs: 550, streaming: true, meets: { a: breaks('cut') } },
      { atMs: 700, streaming: true },
    ],
  }),
  script('good trials close it, and it starts slowly, each request by lot', {
    policy: { breaker: QUICK },
    requests: [...every(60, 2, { meets: { a: DOWN } }), ...every(35, 40, {}, 450)],
  }),
  script('whoever fails while ramping opens it again', {
    policy: { breaker: QUICK },
    requests: [
      ...every(60, 2, { meets: { a: DOWN } }),
      ...every(70, 4, {}, 450),
      ...every(35, 20, { meets: { a: DOWN } }, 760),
      ...every(90, 12, {}, 1_500),
    ],
  }),
  script('streams that break count', {
    policy: { breaker: QUICK },
    requests: [
      ...every(110, 2, { streaming: true, meets: { a: breaks('error') } }),
      ...every(60, 3, { streaming: true }, 330),
    ],
  }),
  script('slow answers count', {
    policy: { breaker: QUICK },
    usually: { a: answers(140) },
    requests: every(220, 6),
  }),
  script('timeouts open it', { policy: { breaker: QUICK }, usually: { a: hangs }, requests: every(250, 8) }),
  script('those who were asked before it opened change nothing', {
    policy: { breaker: QUICK },
    requests: [
      ...every(10, 5).map(({ atMs }) => ({ atMs, meets: { a: fails('server_error', { afterMs: 60 + atMs * 2 }) } })),
      ...every(50, 8, {}, 250),
    ],
  }),
  script('a single model has a breaker too', {
    chain: ['a'],
    policy: { breaker: QUICK, maxRetries: 1 },
    requests: [...every(150, 6, { meets: { a: DOWN } }), ...every(250, 8, {}, 1_000)],
  }),
  script('all are open: one request a second is a try, the rest is refused at once', {
    policy: { breaker: { ...QUICK, openMs: 2_500, openMaxMs: 5_000 }, maxRetries: 0 },
    usually: { a: DOWN, b: fails('network') },
    requests: [...every(50, 6), ...every(130, 30, {}, 400)],
  }),
  script('a try against all odds is answered, and the model comes back', {
    policy: { breaker: { ...QUICK, openMs: 2_500, openMaxMs: 5_000 }, maxRetries: 0 },
    requests: [...every(50, 4, { meets: { a: DOWN, b: fails('network') } }), ...every(170, 20, {}, 400)],
  }),
  script('one try at a time, though it takes longer than a second', {
    policy: { breaker: { ...QUICK, openMs: 6_000, openMaxMs: 6_000 }, maxRetries: 0, timeoutMs: 1_500 },
    usually: { a: hangs, b: hangs },
    models: { a: { timeoutMs: 1_500 }, b: { timeoutMs: 1_500 } },
    requests: [...every(30, 3, { meets: { a: DOWN, b: DOWN } }), ...every(200, 24, { deadlineMs: 1_900 }, 300)],
  }),
  script('resting models are tried against all odds, but not where their time was named', {
    policy: { maxRetries: 0 },
    requests: [
      { atMs: 0, meets: { a: fails('overloaded'), b: fails('overloaded', { retryAfterMs: 6_000 }) } },
      ...every(190, 10, { meets: { a: fails('overloaded') } }, 100),
    ],
  }),
  script('a storm of 400s is an outage, and the next model is asked', {
    policy: { breaker: { consecutive: 4, openMs: 2_000, openMaxMs: 2_000 } },
    requests: [{ atMs: 0 }, ...every(90, 30, { meets: { a: fails('invalid_request', { code: 'weird' }) } }, 150)],
  }),
  script('a storm of 422s that the next model sends too is the callers’ mistake', {
    requests: [
      { atMs: 0 },
      ...every(110, 28, { meets: { a: fails('unprocessable'), b: fails('unprocessable') } }, 150),
    ],
  }),
  script('no storm without an answer before it, and none where others are answered', {
    chain: ['a', 'b'],
    requests: [
      ...every(70, 24, { meets: { a: fails('invalid_request') } }),
      ...every(70, 50, {}, 1_800).map((request, i) =>
        i % 3 === 0 ? request : { ...request, meets: { a: fails('invalid_request') } },
      ),
    ],
  }),
  script('a storm where nobody else can be asked is what it says', {
    chain: ['a'],
    requests: [{ atMs: 0 }, ...every(70, 25, { meets: { a: fails('invalid_request') } }, 100)],
  }),
];
