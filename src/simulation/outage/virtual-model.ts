/**
 * A model in virtual time: says at once how an attempt on it will go, and lets it go so. Time limits are kept as the
 * upstream over HTTP keeps them, so that the driver cannot tell the two apart.
 */
import { type FailureClass, traitsOf } from '../../policy/failure.js';
import type { ContinuationRequest } from '../../stream/continuation.js';
import { ownFailure } from '../../upstream/classify.js';
import type { AttemptEnd, AttemptHandler, AttemptLimits, RunningAttempt, TokenUsage } from '../../upstream/upstream.js';
import type { VirtualClock } from '../virtual-clock.js';

/** How one attempt goes, if nobody ends it before; ms from its start. */
export type Fate =
  | { readonly what: 'answers'; readonly ttftMs: number; readonly totalMs: number }
  | {
      readonly what: 'fails';
      readonly afterMs: number;
      readonly failsWith: FailureClass;
      readonly retryAfterMs?: number;
    }
  /** A stream that has spoken and breaks off; an answer that is no stream fails as a whole. */
  | { readonly what: 'breaks'; readonly ttftMs: number; readonly afterMs: number; readonly failsWith: FailureClass }
  | { readonly what: 'hangs' };

export interface VirtualCall {
  readonly limits: AttemptLimits;
  readonly streaming: boolean;
  readonly usage: TokenUsage;
  readonly continues?: ContinuationRequest;
}

const NO_USAGE: TokenUsage = { inputTokens: 0, outputTokens: 0, reported: false };
/** What a stream has said when it breaks. */
export const BROKEN_TEXT = 'The first half of a sentence that';

/** @returns a running attempt; `onOver` hears once that it is over, and what it has used. */
export function playFate(
  fate: Fate,
  call: VirtualCall,
  clock: VirtualClock,
  handler: AttemptHandler,
  onOver: (usage: TokenUsage) => void,
): RunningAttempt {
  const { limits, streaming, usage } = call;
  let cancelTimer = (): void => {};
  let hasSpoken = false;
  let isOver = false;
  const end = (afterMs: number, how: AttemptEnd, fromNow: number): void => {
    cancelTimer = clock.setTimer(afterMs - fromNow, () => {
      isOver = true;
      onOver(how.usage);
      handler.onEnd(how);
    });
  };
  const run = (fromNow: number): void => {
    const over = endOf(fate, call, hasSpoken);
    end(over.afterMs, over.end, fromNow);
  };
  const speaksAfterMs = streaming && 'ttftMs' in fate ? fate.ttftMs : Infinity;
  if (speaksAfterMs < limits.answerMs) {
    cancelTimer = clock.setTimer(speaksAfterMs, () => {
      hasSpoken = true;
      handler.onFirstToken(false);
      if (call.continues && !isOver) handler.onBytes(continuingEvent(call.continues.text));
      if (!isOver) run(speaksAfterMs);
    });
  } else run(0);
  return {
    cancel: () => {
      if (isOver) return;
      isOver = true;
      cancelTimer();
      onOver(hasSpoken ? usage : NO_USAGE);
    },
    pause: () => {},
    resume: () => {},
    spent: () => (hasSpoken ? usage : NO_USAGE),
  };
}

/** The end of an attempt that nobody cancels. */
function endOf(
  fate: Fate,
  { limits, streaming, usage }: VirtualCall,
  hasSpoken: boolean,
): { afterMs: number; end: AttemptEnd } {
  const limitMs = hasSpoken ? limits.totalMs : limits.answerMs;
  const [afterMs, failsWith] = outcomeOf(fate, streaming);
  if (afterMs >= limitMs) {
    const late: FailureClass = streaming && !hasSpoken ? 'timeout_ttft' : 'timeout_total';
    return { afterMs: limitMs, end: failed(late, 'no answer in time', hasSpoken, hasSpoken ? usage : NO_USAGE) };
  }
  if (failsWith === undefined) {
    return { afterMs, end: { type: 'completed', outcome: 'ok', status: 200, finishReason: 'stop', usage } };
  }
  const end = failed(failsWith, 'made to fail', hasSpoken, hasSpoken ? usage : NO_USAGE);
  if (fate.what !== 'fails' || fate.retryAfterMs === undefined) return { afterMs, end };
  return { afterMs, end: { ...end, failure: { ...end.failure, retryAfterMs: fate.retryAfterMs } } };
}

function outcomeOf(fate: Fate, streaming: boolean): readonly [afterMs: number, failsWith?: FailureClass] {
  switch (fate.what) {
    case 'answers':
      return [fate.totalMs];
    case 'fails':
      return [fate.afterMs, fate.failsWith];
    case 'breaks':
      return [fate.afterMs, streaming ? fate.failsWith : 'network'];
    case 'hangs':
      return [Infinity];
    default:
      return fate satisfies never;
  }
}

function failed(
  failureClass: FailureClass,
  message: string,
  hasSpoken: boolean,
  usage: TokenUsage,
): Extract<AttemptEnd, { type: 'failed' }> {
  const { rest, fallBack } = traitsOf(failureClass);
  const restScope = rest === null ? 'none' : fallBack === 'other-provider' ? 'provider' : 'model';
  return {
    type: 'failed',
    failure: { ...ownFailure(failureClass, message), restScope },
    delivered: hasSpoken ? 'text' : 'nothing',
    ...(hasSpoken && { text: BROKEN_TEXT }),
    usage,
  };
}

const encoder = new TextEncoder();

/** Whoever goes on repeats all of it from the start: one of the ways that prove a seam. */
function continuingEvent(text: string): Uint8Array {
  const choices = [{ index: 0, delta: { content: `${text} goes on and ends here.` }, finish_reason: null }];
  return encoder.encode(`data: ${JSON.stringify({ object: 'chat.completion.chunk', choices })}\n\n`);
}
