import { describe, expect, it } from 'vitest';
import { failure, Play, plan, play } from '../../test/policy/play.js';
import type { Failure, FailureClass } from './failure.js';

describe('a request', () => {
  it('asks the first model, and is answered when it completes', () => {
    const p = play(['a', 'b']).complete();
    expect(p.models).toBe('a');
    expect(p.verdict).toEqual({ type: 'answered', attempt: 0 });
  });

  it('starts at the first usable model', () => {
    expect(new Play(plan(['a', 'b'])).rest('a', 5_000).start().models).toBe('b');
  });

  it('falls back at once, in the order of the chain, skipping what rests', () => {
    const p = play(['a', 'b', 'c']).rest('b', 5_000).fail('server_error');
    expect(p.asked.map((a) => [a.model, a.kind, a.atMs])).toEqual([
      ['a', 'first', 1_000],
      ['c', 'fallback', 1_010],
    ]);
  });

  it('rotates its retries through the models once every model was tried', () => {
    const p = play(['a', 'b'], { maxRetries: 3 });
    for (let i = 0; i < 5; i++) p.fail('server_error').wake();
    expect(p.models).toBe('a b a b a');
    expect(p.verdict).toEqual({ type: 'exhausted', because: 'failed' });
  });

  it('comes back to a model that spoke up before one that was silent', () => {
    const p = play(['a', 'b'], { maxRetries: 2 }).fail('timeout_total').fail('server_error');
    for (let i = 0; i < 2; i++) p.wake().fail('server_error');
    expect(p.models).toBe('a b b a');
  });

  it('waits between the bounds of its jitter before a retry: factor 1.5', () => {
    const p = play(['a'], { backoff: { baseMs: 1_000, factor: 1.5 } });
    for (const boundMs of [1_000, 1_500, 2_250]) {
      p.fail('network', 0);
      expect(p.wakeAtMs! - p.nowMs).toBe(boundMs * 0.5);
      p.wake();
    }
  });

  it('does not come back to a model that forbade it', () => {
    expect(play(['a']).fail(failure('server_error', { neverRetry: true })).verdict).toMatchObject({
      because: 'failed',
    });
  });

  it('bounds the retries on one model by its own maxRetries', () => {
    const p = play([{ name: 'a', maxRetries: 0 }, 'b']);
    for (let i = 0; i < 5; i++) p.fail('server_error').wake();
    expect(p.models).toBe('a b b b b');
  });

  it('hears nothing of an attempt that it cancelled, and nothing after its verdict', () => {
    const p = play(['a', 'b']);
    p.feed({ type: 'cancelled' });
    expect(p.cancelled).toEqual(['0:cancelled']);
    expect(p.verdict).toEqual({ type: 'cancelled' });
    expect(p.feed({ type: 'failed', attempt: 0, failure: failure('network'), delivered: 'nothing' })).toEqual([]);
    expect(p.feed({ type: 'completed', attempt: 0 })).toEqual([]);
    expect(p.feed({ type: 'woke' })).toEqual([]);
  });
});

describe('what each failure class leads to', () => {
  const cases: { class: FailureClass; more?: Partial<Failure>; then: string; why: string }[] = [
    { class: 'invalid_request', then: 'a', why: 'asking others multiplies the mistake' },
    { class: 'content_filter', then: 'a', why: 'a laxer model is the operator’s decision' },
    { class: 'unsupported', then: 'a b c', why: 'a fault of this model' },
    { class: 'invalid_output', then: 'a b c', why: 'another model may obey' },
    { class: 'empty_answer', then: 'a b c', why: 'never the same model again' },
    { class: 'auth', then: 'a c', why: 'b shares the key' },
    { class: 'quota', then: 'a c', why: 'b shares the account' },
    { class: 'permission', more: { restScope: 'model' }, then: 'a b c', why: 'the body named the model' },
    { class: 'not_found', more: { restScope: 'model' }, then: 'a b c', why: 'only that model is gone' },
  ];
  it.each(cases)('$class: $then ($why)', ({ class: c, more, then }) => {
    const models = [
      { name: 'a', provider: 'p' },
      { name: 'b', provider: 'p' },
      { name: 'c', provider: 'q' },
    ];
    const p = play(models);
    for (let i = 0; i < 8; i++) p.fail(failure(c, more)).wake();
    expect(p.models).toBe(then);
  });

  it('asks only larger or unknown windows after context_length', () => {
    const p = play([
      { name: 'a', contextWindow: 8 },
      { name: 'b', contextWindow: 8 },
      'c',
      { name: 'd', contextWindow: 9 },
    ]);
    expect(p.fail('context_length').fail('context_length').models).toBe('a c d');
  });

  it('asks the next model after content_filter where the operator said so', () => {
    expect(play(['a', 'b'], { onContentFilter: 'next' }).fail('content_filter').models).toBe('a b');
  });
});

