import { describe, expect, it } from 'vitest';
import { Play, plan, play } from '../../test/policy/play.js';

describe('the retry budget', () => {
  it('is charged for retries, not for fallbacks', () => {
    const p = play(['a', 'b'], { maxRetries: 3 }).fail('network').fail('network').wake().fail('network').wake();
    expect(p.asked.map((a) => a.kind)).toEqual(['first', 'fallback', 'retry', 'retry']);
    expect(p.budget).toBe(98);
  });

  it('ends retries once it is empty', () => {
    const p = new Play(plan(['a'], { maxRetries: 3, retrySameModel: { attempts: 3 } }));
    p.budget = 1;
    p.start().fail('network').wake().fail('network');
    expect(p.models).toBe('a a');
    expect(p.verdict).toMatchObject({ because: 'failed' });
  });

  it('is looked at again when a wait is over', () => {
    const p = play(['a'], { maxRetries: 3 }).fail('network');
    p.budget = 0;
    expect(p.wake().verdict).toMatchObject({ because: 'failed' });
  });
});

describe('an open model', () => {
  const open = (p: Play, model: string, ms: number) => {
    p.rests.set(model, { state: 'open', untilMs: p.nowMs + ms });
    return p;
  };

  it('is skipped', () => {
    expect(open(new Play(plan(['a', 'b'])), 'a', 5_000).start().models).toBe('b');
  });

  it('is tried all the same where every model is, the likeliest first', () => {
    const p = open(open(new Play(plan(['a', 'b'])), 'a', 9_000), 'b', 4_000);
    expect(p.start().models).toBe('b');
  });

  it('is not tried where as many attempts as it takes are under way', () => {
    const p = open(open(new Play(plan(['a', 'b'])), 'a', 9_000), 'b', 4_000);
    p.rests.set('b', { state: 'open', untilMs: p.nowMs + 4_000, isFull: true });
    expect(p.start().models).toBe('a');
  });

  it('is not waited for: who may not try gets an answer at once, with the time when one may', () => {
    const p = open(open(new Play(plan(['a', 'b'])), 'a', 9_000), 'b', 4_000);
    p.unlikelyTries = false;
    expect(p.start().verdict).toEqual({ type: 'exhausted', because: 'down', retryAfterMs: 4_000 });
  });
});

describe('a model that comes back', () => {
  it('gets the requests whose lot is among its share', () => {
    const first = (lot: number) => {
      const p = new Play(plan(['a', 'b']), () => lot);
      p.shares.set('a', 0.3);
      return p.start().models;
    };
    expect([first(0.1), first(0.29), first(0.3), first(0.9)]).toEqual(['a', 'a', 'b', 'b']);
  });

  it('gets them all where nobody else can answer', () => {
    const p = new Play(plan(['a']), () => 0.9);
    p.shares.set('a', 0.1);
    expect(p.start().models).toBe('a');
  });
});

describe('a model that is full', () => {
  it('leaves what does not fit to the next', () => {
    const p = new Play(plan(['a', 'b']));
    p.full.set('a', true);
    expect(p.start().models).toBe('b');
  });

  it('is waited for where no other is left and its queue has room', () => {
    const p = new Play(plan(['a', 'b'])).rest('b', 90_000);
    p.full.set('a', true);
    p.start();
    expect([p.queued, p.asked]).toEqual([['a'], []]);
    p.full.delete('a');
    expect(p.wakeAnyhow().asked).toMatchObject([{ model: 'a', kind: 'first' }]);
  });

  it('is waited for five seconds at most; then the request is shed', () => {
    const p = new Play(plan(['a']));
    p.full.set('a', true);
    p.start().wakeAnyhow();
    expect(p.nowMs).toBe(6_000);
    expect(p.verdict).toEqual({ type: 'exhausted', because: 'down', retryAfterMs: 1_000 });
  });

  it('sheds at once what its queue has no room for, whatever failed before', () => {
    const p = new Play(plan(['a', 'b'], { maxRetries: 0 }));
    p.full.set('b', false);
    expect(p.start().fail('server_error').verdict).toEqual({ type: 'exhausted', because: 'down', retryAfterMs: 1_000 });
  });
});

