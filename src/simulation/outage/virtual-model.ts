/**
 * A model in virtual time: says at once how an attempt on it will go, and lets it go so. Time limits are kept as the
 * upstream over HTTP keeps them, so that the driver cannot tell the two apart.
 */
import type { Clock } from '../../chain/clock.js';
import { type Delivered, type Failure, type FailureClass, type RestScope, traitsOf } from '../../policy/failure.js';
import type { ContinuationRequest } from '../../stream/continuation.js';
import { ownFailure } from '../../upstream/classify.js';
import type { AttemptEnd, AttemptHandler, AttemptLimits, RunningAttempt, TokenUsage } from '../../upstream/upstream.js';

/** How one attempt goes, if nobody ends it before; ms from its start. */
export type Fate =
  | ({
      readonly what: 'answers';
      readonly totalMs: number;
      /** Delivered, but booked as what it was: an answer that a filter ended. */
      readonly outcome?: 'content_filter';
      /** Its limits are used up for so long, as the answer says. */
      readonly usedUpForMs?: number;
    } & Speech)
  | {
      readonly what: 'fails';
      readonly afterMs: number;
      readonly failsWith: FailureClass;
      readonly retryAfterMs?: number;
      /** What it says besides. */
      readonly says?: Partial<Pick<Failure, 'status' | 'error' | 'restScope' | 'neverRetry'>>;
    }
  /** A stream that has spoken and breaks off; an answer that is no stream is broken as a whole. */
  | ({ readonly what: 'breaks'; readonly afterMs: number; readonly failsWith: FailureClass } & Speech)
  /** A stream that has spoken and then says nothing more; an answer that is no stream never comes. */
  | ({ readonly what: 'stalls' } & Speech)
  | { readonly what: 'hangs' };

interface Speech {
  /** Of a stream. */
  readonly ttftMs: number;
  /** What it says: `calls`, tool calls, are held until it finishes; of thoughts alone, nothing can be gone on with. Default: text. */
  readonly says?: 'calls' | 'thoughts';
}

export interface VirtualCall {
  readonly limits: AttemptLimits;
  readonly streaming: boolean;
  readonly usage: TokenUsage;
  readonly continues?: ContinuationRequest;
}

const NO_USAGE: TokenUsage = { inputTokens: 0, outputTokens: 0, reported: false };
/** What a stream has said when it breaks. */
export const BROKEN_TEXT = 'The first half of a sentence that';
/** What whoever goes on with a text adds to it. */
export const CONTINUED_BY = ' goes on and ends here.';

/** @returns a running attempt; `onOver` hears once that it is over, and what it has used. */
export function playFate(
  fate: Fate,
  call: VirtualCall,
  clock: Clock,
  handler: AttemptHandler,
  onOver: (usage: TokenUsage) => void,
): RunningAttempt {
  const { limits, streaming, usage } = call;
  let cancelTimer = (): void => {};
  let hasSpoken = false;
  let isOver = false;
  const deliver = (held: Uint8Array): void => {
    handler.onFirstToken(false);
    if (!isOver) handler.onBytes(held);
  };
  const end = (afterMs: number, how: AttemptEnd, fromNow: number): void => {
    cancelTimer = clock.setTimer(afterMs - fromNow, () => {
      if (hasSpoken && isHeld(fate) && how.type === 'completed') deliver(CALL_EVENT);
      if (isOver) return;
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
      handler.onFirstToken(isHeld(fate));
      if (!isOver && !isHeld(fate)) handler.onBytes(firstEvent(fate, call.continues));
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
function endOf(fate: Fate, call: VirtualCall, hasSpoken: boolean): { afterMs: number; end: AttemptEnd } {
  const { limits, streaming, usage } = call;
  const limitMs = hasSpoken ? limits.totalMs : limits.answerMs;
  const [afterMs, failsWith] = outcomeOf(fate, call, hasSpoken);
  const spent = hasSpoken ? usage : NO_USAGE;
  if (afterMs >= limitMs) {
    const late: FailureClass = streaming && !hasSpoken ? 'timeout_ttft' : 'timeout_total';
    return {
      afterMs: limitMs,
      end: failed(ownFailure(late, 'no answer in time'), deliveredBy(fate, hasSpoken), spent),
    };
  }
  if (failsWith === undefined) {
    const { outcome = 'ok', usedUpForMs } = fate.what === 'answers' ? fate : {};
    const told = usedUpForMs === undefined ? {} : { usedUpForMs };
    return { afterMs, end: { type: 'completed', outcome, status: 200, finishReason: 'stop', ...told, usage } };
  }
  return { afterMs, end: failed(failureOf(fate, failsWith), deliveredBy(fate, hasSpoken), spent) };
}

function outcomeOf(
  fate: Fate,
  { streaming, limits }: VirtualCall,
  hasSpoken: boolean,
): readonly [afterMs: number, failsWith?: FailureClass] {
  switch (fate.what) {
    case 'answers':
      return [fate.totalMs];
    case 'fails':
      return [fate.afterMs, fate.failsWith];
    case 'breaks':
      return [fate.afterMs, streaming ? fate.failsWith : 'bad_response'];
    case 'stalls':
      return hasSpoken ? [fate.ttftMs + limits.idleMs, 'timeout_idle'] : [Infinity];
    case 'hangs':
      return [Infinity];
    default:
      return fate satisfies never;
  }
}

/** As it is read off the wire, where an error says no more than its class. */
function failureOf(fate: Fate, failsWith: FailureClass): Failure {
  const failure = { ...ownFailure(failsWith, 'made to fail'), restScope: restScopeOf(failsWith) };
  if (fate.what !== 'fails') return failure;
  const { retryAfterMs, says } = fate;
  return { ...failure, ...(retryAfterMs !== undefined && { retryAfterMs }), ...says };
}

function restScopeOf(failureClass: FailureClass): RestScope {
  const { rest, fallBack } = traitsOf(failureClass);
  return rest === null ? 'none' : fallBack === 'other-provider' ? 'provider' : 'model';
}

function isHeld(fate: Fate): boolean {
  return 'ttftMs' in fate && fate.says === 'calls';
}

function deliveredBy(fate: Fate, hasSpoken: boolean): Delivered {
  if (!hasSpoken || isHeld(fate)) return 'nothing';
  return 'ttftMs' in fate && fate.says === 'thoughts' ? 'reasoning' : 'text';
}

function failed(failure: Failure, delivered: Delivered, usage: TokenUsage): AttemptEnd {
  return { type: 'failed', failure, delivered, ...(delivered === 'text' && { text: BROKEN_TEXT }), usage };
}

const encoder = new TextEncoder();
const TEXT_EVENT = event({ content: BROKEN_TEXT });
const THOUGHT_EVENT = event({ reasoning_content: 'Let me see.' });
const CALL_EVENT = event({ tool_calls: [{ index: 0, id: 'call_1', function: { name: 'look', arguments: '{}' } }] });

/** Whoever goes on repeats all of it from the start: one of the ways that prove a seam. */
function firstEvent(fate: Fate, continues: ContinuationRequest | undefined): Uint8Array {
  if (continues) return event({ content: `${continues.text}${CONTINUED_BY}` });
  return 'ttftMs' in fate && fate.says === 'thoughts' ? THOUGHT_EVENT : TEXT_EVENT;
}

function event(delta: object): Uint8Array {
  const choices = [{ index: 0, delta, finish_reason: null }];
  return encoder.encode(`data: ${JSON.stringify({ object: 'chat.completion.chunk', choices })}\n\n`);
}
