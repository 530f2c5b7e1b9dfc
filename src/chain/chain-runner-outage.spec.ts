import { describe, expect, it } from 'vitest';
import { Stage, USAGE } from '../../test/chain/stage.js';

describe('a model that fails five times in a row', () => {
  const broken = () => {
    const stage = new Stage();
    for (let i = 0; i < 5; i++) stage.ask().fail('server_error').complete();
    return stage;
  };

  it('is left alone while it is open', () => {
    const stage = broken().ask();
    expect(stage.asked.at(-1)?.order.model).toBe('b');
  });

  it('is tried by one request at a time once its time is over; that request falls on if it fails', () => {
    const stage = broken();
    stage.clock.advance(5_000);
    stage.ask().ask();
    expect(stage.asked.slice(-2).map((a) => a.order.model)).toEqual(['a', 'b']);
    stage.asked.at(-2)!.handler.onEnd({
      type: 'failed',
      failure: {
        class: 'server_error',
        error: { message: '', type: null, code: null, param: null },
        restScope: 'none',
      },
      delivered: 'nothing',
      usage: USAGE,
    });
    expect(stage.asked.at(-1)?.order).toMatchObject({ model: 'b', number: 2 });
    expect(stage.board.breakerState('a', stage.clock.nowMs())).toBe('open');
  });

  it('comes back with a trial whose caller left: it says nothing, and the next one may try', () => {
    const stage = broken();
    stage.clock.advance(5_000);
    stage.ask().running.cancel();
    expect(stage.ask().asked.at(-1)?.order.model).toBe('a');
  });
});

describe('a total outage', () => {
  it('is asked by one request at a time, at most one a second; the others are told at once', () => {
    const stage = new Stage(['a']);
    for (let i = 0; i < 5; i++) stage.ask({ policy: { maxRetries: 0 } }).fail('server_error');
    const before = stage.asked.length;
    for (let ms = 0; ms < 4_500; ms += 50) {
      stage.ask({ policy: { maxRetries: 0 } });
      if (stage.results.length < before + ms / 50 + 1) stage.fail('server_error', {}, 10);
      stage.clock.advance(50);
    }
    expect(stage.asked.length - before).toBeLessThanOrEqual(6);
    const refused = stage.results.filter((r) => r.attempts.length === 0);
    expect(refused.length).toBeGreaterThan(80);
    expect(refused.every((r) => r.latencyMs === 0)).toBe(true);
    expect(refused[0]?.verdict).toMatchObject({ because: 'down', retryAfterMs: expect.any(Number) });
  });

  it('keeps no request waiting for a model that is open: it is told at once', () => {
    const stage = new Stage(['a']);
    for (let i = 0; i < 4; i++) stage.ask({ policy: { maxRetries: 0 } }).fail('server_error');
    stage.ask({ policy: { maxRetries: 3 } }).fail('server_error', {}, 100);
    expect(stage.board.breakerState('a', stage.clock.nowMs())).toBe('open');
    expect(stage.results).toHaveLength(5);
    expect(stage.result).toMatchObject({ verdict: { type: 'exhausted' }, latencyMs: 100 });
  });
});

describe('a model with one place', () => {
  it('is waited for, and taken by who waits when it is free', () => {
    const stage = new Stage(['a'], { maxConcurrent: 1 }).ask().ask();
    expect(stage.asked.length).toBe(1);
    stage.complete();
    expect(stage.asked.length).toBe(2);
    expect(stage.complete().results.map((r) => r.verdict.type)).toEqual(['answered', 'answered']);
  });

  it('turns away who finds its queue full', () => {
    const stage = new Stage(['a'], { maxConcurrent: 1 }).ask().ask().ask();
    expect(stage.result?.verdict).toEqual({ type: 'exhausted', because: 'down', retryAfterMs: 1_000 });
  });

  it('forgets who waited and left', () => {
    const stage = new Stage(['a'], { maxConcurrent: 1 }).ask().ask();
    stage.running.cancel();
    stage.complete();
    expect(stage.asked.length).toBe(1);
    expect(stage.ask().asked.length).toBe(2);
  });
});

describe('a stream that was overtaken and beaten', () => {
  it('counts against the silent model', () => {
    const stage = new Stage();
    for (let i = 0; i < 5; i++) {
      stage.ask({ streaming: true }).clock.advance(10_000);
      stage.asked.at(-1)!.handler.onFirstToken(false);
      stage.complete();
    }
    expect(stage.told.slice(0, 4)).toEqual(['a>b timeout_ttft', 'a cancelled 10000', 'b ok 100', 'request ok b']);
    expect(stage.board.breakerState('a', stage.clock.nowMs())).toBe('open');
  });
});

describe('a storm of 400s', () => {
  const error = { message: 'bad', type: null, code: 'BadRequest', param: null };
  const stormy = () => {
    const stage = new Stage();
    for (let i = 0; i < 3; i++) stage.ask().complete(0);
    stage.clock.advance(61_000);
    for (let i = 0; i < 19; i++) stage.ask().fail('invalid_request', { status: 400, error }, 0);
    return stage;
  };

  it('is the caller’s fault while it is none yet', () => {
    expect(stormy().result?.verdict).toMatchObject({ type: 'rejected' });
  });

  it('asks the next model once it is one, and counts against the first where that answers', () => {
    const stage = stormy();
    for (let i = 0; i < 5; i++) stage.ask().fail('invalid_request', { status: 400, error }, 0).complete(0);
    expect(stage.result).toMatchObject({
      model: 'b',
      attempts: [{ class: 'server_error', status: 400 }, { class: 'ok' }],
    });
    expect(stage.board.breakerState('a', stage.clock.nowMs())).toBe('open');
  });

  it('is over where the next model says the same: the caller gets its 400, and nothing has counted', () => {
    const stage = stormy();
    const bad = { status: 400, error };
    stage.ask().fail('invalid_request', bad, 0).fail('invalid_request', bad, 0);
    expect(stage.result?.verdict).toMatchObject({ type: 'rejected', failure: { error } });
    stage.ask().fail('invalid_request', bad, 0);
    expect(stage.result?.attempts.map((a) => a.model)).toEqual(['a']);
    expect(stage.board.breakerState('a', stage.clock.nowMs())).toBe('closed');
  });
});