describe('retrySameModel', () => {
  const options = { retrySameModel: { attempts: 2, maxWaitMs: 2_500 } };

  it('comes back to the same model before the next one is asked', () => {
    const p = play(['a', 'b'], options);
    p.fail('server_error').wake().fail('server_error').wake().fail('server_error');
    expect(p.models).toBe('a a a b');
  });

  it('never for a timeout: a silent model stays silent', () => {
    expect(play(['a', 'b'], options).fail('timeout_ttft').models).toBe('a b');
  });

  it.each([
    { why: 'waited for exactly', restMs: 2_000, then: 'a a' },
    { why: 'too long: the next model at once', restMs: 3_000, then: 'a b' },
  ])('rate_limited with a named time, $why', ({ restMs, then }) => {
    const p = new Play(plan(['a', 'b'], options)).start().rest('a', restMs, 'rate_limited', true);
    p.fail('rate_limited', 0);
    if (then === 'a a') expect(p.wakeAtMs).toBe(p.nowMs + restMs);
    p.wake();
    expect(p.models).toBe(then);
  });
});

describe('when every model rests', () => {
  it('tries the one whose rest ends first, where no one else does', () => {
    const p = new Play(plan(['a', 'b'])).rest('a', 9_000).rest('b', 4_000).start();
    expect(p.models).toBe('b');
  });

  it('answers at once with the soonest end where another request is trying already', () => {
    const p = new Play(plan(['a', 'b'])).rest('a', 9_000).rest('b', 4_000);
    p.unlikelyTries = false;
    expect(p.start().verdict).toEqual({ type: 'exhausted', because: 'down', retryAfterMs: 4_000 });
  });

  it('waits for a time that a provider named, where it fits the deadline', () => {
    const p = new Play(plan(['a'])).rest('a', 3_000, 'rate_limited', true).start();
    expect(p.asked).toEqual([]);
    // And a little longer by chance, for others were told the same.
    expect(p.wake().asked).toMatchObject([{ model: 'a', kind: 'first', atMs: 4_150 }]);
  });

  it('comes back in its turn, one after the other', () => {
    const p = new Play(plan(['a'])).rest('a', 3_000, 'rate_limited', true);
    Object.assign(p, { lastTurnMs: 6_000, turnGapMs: 40 });
    expect(p.start().wakeAtMs).toBe(6_190);
    expect(p.lastTurnMs).toBe(6_040);
  });

  it('comes back at any moment that is left where its turn would be too late, and takes none', () => {
    const p = new Play(plan(['a'], { deadlineMs: 11_010 })).rest('a', 3_000, 'rate_limited', true);
    Object.assign(p, { lastTurnMs: 50_000, turnGapMs: 40 });
    expect(p.start().wakeAtMs).toBe(8_000);
    expect(p.lastTurnMs).toBe(50_000);
  });

  it('says 429 at once where that time is longer than the deadline', () => {
    const p = new Play(plan(['a'])).rest('a', 90_000, 'rate_limited', true).start();
    expect(p.verdict).toEqual({ type: 'exhausted', because: 'rate_limited', retryAfterMs: 90_000 });
  });

  it('never tries one that rests for a wrong key', () => {
    const p = new Play(plan(['a'])).rest('a', 300_000, 'auth').start();
    expect(p.verdict).toMatchObject({ because: 'down', retryAfterMs: 300_000 });
  });

  it('waits for the rest of the only model it could retry', () => {
    const p = play(['a']).rest('a', 2_000, 'rate_limited', true).fail('rate_limited', 0);
    expect(p.wakeAtMs).toBe(3_100);
    expect(p.wake().complete().verdict).toEqual({ type: 'answered', attempt: 1 });
  });
});

