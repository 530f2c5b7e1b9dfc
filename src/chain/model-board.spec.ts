import { describe, expect, it } from 'vitest';
import { type Failure, type FailureClass, traitsOf } from '../policy/failure.js';
import { ownFailure } from '../upstream/classify.js';
import { ChainEvents } from './events.js';
import { type Claim, type EndedAttempt, ModelBoard } from './model-board.js';

const USAGE = { inputTokens: 1_000, outputTokens: 500, reported: true };

function board() {
  const models = [
    { name: 'a', provider: 'p', price: { inputPerMTok: 30, outputPerMTok: 60 } },
    { name: 'b', provider: 'p', maxConcurrent: 2 },
    { name: 'c', provider: 'q' },
  ];
  const events = new ChainEvents();
  const made = new ModelBoard(models, events, () => 0);
  made.setBudgets([['default', { ratio: 0.5, burst: 2 }]]);
  const begin = (model: string, nowMs: number, more: object = {}) =>
    made.begin({ model, chain: 'default', unlikely: false, costs: false, isHedge: false, ...more }, nowMs);
  const fail = (model: string, c: FailureClass, nowMs: number, more: Partial<Failure> = {}) => {
    const restScope = traitsOf(c).fallBack === 'other-provider' ? 'provider' : 'model';
    const failure = { ...ownFailure(c, c), restScope, ...more } as const;
    const ended = { model, outcome: c, streaming: false, failure, startedAtMs: nowMs, latencyMs: 5, usage: USAGE };
    const claim = begin(model, nowMs);
    made.record(ended, claim, nowMs);
    made.release(claim, nowMs);
  };
  const succeed = (model: string, nowMs: number, startedAtMs = nowMs, more: Partial<EndedAttempt> = {}) => {
    const ended = {
      model,
      outcome: 'ok',
      streaming: false,
      startedAtMs,
      latencyMs: 100,
      ttftMs: 20,
      usage: USAGE,
    } as const;
    const claim = begin(model, nowMs);
    made.record({ ...ended, ...more }, claim, nowMs);
    made.release(claim, nowMs);
  };
  const restMs = (model: string, nowMs: number) => {
    const seen = made.availability(model, nowMs);
    return seen.state === 'resting' ? seen.untilMs - nowMs : 0;
  };
  return { made, events, begin, fail, succeed, restMs };
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

  it('for what no repetition can mend are noted though the model rests for another reason', () => {
    const { fail, restMs } = board();
    fail('a', 'rate_limited', 0);
    fail('a', 'not_found', 100, { restScope: 'model' });
    expect(restMs('a', 100)).toBe(300_000);
  });

  it('for a named time are never tried into, though a longer one of our own goes on after it', () => {
    const { made, fail } = board();
    for (const ms of [0, 2_000]) fail('a', 'rate_limited', ms);
    fail('a', 'rate_limited', 2_100, { retryAfterMs: 1_000 });
    expect(made.availability('a', 2_200)).toMatchObject({ state: 'resting', untilMs: 6_000, named: true });
    expect(made.availability('a', 3_100)).toMatchObject({ state: 'resting', untilMs: 6_000, named: false });
  });

  it('of a provider hold though one of the model itself lasts longer', () => {
    const { made, fail } = board();
    for (const ms of [0, 2_000, 6_000, 14_000]) fail('a', 'overloaded', ms);
    fail('b', 'auth', 0);
    fail('a', 'overloaded', 299_000);
    expect(made.availability('a', 299_500)).toMatchObject({ reason: 'auth', untilMs: 314_000 });
    expect(made.availability('a', 300_000)).toMatchObject({ reason: 'overloaded', untilMs: 314_000 });
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

describe('the try while everything rests or is open', () => {
  it('comes a little later the second time, by chance: replicas do not go on in step', () => {
    const made = new ModelBoard([], new ChainEvents(), () => 0.5);
    const order = { model: 'a', chain: 'default', unlikely: true, costs: false, isHedge: false };
    const mayTry = (...atMs: number[]) => atMs.map((ms) => made.mayTryUnlikely('default', ms));
    made.release(made.begin(order, 0), 0);
    expect(mayTry(1_249, 1_250)).toEqual([false, true]);
    made.release(made.begin(order, 1_250), 1_250);
    expect(mayTry(2_249, 2_250)).toEqual([false, true]);
  });

  it('is one at a time, and at most one a second', () => {
    const { made, begin } = board();
    expect(made.mayTryUnlikely('default', 0)).toBe(true);
    const claim = begin('a', 0, { unlikely: true });
    expect(made.mayTryUnlikely('default', 5_000)).toBe(false);
    made.release(claim, 100);
    expect(made.mayTryUnlikely('default', 999)).toBe(false);
    expect(made.mayTryUnlikely('default', 1_000)).toBe(true);
    expect(made.mayTryUnlikely('other', 0)).toBe(true);
  });
});

describe('the breaker of a model', () => {
  it('opens, is told, and is half-open for one trial at a time', () => {
    const { made, events, begin, fail, succeed } = board();
    const told: string[] = [];
    events.on('breaker.changed', ({ model, state }) => told.push(`${model} ${state}`));
    for (let i = 0; i < 5; i++) fail('a', 'server_error', 0, { restScope: 'none' });
    expect(made.availability('a', 4_999)).toEqual({ state: 'open', untilMs: 5_000 });
    const trial = begin('a', 5_000);
    // When the trial ends, nobody knows: a moment to come, or who waits for it would spin.
    expect(made.availability('a', 5_000)).toMatchObject({ state: 'open', untilMs: 6_000 });
    made.release(trial, 5_000);
    for (let i = 0; i < 3; i++) succeed('a', 5_001);
    expect(made.standing('a', 5_002)?.breaker).toBe('closed');
    expect(told).toEqual(['a open', 'a half-open', 'a closed']);
  });

  it('takes a stream that speaks for a good trial, once, and lets the next one begin', () => {
    const { made, events, begin, fail } = board();
    const told: string[] = [];
    events.on('breaker.changed', ({ state }) => told.push(state));
    for (let i = 0; i < 5; i++) fail('a', 'server_error', 0, { restScope: 'none' });
    const speak = (): Claim => {
      const claim = begin('a', 5_000);
      made.noteFirstToken(claim, 5_000);
      return claim;
    };
    const first = speak();
    expect(made.availability('a', 5_000).state).toBe('usable');
    made.record(
      { model: 'a', outcome: 'ok', streaming: true, startedAtMs: 5_000, latencyMs: 10, ttftMs: 1, usage: USAGE },
      first,
      5_010,
    );
    made.release(first, 5_010);
    speak();
    expect(told.at(-1)).toBe('half-open');
    speak();
    expect(told).toEqual(['open', 'half-open', 'closed']);
  });

  it('learns from a try that was made although it was open', () => {
    const { made, begin, fail } = board();
    for (let i = 0; i < 5; i++) fail('a', 'server_error', 0, { restScope: 'none' });
    const claim = begin('a', 1_000, { unlikely: true });
    expect(claim.isTrial).toBe(true);
    expect(made.standing('a', 1_000)?.breaker).toBe('half-open');
    made.release(claim, 1_000);
    expect(made.standing('a', 1_000)?.breaker).toBe('open');
  });

  it.each<{ why: string; more: Partial<EndedAttempt> }>([
    { why: 'slow answers', more: { latencyMs: 25_000 } },
    { why: 'first tokens that hardly came in time', more: { streaming: true, ttftMs: 23_000 } },
    { why: 'attempts that were overtaken and beaten', more: { outcome: 'cancelled', beaten: true } },
  ])('counts $why as failures', ({ more }) => {
    const { made, succeed } = board();
    for (let i = 0; i < 5; i++) succeed('a', i, i, more);
    expect(made.standing('a', 10)?.breaker).toBe('open');
  });

  it('does not count a stream that thought for long and that nobody was faster than', () => {
    const { made, succeed } = board();
    for (let i = 0; i < 20; i++) succeed('a', i, i, { streaming: true, ttftMs: 20_000 });
    expect(made.standing('a', 30)?.breaker).toBe('closed');
  });

  it('does not count an attempt that a hedge was faster than, and learns that it takes longer', () => {
    const { made, succeed } = board();
    for (let i = 0; i < 20; i++) succeed('a', i, i, { outcome: 'cancelled', hedged: true, latencyMs: 800 });
    expect(made.standing('a', 30)?.breaker).toBe('closed');
    expect(made.usualAnswerMs('a', false)).toBe(800);
  });

  it.each<FailureClass>(['invalid_request', 'rate_limited', 'auth', 'cancelled', 'invalid_output'])(
    'does not count %s',
    (c) => {
      const { made, fail } = board();
      for (let i = 0; i < 20; i++) fail('a', c, 0, { restScope: 'none' });
      expect(made.standing('a', 0)?.breaker).toBe('closed');
    },
  );
});

describe('places', () => {
  it('are as many as maxConcurrent says, and go to whoever waits', () => {
    const { made, begin } = board();
    const claims = [begin('b', 0), begin('b', 0)];
    expect(made.availability('b', 0)).toEqual({ state: 'full', hasRoom: true, untilMs: 1_000 });
    const woken: string[] = [];
    const waitFor = (who: string, takes: boolean) =>
      made.wait(['b'], {
        wake: () => {
          woken.push(who);
          if (takes) begin('b', 0);
        },
      });
    waitFor('who has no time left', false);
    waitFor('the next', true);
    expect(made.availability('b', 0)).toMatchObject({ hasRoom: false });
    made.release(claims[0]!, 0);
    waitFor('the last', true);
    expect([woken, made.availability('b', 0).state]).toEqual([['who has no time left', 'the next'], 'full']);
  });

  it('are kept by who has them through a reload that changes their number', () => {
    const { made, begin } = board();
    const claims = [begin('b', 0), begin('b', 0)];
    const reload = (maxConcurrent: number) => made.setModels([{ name: 'b', provider: 'p', maxConcurrent }]);
    reload(1);
    made.release(claims[0]!, 0);
    expect(made.availability('b', 0).state).toBe('full');
    let woken = 0;
    made.wait(['b'], { wake: () => woken++ });
    reload(3);
    expect([woken, made.crowd('b')]).toEqual([1, { live: 1, waiting: 0 }]);
    made.release(claims[1]!, 0);
    expect(made.crowd('b')).toEqual({ live: 0, waiting: 0 });
  });

  it('that are no more after a reload are given back to nobody, and are not waited for', () => {
    const { made, begin } = board();
    const claims = [begin('b', 0), begin('b', 0)];
    let woken = 0;
    made.wait(['b'], { wake: () => woken++ });
    made.setModels([{ name: 'b', provider: 'elsewhere', maxConcurrent: 2 }]);
    for (const claim of claims) made.release(claim, 0);
    expect([woken, made.crowd('b')]).toEqual([1, { live: 0, waiting: 0 }]);
  });

  it('of a model that is down and has none free are told beside it', () => {
    const { made, begin, fail } = board();
    for (let i = 0; i < 5; i++) fail('b', 'server_error', 0, { restScope: 'none' });
    for (let i = 0; i < 2; i++) begin('b', 0, { unlikely: true });
    expect(made.availability('b', 100)).toMatchObject({ state: 'open', isFull: true });
  });

  it('count into the load that equals are chosen by', () => {
    const { made, begin } = board();
    expect(made.load('a', 0)).toBe(made.load('c', 0));
    begin('a', 0);
    expect(made.load('a', 0)).toBe(2 * made.load('c', 0));
  });
});

describe('the load that equals are chosen by', () => {
  it('fades where nothing is heard: a model that was slow gets a chance to show that it is well', () => {
    const { made, succeed } = board();
    succeed('a', 0, 0, { ttftMs: 20_000 });
    succeed('c', 0, 0, { ttftMs: 1_000 });
    expect(made.load('a', 0)).toBe(20 * made.load('c', 0));
    succeed('c', 60_000, 60_000, { ttftMs: 1_000 });
    expect(made.load('a', 60_000)).toBeLessThan(made.load('c', 60_000));
    succeed('a', 60_000, 60_000, { ttftMs: 1_000 });
    expect(made.load('a', 60_000)).toBeLessThan(1.5 * made.load('c', 60_000));
  });

  it('does not take a model that fails fast for a fast one', () => {
    const { made, succeed, fail } = board();
    for (const model of ['a', 'c']) succeed(model, 0, 0, { ttftMs: 1_000 });
    for (let i = 0; i < 3; i++) fail('a', 'server_error', 0, { restScope: 'none' });
    expect(made.load('a', 0)).toBe(made.load('c', 0));
  });
});

describe('how fast a model must have time to be', () => {
  it('is what hardly any of its answers undercut, until they are a minute old', () => {
    const { made, succeed } = board();
    for (let i = 0; i < 20; i++) succeed('a', 0, 0, { latencyMs: 8_000 });
    expect(made.leastAnswerMs('a', false, 59_999)).toBe(8_000);
    expect(made.leastAnswerMs('a', false, 60_000)).toBeUndefined();
  });
});

describe('the retry budget', () => {
  it('is paid into by answers, and paid from by retries', () => {
    const { made, begin, succeed } = board();
    begin('a', 0, { costs: true });
    begin('a', 0, { costs: true });
    expect(made.canPayRetry('default')).toBe(false);
    succeed('a', 0);
    succeed('a', 0);
    expect(made.retryBudget('default')).toBe(1);
  });
});

describe('a provider’s limit that is used up', () => {
  it('rests the model before it must refuse', () => {
    const { made, succeed } = board();
    succeed('a', 0, 0, { usedUpForMs: 700 });
    expect(made.availability('a', 699)).toMatchObject({ state: 'resting', reason: 'rate_limited', named: true });
    expect(made.availability('a', 700).state).toBe('usable');
  });
});

describe('a storm of 400s', () => {
  const refuse = (code = 'BadRequest', status = 400): Failure => ({
    class: 'invalid_request',
    status,
    error: { message: '', type: null, code, param: null },
    restScope: 'none',
  });
  const stormy = () => {
    const made = board();
    made.succeed('a', 0);
    for (let i = 0; i < 19; i++) made.made.judge('a', refuse(), 60_000 + i);
    return made.made;
  };

  it('is taken for the provider’s fault from the twentieth on', () => {
    const made = stormy();
    expect(made.judge('a', refuse(), 60_100)).toMatchObject({ isStormy: true, failure: { class: 'server_error' } });
  });

  it.each<{ why: string; judge: (made: ModelBoard) => { isStormy: boolean } }>([
    { why: 'other codes', judge: (made) => made.judge('a', refuse('other'), 60_100) },
    { why: 'the minute after', judge: (made) => made.judge('a', refuse(), 130_000) },
    { why: 'a model that never answered', judge: (made) => made.judge('c', refuse(), 60_100) },
    { why: 'no 400 or 422', judge: (made) => made.judge('a', refuse('BadRequest', 404), 60_100) },
  ])('is none of $why', ({ judge }) => {
    expect(judge(stormy()).isStormy).toBe(false);
  });

  it('is none while more than a tenth is answered', () => {
    const { made, succeed } = board();
    for (let i = 0; i < 4; i++) succeed('a', 60_000);
    for (let i = 0; i < 30; i++) expect(made.judge('a', refuse(), 60_000 + i).isStormy).toBe(false);
  });

  it('is over when another model says the same, and nothing has counted', () => {
    const made = stormy();
    made.endStorm('a');
    expect(made.judge('a', refuse(), 60_100).isStormy).toBe(false);
  });

  it('counts for the breaker when another model does not', () => {
    const { made } = board();
    for (let i = 0; i < 5; i++) made.countStormy('a', i);
    expect(made.standing('a', 5)?.breaker).toBe('open');
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
    const { made, succeed } = board();
    const speak = (ttftMs: number) => succeed('a', 0, 0, { streaming: true, latencyMs: 9_000, ttftMs });
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

  it('of a provider that it has left says nothing of where the model stands now', () => {
    const { made, begin } = board();
    const claim = begin('a', 0);
    made.setModels([{ name: 'a', provider: 'elsewhere' }]);
    const failure = { ...ownFailure('auth', 'auth'), restScope: 'provider' } as const;
    const ended = { model: 'a', outcome: 'auth', streaming: false, failure, startedAtMs: 0, latencyMs: 5 } as const;
    made.record({ ...ended, usage: USAGE }, claim, 10);
    expect([made.availability('a', 10).state, made.standing('a', 10)?.requests]).toEqual(['usable', 0]);
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
