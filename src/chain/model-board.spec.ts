import { describe, expect, it } from 'vitest';
import { type Failure, type FailureClass, traitsOf } from '../policy/failure.js';
import { ownFailure } from '../upstream/classify.js';
import { ChainEvents } from './events.js';
import { ModelBoard } from './model-board.js';

const USAGE = { inputTokens: 1_000, outputTokens: 500, reported: true };

function board() {
  const models = [
    { name: 'a', provider: 'p', price: { inputPerMTok: 30, outputPerMTok: 60 } },
    { name: 'b', provider: 'p' },
    { name: 'c', provider: 'q' },
  ];
  const made = new ModelBoard(models, new ChainEvents());
  const fail = (model: string, c: FailureClass, nowMs: number, more: Partial<Failure> = {}) => {
    const restScope = traitsOf(c).fallBack === 'other-provider' ? 'provider' : 'model';
    const failure = { ...ownFailure(c, c), restScope, ...more } as const;
    made.record({ model, outcome: c, failure, startedAtMs: nowMs, latencyMs: 5, usage: USAGE }, nowMs);
  };
  const succeed = (model: string, nowMs: number, startedAtMs = nowMs) =>
    made.record({ model, outcome: 'ok', startedAtMs, latencyMs: 100, ttftMs: 20, usage: USAGE }, nowMs);
  const restMs = (model: string, nowMs: number) => {
    const seen = made.availability(model, nowMs);
    return seen.state === 'resting' ? seen.untilMs - nowMs : 0;
  };
  return { made, fail, succeed, restMs };
}

describe('rests', () => {
  it.each<{ class: FailureClass; ms: number[]; why: string }>([
    { class: 'rate_limited', ms: [2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000], why: 'doubling to 60 s' },
    { class: 'overloaded', ms: [2_000, 4_000, 8_000, 15_000, 15_000], why: 'doubling to 15 s' },
    { class: 'not_found', ms: [300_000, 300_000], why: 'five minutes' },
    { class: 'server_error', ms: [0], why: 'none: the breaker’s affair' },
  ])('after $class: $why', ({ class: c, ms }) => {
    const { fail, restMs } = board();
    let nowMs = 0;
    for (const expected of ms) {
      fail('a', c, nowMs);
      expect(restMs('a', nowMs)).toBe(expected);
      nowMs += expected;
    }
  });

  it('double once per rest, however many requests met the same closed door', () => {
    const { fail, restMs } = board();
    for (const ms of [0, 1, 2, 3]) fail('a', 'rate_limited', ms);
    expect(restMs('a', 3)).toBe(1_997);
    fail('a', 'rate_limited', 2_000);
    expect(restMs('a', 2_000)).toBe(4_000);
  });

  it('begin small again after a success that was asked for after they began', () => {
    const { fail, succeed, restMs } = board();
    fail('a', 'rate_limited', 0);
    succeed('a', 1_000, -500);
    expect(restMs('a', 1_000)).toBe(1_000);
    succeed('a', 2_500);
    fail('a', 'rate_limited', 3_000);
    expect(restMs('a', 3_000)).toBe(2_000);
  });

  it('last as long as the provider says; a later word lengthens, never shortens', () => {
    const { fail, restMs } = board();
    fail('a', 'rate_limited', 0, { retryAfterMs: 20_000 });
    fail('a', 'rate_limited', 100, { retryAfterMs: 500 });
    expect(restMs('a', 100)).toBe(19_900);
    fail('a', 'rate_limited', 200, { retryAfterMs: 30_000 });
    expect(restMs('a', 200)).toBe(30_000);
  });

  it.each<FailureClass>(['auth', 'permission', 'quota'])('of a provider hold all its models: %s', (c) => {
    const { fail, restMs } = board();
    fail('a', c, 0);
    expect([restMs('a', 0), restMs('b', 0), restMs('c', 0)]).toEqual([300_000, 300_000, 0]);
  });

  it('for auth end early when a check of the provider went well; others do not', () => {
    const { made, fail, restMs } = board();
    fail('a', 'auth', 0);
    made.endAuthRest('p');
    expect(restMs('b', 0)).toBe(0);
    fail('a', 'quota', 0);
    made.endAuthRest('p');
    expect(restMs('b', 0)).toBe(300_000);
  });

  it('none for a request that was larger than the limit itself', () => {
    const { fail, restMs } = board();
    fail('a', 'rate_limited', 0, { restScope: 'none' });
    expect(restMs('a', 0)).toBe(0);
  });
});

describe('the try while everything rests', () => {
  it('is one at a time, and at most one a second', () => {
    const { made } = board();
    expect(made.mayTryResting('default', 0)).toBe(true);
    made.beginRestingTry('default', 0);
    expect(made.mayTryResting('default', 5_000)).toBe(false);
    made.endRestingTry('default');
    expect(made.mayTryResting('default', 999)).toBe(false);
    expect(made.mayTryResting('default', 1_000)).toBe(true);
    expect(made.mayTryResting('other', 0)).toBe(true);
  });
});

describe('what traffic has shown', () => {
  it('adds up: requests, classes, tokens, dollars', () => {
    const { made, fail, succeed } = board();
    succeed('a', 0);
    fail('a', 'server_error', 1, { restScope: 'none' });
    expect(made.standing('a', 2)).toMatchObject({
      requests: 2,
      successes: 1,
      failures: { server_error: 1 },
      tokens: { input: 2_000, output: 1_000 },
      costUsd: 0.12,
      latencyMs: { p50: 100, mean: 100 },
      ttftMs: { p50: 20 },
    });
  });

  it('tells the usual time to first token once twenty streams have shown it', () => {
    const { made } = board();
    const speak = (ttftMs: number) =>
      made.record({ model: 'a', outcome: 'ok', startedAtMs: 0, latencyMs: 9_000, ttftMs, usage: USAGE }, 0);
    for (let ms = 1; ms < 20; ms++) speak(ms * 100);
    expect(made.usualTtftMs('a')).toBeUndefined();
    speak(2_000);
    expect(made.usualTtftMs('a')).toBe(1_900);
    expect(made.usualTtftMs('b')).toBeUndefined();
    expect(made.usualTtftMs('nobody')).toBeUndefined();
  });

  it('remembers which model refused the way in which it was asked to go on, until a reload', () => {
    const { made } = board();
    made.noteRefusal('a');
    expect([made.refusesToContinue('a'), made.refusesToContinue('b')]).toEqual([true, false]);
    made.setModels([{ name: 'a', provider: 'p' }]);
    expect(made.refusesToContinue('a')).toBe(false);
  });

  it('is kept through a reload while the model stands at the same provider', () => {
    const { made, succeed } = board();
    succeed('a', 0);
    succeed('c', 0);
    made.setModels([
      { name: 'a', provider: 'p' },
      { name: 'c', provider: 'elsewhere' },
    ]);
    expect(made.standings(0).map((s) => [s.model, s.requests])).toEqual([
      ['a', 1],
      ['c', 0],
    ]);
  });
});