describe('the deadline', () => {
  it('cuts the time of the last attempt to what is left', () => {
    const p = play(['a', 'b'], { timeoutMs: 30_000, deadlineMs: 40_000 }).fail('timeout_total', 15_000);
    expect(p.asked.at(-1)?.answerMs).toBe(25_000);
  });

  it('is shared out: a model that hangs leaves the later ones what they usually take', () => {
    const p = new Play(plan(['a', 'b', 'c'], { timeoutMs: 60_000, deadlineMs: 60_000 }));
    p.usualAnswerMs.set('b', 4_000).set('c', 6_000);
    p.start();
    expect(p.asked[0]?.answerMs).toBe(50_000);
    p.fail('timeout_total', 50_000).fail('timeout_total', 4_000);
    expect(p.asked.map((a) => a.answerMs)).toEqual([50_000, 4_000, 6_000]);
  });

  it('is shared out equally among models of which nothing is known', () => {
    const p = play(['a', 'b', 'c'], { timeoutMs: 30_000, deadlineMs: 60_000 });
    p.fail('timeout_total', 20_000).fail('timeout_total', 20_000);
    expect(p.asked.map((a) => a.answerMs)).toEqual([20_000, 20_000, 20_000]);
  });

  it('leaves out a model that has never been as fast as it would have to be', () => {
    const p = new Play(plan(['a', 'b', 'c'], { deadlineMs: 10_000 }));
    p.leastAnswerMs.set('b', 3_000);
    expect(p.start().fail('timeout_total', 8_000).models).toBe('a c');
  });

  it('ends the attempt that runs, and the request, with timed_out', () => {
    const p = play(['a'], { deadlineMs: 5_000, timeoutMs: 60_000 }).wakeAnyhow();
    expect(p.nowMs).toBe(6_000);
    expect(p.cancelled).toEqual(['0:timeout_total']);
    expect(p.verdict).toEqual({ type: 'exhausted', because: 'timed_out' });
  });

  it('is no reason to sleep past it: a wait that does not fit ends the request at once', () => {
    const p = play(['a'], { deadlineMs: 1_000, backoff: { baseMs: 10_000 } }).fail('server_error');
    expect(p.verdict).toEqual({ type: 'exhausted', because: 'failed' });
  });
});

describe('verdicts', () => {
  it.each<{ why: string; classes: FailureClass[]; verdict: object }>([
    { why: 'the caller’s own fault', classes: ['server_error', 'invalid_request'], verdict: { type: 'rejected' } },
    { why: 'nothing else failed', classes: ['unsupported', 'unsupported'], verdict: { type: 'rejected' } },
    { why: 'something else failed too', classes: ['unsupported', 'network'], verdict: { because: 'failed' } },
    { why: 'all rate limited', classes: ['rate_limited', 'rate_limited'], verdict: { because: 'rate_limited' } },
    { why: 'all timed out', classes: ['timeout_total', 'timeout_total'], verdict: { because: 'timed_out' } },
    { why: 'mixed', classes: ['rate_limited', 'timeout_total'], verdict: { because: 'failed' } },
  ])('$why: $classes', ({ classes, verdict }) => {
    const p = play(['a', 'b'], { maxRetries: 0 });
    for (const c of classes) p.fail(c);
    expect(p.verdict).toMatchObject(verdict);
  });
});