describe('a model whose own deadline is shorter', () => {
  const impatient = (name: string) => ({ name, options: { deadlineMs: 1_000 } });

  it('is asked however short that is', () => {
    expect(play([{ name: 'a', options: { deadlineMs: 10 } }, 'b']).models).toBe('a');
  });

  it('is not asked again once that has passed', () => {
    const p = play([impatient('a')], { maxRetries: 3 }).fail('network', 995);
    expect([p.models, p.wake().models, p.verdict?.type]).toEqual(['a', 'a', 'exhausted']);
  });

  it('is not tried either, where every model is down', () => {
    const p = play(['a', impatient('b')], { maxRetries: 0 });
    p.rest('b', 90_000).fail('network', 2_000);
    expect([p.models, p.verdict?.type]).toEqual(['a', 'exhausted']);
  });

  it('is not waited for beyond it: the answer comes at once', () => {
    const p = new Play(plan([impatient('a')])).rest('a', 2_000, 'rate_limited', true).start();
    expect(p.verdict).toEqual({ type: 'exhausted', because: 'rate_limited', retryAfterMs: 2_000 });
  });
});

describe('an attempt', () => {
  it('is not cut off where its model usually ends, though the next ones take longer than there is time', () => {
    const p = new Play(plan(['a', 'b'], { deadlineMs: 5_000 }));
    p.usualAnswerMs.set('a', 500).set('b', 8_000);
    expect(p.start().asked[0]?.answerMs).toBe(1_500);
  });

  it('gets some time, however fast the model usually is and however long the next ones take', () => {
    const p = new Play(plan(['a', 'b'], { deadlineMs: 5_000 }));
    p.usualAnswerMs.set('a', 0.2).set('b', 8_000);
    expect(p.start().asked[0]?.answerMs).toBe(30);
  });
});

describe('a group of equals', () => {
  const group = (chances: number[]) => {
    let draw = 0;
    const models = ['a', 'b', 'c'].map((name) => ({ name, entry: name === 'c' ? 1 : 0 }));
    return new Play(plan(models), () => chances[draw++ % chances.length]!);
  };

  it('shares the load: of two drawn, the one with less to do', () => {
    const p = group([0, 0, 0]);
    p.loads.set('a', 5).set('b', 2);
    expect(p.start().models).toBe('b');
  });

  it('is gone through before the chain goes on', () => {
    const p = group([0.6, 0.6]).start().fail('network').fail('network');
    expect(p.models.split(' ').toSorted()).toEqual(['a', 'b', 'c']);
    expect(p.asked.at(-1)?.model).toBe('c');
  });
});

describe('a hedge', () => {
  const hedged = (more: object = {}) => {
    const p = new Play(plan(['a', 'b'], { hedge: { enabled: true }, ...more }));
    p.hedgeAfterMs = 800;
    return p;
  };

  it('is started beside a model that is slower than usual, and paid for', () => {
    const p = hedged().start().wakeAnyhow();
    expect(p.nowMs).toBe(1_800);
    expect(p.asked.at(-1)).toMatchObject({ model: 'b', kind: 'hedge', from: 'a timeout_total' });
    expect(p.budget).toBe(99);
    p.complete();
    expect(p.cancelled).toEqual(['0:cancelled beaten']);
    expect(p.verdict).toEqual({ type: 'answered', attempt: 1 });
  });

  it.each<{ why: string; prepare: (p: Play) => unknown }>([
    { why: 'the budget is empty', prepare: (p) => (p.budget = 0) },
    { why: 'its share is used up', prepare: (p) => (p.mayHedge = false) },
    { why: 'the other model rests', prepare: (p) => p.rest('b', 90_000) },
    { why: 'too little is known', prepare: (p) => (p.hedgeAfterMs = undefined) },
  ])('is not where $why', ({ prepare }) => {
    const p = hedged();
    prepare(p);
    expect(p.start().wakeAnyhow().models).toBe('a');
  });

  it('is off unless it is switched on', () => {
    const p = new Play(plan(['a', 'b']));
    p.hedgeAfterMs = 800;
    expect(p.start().wakeAtMs).toBe(61_000);
  });
});
