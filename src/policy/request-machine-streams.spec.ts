import { describe, expect, it } from 'vitest';
import { failure, Play, plan, play } from '../../test/policy/play.js';
import type { Delivered } from './failure.js';

const streamed = (models: Parameters<typeof plan>[0], options: Parameters<typeof plan>[1] = {}) =>
  play(models, options, true);

describe('a stream', () => {
  it('is committed by its first token, and has no deadline from then on', () => {
    const p = streamed(['a', 'b']);
    expect(p.feed({ type: 'first-token', attempt: 0, held: false })).toEqual([{ type: 'commit', attempt: 0 }]);
    expect(p.wakeAtMs).toBeUndefined();
    expect(p.complete().verdict).toEqual({ type: 'answered', attempt: 0 });
  });

  it('whose first token is held back is not committed, and can still fall back whole', () => {
    const p = streamed(['a', 'b']).speak(0, true);
    expect(p.committed).toEqual([]);
    expect(p.fail('stream_cut').asked.at(-1)).toMatchObject({ model: 'b', kind: 'fallback' });
    expect(p.asked.at(-1)?.resume).toBeUndefined();
  });

  it('whose held token broke off gets the whole time again: the request had its first token', () => {
    const p = streamed(['a', 'b'], { deadlineMs: 5_000 }).speak(0, true);
    p.fail('stream_cut', 60_000);
    expect(p.asked.at(-1)).toMatchObject({ model: 'b', answerMs: 5_000 });
  });
});

describe('a silent model', () => {
  it('is overtaken by the next one, which runs beside it', () => {
    const p = streamed(['a', 'b', 'c']).wakeAnyhow();
    expect(p.nowMs).toBe(11_000);
    expect(p.asked.at(-1)).toMatchObject({ model: 'b', kind: 'overtake', from: 'a timeout_ttft' });
    expect([...p.live]).toEqual([0, 1]);
  });

  it('loses to the first that speaks, and is aborted as beaten', () => {
    const p = streamed(['a', 'b']).wakeAnyhow().speak(1);
    expect(p.cancelled).toEqual(['0:cancelled beaten']);
    expect(p.committed).toEqual([1]);
    expect(p.complete().verdict).toEqual({ type: 'answered', attempt: 1 });
  });

  it('still answers where nothing faster does', () => {
    const p = streamed(['a', 'b']).wakeAnyhow().speak(0);
    expect(p.cancelled).toEqual(['1:cancelled beaten']);
    expect(p.committed).toEqual([0]);
  });

  it('keeps one other beside it: when that one fails, the next takes its place', () => {
    const p = streamed(['a', 'b', 'c']).wakeAnyhow().fail('server_error');
    expect(p.asked.map((a) => `${a.model} ${a.kind}`)).toEqual(['a first', 'b overtake', 'c overtake']);
    expect([...p.live]).toEqual([0, 2]);
  });

  it('that fails at last leaves the other alone to answer', () => {
    const p = streamed(['a', 'b']).wakeAnyhow();
    p.feed({ type: 'failed', attempt: 0, failure: failure('timeout_ttft'), delivered: 'nothing' });
    expect([...p.live]).toEqual([1]);
    expect(p.speak(1).committed).toEqual([1]);
  });

  it('is given its own usual time where that is longer', () => {
    const p = new Play(plan(['a', 'b'], {}, true));
    p.usualTtftMs.set('a', 17_000);
    expect(p.start().wakeAtMs).toBe(18_000);
  });

  it('is not overtaken where no other is usable, where it has only spoken into a hold, or where nothing is streamed', () => {
    expect(new Play(plan(['a', 'b'], {}, true)).rest('b', 90_000).start().wakeAnyhow().models).toBe('a');
    expect(streamed(['a', 'b']).speak(0, true).wakeAtMs).toBeUndefined();
    expect(play(['a', 'b']).wakeAtMs).toBe(61_000);
  });

  it('and the one beside it are both aborted at the deadline', () => {
    const p = streamed(['a', 'b'], { timeoutMs: 60_000 }).wakeAnyhow().wakeAnyhow();
    expect(p.nowMs).toBe(61_000);
    expect(p.cancelled).toEqual(['0:timeout_ttft', '1:timeout_ttft']);
    expect(p.verdict).toMatchObject({ because: 'timed_out' });
  });
});

