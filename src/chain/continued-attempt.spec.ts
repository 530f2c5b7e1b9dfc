import { expect, it } from 'vitest';
import { VirtualClock } from '../simulation/virtual-clock.js';
import { ContinuedStream } from '../stream/continued-stream.js';
import type { AttemptHandler } from '../upstream/upstream.js';
import { ContinuedAttempt } from './continued-attempt.js';

it('hears nothing any more once it was cancelled, and leaves no timer', () => {
  const clock = new VirtualClock();
  const heard: string[] = [];
  const handler: AttemptHandler = {
    onFirstToken: () => heard.push('first token'),
    onBytes: () => heard.push('bytes'),
    onEnd: () => heard.push('end'),
  };
  const stream = new ContinuedStream({
    text: 'The words so far',
    isAsked: true,
    mustProve: false,
    id: null,
    fallback: { from: 'a', to: 'b', reason: 'stream_cut' },
    tokensBefore: 0,
  });
  const attempt = new ContinuedAttempt({ stream, isAfresh: false, holdMs: 1_000, clock, handler });
  let inner: AttemptHandler | undefined;
  attempt.start((given) => {
    inner = given;
    return { cancel: () => {}, pause: () => {}, resume: () => {} };
  });
  attempt.cancel();
  inner?.onFirstToken(false);
  expect([heard, clock.liveTimers]).toEqual([[], 0]);
});
