/** Streams: breaks in the caller's hands and who goes on, what is held, and who is overtaken. */
import type { Outcome, Script } from '../script.js';
import { answers, breaks, every, fails, hangs, NEVER_OPENS, script } from './words.js';

const stalls = (ttftMs = 37): Outcome => ({ what: 'stalls', ttftMs });
const streaming = true;
/** Beside a silent model the next one is started after 70 ms. */
const IMPATIENT = { stream: { ttftMs: 70 }, timeoutMs: 300 };

export const STREAMS: readonly Script[] = [
  ...(['cut', 'reset', 'error', 'malformed'] as const).map((by) =>
    script(`a stream that is broken off (${by}) goes on with the next model`, {
      requests: [{ atMs: 0, streaming, meets: { a: breaks(by) } }],
    }),
  ),
  script('a stream that falls silent goes on', { requests: [{ atMs: 0, streaming, meets: { a: stalls() } }] }),
  script('one that breaks twice, and one that nobody can go on with', {
    policy: { maxRetries: 0, ...NEVER_OPENS },
    chain: ['a', 'b', 'c'],
    requests: [
      { atMs: 0, streaming, meets: { a: breaks('cut'), b: breaks('error') } },
      { atMs: 500, streaming, meets: { a: breaks('cut'), b: fails('server_error'), c: stalls() } },
      { atMs: 1_200, streaming, meets: { a: breaks('cut'), b: hangs, c: hangs } },
    ],
  }),
  script('the first model goes on by itself, where the others cannot', {
    policy: { maxRetries: 2 },
    requests: [{ atMs: 0, streaming, meets: { a: [breaks('cut'), answers()], b: fails('server_error') } }],
  }),
  script('a break ends it, where that is asked for', {
    policy: { stream: { onBreak: 'error' } },
    requests: [{ atMs: 0, streaming, meets: { a: breaks('cut') } }],
  }),
  script('JSON cannot be gone on with', {
    requests: [
      { atMs: 0, streaming, wantsJson: true, meets: { a: breaks('cut') } },
      { atMs: 200, streaming, wantsJson: true, meets: { a: fails('server_error') } },
    ],
  }),
  script('a model that is never asked to go on is passed over', {
    chain: ['a', 'b', 'c'],
    models: { b: { continuation: 'none' } },
    requests: [{ atMs: 0, streaming, meets: { a: breaks('cut') } }],
  }),
  script('a model that refuses the way it was asked is asked by prompt, from then on at once', {
    models: { b: { continuation: 'prefix' } },
    requests: [
      { atMs: 0, streaming, meets: { a: breaks('cut'), b: [fails('invalid_request'), answers()] } },
      { atMs: 500, streaming, meets: { a: breaks('cut') } },
    ],
  }),
  script('a continuation in vLLM’s way', {
    models: { b: { continuation: 'vllm' } },
    requests: [{ atMs: 0, streaming, meets: { a: breaks('reset') } }],
  }),
  script('where only thoughts were read, the next begins afresh', {
    requests: [
      { atMs: 0, streaming, meets: { a: breaks('cut', { says: 'thoughts' }) } },
      { atMs: 300, streaming, meets: { a: { what: 'stalls', ttftMs: 37, says: 'thoughts' } } },
      { atMs: 800, streaming, meets: { a: answers(40, { says: 'thoughts' }) } },
    ],
  }),
  script('tool calls are held, and fall back whole', {
    requests: [
      { atMs: 0, streaming, meets: { a: answers(40, { says: 'calls' }) } },
      { atMs: 200, streaming, meets: { a: breaks('cut', { says: 'calls' }) } },
      { atMs: 500, streaming, meets: { a: breaks('error', { says: 'calls' }), b: answers(40, { says: 'calls' }) } },
      { atMs: 900, streaming, meets: { a: { what: 'stalls', ttftMs: 37, says: 'calls' } } },
    ],
  }),
  script('a stream without an end', {
    policy: { stream: { totalMs: 250, idleMs: 1_000 } },
    requests: [{ atMs: 0, streaming, meets: { a: answers(40, { totalMs: 900 }) } }],
  }),
  script('a stream that breaks begins a deadline of its own', {
    policy: { deadlineMs: 260, timeoutMs: 200 },
    chain: ['a', 'b', 'c'],
    requests: [
      { atMs: 0, streaming, meets: { a: answers(150, { totalMs: 420 }), b: answers(160) } },
      {
        atMs: 700,
        streaming,
        meets: { a: { what: 'breaks', by: 'cut', ttftMs: 150, afterMs: 240 }, b: hangs, c: answers(90) },
      },
    ],
  }),
  script('a silent model is overtaken', {
    policy: IMPATIENT,
    requests: [
      { atMs: 0, streaming, meets: { a: answers(180) } },
      { atMs: 400, streaming, meets: { a: hangs } },
    ],
  }),
  script('a silent model is overtaken and wins all the same', {
    policy: IMPATIENT,
    requests: [{ atMs: 0, streaming, meets: { a: answers(90), b: answers(100) } }],
  }),
  script('overtaken, then both fail', {
    policy: { ...IMPATIENT, maxRetries: 1 },
    requests: [
      {
        atMs: 0,
        streaming,
        meets: { a: fails('server_error', { afterMs: 90 }), b: fails('network', { afterMs: 60 }) },
      },
      { atMs: 700, streaming, meets: { a: hangs, b: hangs } },
    ],
  }),
  script('two at a time: where one of them fails, the third is started', {
    policy: IMPATIENT,
    chain: ['a', 'b', 'c'],
    requests: [
      { atMs: 0, streaming, meets: { a: hangs, b: fails('server_error'), c: answers(60) } },
      { atMs: 600, streaming, meets: { a: fails('server_error', { afterMs: 110 }), b: hangs, c: answers(60) } },
      { atMs: 1_200, streaming, meets: { a: fails('invalid_request', { afterMs: 110 }), b: answers(200) } },
    ],
  }),
  script('who speaks, though what it says is held, is overtaken no more', {
    policy: IMPATIENT,
    requests: [
      { atMs: 0, streaming, meets: { a: answers(50, { says: 'calls', totalMs: 160 }) } },
      { atMs: 300, streaming, meets: { a: answers(110, { says: 'calls', totalMs: 170 }), b: answers(90) } },
    ],
  }),
  script('a silent model in the middle of a broken stream', {
    policy: IMPATIENT,
    chain: ['a', 'b', 'c'],
    requests: [
      { atMs: 0, streaming, meets: { a: breaks('cut'), b: answers(200), c: answers(40) } },
      { atMs: 600, streaming, meets: { a: breaks('cut'), b: answers(100), c: answers(120) } },
    ],
  }),
  script('those who are overtaken and beaten count for their breaker', {
    policy: { ...IMPATIENT, breaker: { consecutive: 3, openMs: 300, openMaxMs: 300 } },
    usually: { a: hangs },
    requests: every(200, 7, { streaming }),
  }),
  script('a model that is usually slower than that is given its time', {
    policy: { ...IMPATIENT, ...NEVER_OPENS },
    usually: { a: answers(60) },
    requests: [
      ...every(40, 22, { streaming }),
      ...every(40, 3, { streaming, meets: { a: answers(110), b: answers(90) } }, 1_000),
      { atMs: 1_500, streaming, meets: { a: answers(95), b: answers(200) } },
    ],
  }),
];