describe('a stream that broke in the caller’s hands', () => {
  it('is gone on with by the next model, at once, with a whole deadline', () => {
    const p = streamed(['a', 'b'], { deadlineMs: 30_000 }).speak().fail('stream_cut', 90_000, 'text');
    expect(p.asked.at(-1)).toMatchObject({
      model: 'b',
      kind: 'continuation',
      atMs: 91_000,
      answerMs: 30_000,
      resume: { how: 'continue', way: 'prompt', mustProve: false, from: { model: 'a', reason: 'stream_cut' } },
    });
    expect(p.speak(1).complete().verdict).toEqual({ type: 'answered', attempt: 1 });
    expect(p.committed).toEqual([0, 1]);
  });

  it('must be proven by its next model while yet another is left', () => {
    const p = streamed(['a', 'b', 'c']).speak().fail('stream_cut', 10, 'text');
    expect(p.asked.at(-1)?.resume).toMatchObject({ mustProve: true });
    expect(p.fail('bad_response').asked.at(-1)).toMatchObject({ model: 'c', resume: { mustProve: false } });
  });

  it('says whose text the caller holds, also after another failed to go on', () => {
    const p = streamed(['a', 'b', 'c']).speak().fail('timeout_idle', 10, 'text').fail('server_error');
    expect(p.asked.at(-1)).toMatchObject({
      from: 'b server_error',
      resume: { from: { model: 'a', reason: 'timeout_idle' } },
    });
  });

  it('is gone on with a second and a third time', () => {
    const p = streamed(['a', 'b', 'c']).speak();
    p.fail('stream_cut', 10, 'text').speak(1).fail('stream_error', 10, 'text').speak(2).complete();
    expect(p.models).toBe('a b c');
    expect(p.verdict).toEqual({ type: 'answered', attempt: 2 });
  });

  it('comes back to a model that was tried with backoff, by the same bounds', () => {
    const p = streamed(['a'], { maxRetries: 1 }).speak().fail('stream_cut', 10, 'text');
    expect(p.wakeAtMs! - p.nowMs).toBe(500);
    expect(p.wake().asked.at(-1)).toMatchObject({ model: 'a', kind: 'continuation' });
    expect(p.fail('stream_cut').verdict).toMatchObject({ type: 'broken', why: 'nobody-left' });
  });

  it('begins afresh where only reasoning was delivered, JSON or not', () => {
    const p = new Play({ ...plan(['a', 'b'], {}, true), isContinuable: false }).start().speak();
    expect(p.fail('stream_cut', 10, 'reasoning').asked.at(-1)?.resume).toMatchObject({ how: 'afresh' });
  });

  it('is continued once text was delivered, whatever the next one delivered', () => {
    const p = streamed(['a', 'b', 'c']).speak().fail('stream_cut', 10, 'text');
    expect(p.speak(1).fail('stream_cut', 10, 'reasoning').asked.at(-1)?.resume).toMatchObject({ how: 'continue' });
  });

  it.each<{ why: string; delivered: Delivered; options?: object; isContinuable?: boolean }>([
    { why: 'unresumable', delivered: 'unresumable' },
    { why: 'unresumable', delivered: 'text', isContinuable: false },
    { why: 'switched-off', delivered: 'text', options: { stream: { onBreak: 'error' } } },
  ])('ends with an error where it is $why ($delivered)', ({ why, delivered, options, isContinuable = true }) => {
    const p = new Play({ ...plan(['a', 'b'], options, true), isContinuable }).start().speak();
    expect(p.fail('stream_cut', 10, delivered).verdict).toMatchObject({ type: 'broken', why });
    expect(p.models).toBe('a');
  });

  it('is never handed to a model that must not continue, unless it begins afresh', () => {
    const models = ['a', { name: 'b', continuation: 'none' as const }, 'c'];
    expect(streamed(models).speak().fail('stream_cut', 10, 'text').models).toBe('a c');
    expect(streamed(models).speak().fail('stream_cut', 10, 'reasoning').models).toBe('a b');
  });

  it('is asked for again by prompt, at once and free, where a model refuses the way it was asked', () => {
    const models = ['a', { name: 'b', continuation: 'prefix' as const }];
    const p = streamed(models, { maxRetries: 0 }).speak().fail('stream_cut', 10, 'text');
    expect(p.asked.at(-1)?.resume?.way).toBe('prefix');
    p.refusing.add('b');
    p.fail(failure('invalid_request', { status: 400 }));
    expect(p.asked.at(-1)).toMatchObject({ model: 'b', resume: { way: 'prompt' } });
    expect(p.fail('invalid_request').verdict).toMatchObject({ type: 'broken', why: 'nobody-left' });
  });

  it('is not asked for again in the last moment, nor of a model that has gone to rest', () => {
    const models = ['a', { name: 'b', continuation: 'prefix' as const }];
    const refused = () => streamed(models, { deadlineMs: 5_000, maxRetries: 0 }).speak().fail('stream_cut', 10, 'text');
    expect(refused().fail('invalid_request', 4_995).models).toBe('a b');
    expect(refused().rest('b', 90_000).fail('invalid_request').models).toBe('a b');
  });

  it('is asked for again beside a model that has been asked meanwhile', () => {
    const models = ['a', { name: 'b', continuation: 'prefix' as const }, 'c'];
    const p = streamed(models).speak().fail('stream_cut', 10, 'text').wakeAnyhow();
    p.feed({ type: 'failed', attempt: 1, failure: failure('invalid_request'), delivered: 'nothing' });
    expect([p.models, [...p.live]]).toEqual(['a b c b', [2, 3]]);
    expect(p.speak(2).cancelled).toEqual(['3:cancelled beaten']);
  });

  it('remembers that refusal', () => {
    const p = new Play(plan(['a', { name: 'b', continuation: 'vllm' as const }], {}, true));
    p.refusing.add('b');
    expect(p.start().speak().fail('stream_cut', 10, 'text').asked.at(-1)?.resume?.way).toBe('prompt');
  });

  it('is not the caller’s fault: a model had accepted the request', () => {
    const p = streamed(['a', 'b', 'c']).speak().fail('stream_cut', 10, 'text').fail('invalid_request');
    expect(p.models).toBe('a b c');
  });

  it('is not handed on where what follows was filtered', () => {
    const p = streamed(['a', 'b', 'c']).speak().fail('stream_cut', 10, 'text').fail('content_filter');
    expect(p.verdict).toMatchObject({ type: 'broken', why: 'filtered' });
  });

  it('is overtaken too while it is being gone on with', () => {
    const p = streamed(['a', 'b', 'c']).speak().fail('stream_cut', 10, 'text').wakeAnyhow();
    expect(p.asked.at(-1)).toMatchObject({ model: 'c', kind: 'overtake', resume: { how: 'continue' } });
    expect(p.speak(2, true).cancelled).toEqual(['1:cancelled beaten']);
  });

  it('is gone on with by the same model first where retrySameModel says so', () => {
    const p = streamed(['a', 'b'], { retrySameModel: { attempts: 1 } })
      .speak()
      .fail('stream_cut', 10, 'text')
      .wake();
    expect(p.asked.at(-1)).toMatchObject({ model: 'a', resume: { how: 'continue' } });
  });
});
