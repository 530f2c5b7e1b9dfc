/** What a random model does with one attempt, step by step, as its mood is. */
import type { Delivered, Failure, FailureClass, RestScope } from '../../src/policy/failure.js';
import type { Draw } from './draw.js';

export type Mood =
  | { readonly what: 'well' }
  | { readonly what: 'flaky'; readonly ratio: number }
  | { readonly what: 'down'; readonly failsWith: FailureClass }
  | { readonly what: 'hangs' }
  | { readonly what: 'slow'; readonly by: number }
  /** Refuses until then, and says so. */
  | { readonly what: 'limited'; readonly untilMs: number }
  /** Answers, and says that its limits are used up. */
  | { readonly what: 'used up'; readonly forMs: number }
  /** Streams break after their first words. */
  | { readonly what: 'breaks' }
  /** Nearly everything is a client error with one code. */
  | { readonly what: 'storm'; readonly code: string }
  | { readonly what: 'chaos' };

/** What comes `afterMs` after the step before. No step left: silence, until a time limit ends it. */
export type Step = { readonly afterMs: number } & (
  | { readonly what: 'holds' }
  /** Streamed only; `words` repeat what they go on from, or not. */
  | { readonly what: 'writes'; readonly as: 'content' | 'reasoning'; readonly repeats: boolean }
  | { readonly what: 'completes'; readonly filtered: boolean; readonly usedUpForMs?: number }
  | { readonly what: 'fails'; readonly failure: Failure; readonly delivered: Exclude<Delivered, 'nothing'> }
);

const BEFORE_TOKEN = [
  'invalid_request',
  'unsupported',
  'context_length',
  'content_filter',
  'auth',
  'permission',
  'quota',
  'not_found',
  'rate_limited',
  'overloaded',
  'server_error',
  'server_error',
  'network',
  'network',
  'bad_response',
  'stream_cut',
  'empty_answer',
  'invalid_output',
] as const satisfies readonly FailureClass[];
const AFTER_TOKEN = ['stream_cut', 'stream_error', 'bad_response', 'network', 'content_filter'] as const;
/** What an outage looks like. */
const OUTAGES = [
  'server_error',
  'network',
  'overloaded',
  'rate_limited',
  'auth',
  'quota',
  'not_found',
  'empty_answer',
] as const;
const NAMED_MS = [0, 1, 400, 2_000, 2_000, 30_000, 3_600_000] as const;

/** @param temper of the world: how often a mood is a good one (0 to 1), and whether storms of 400s blow. */
export function drawMood(
  draw: Draw,
  nowMs: number,
  temper: { readonly good: number; readonly isStormy: boolean },
): Mood {
  if (temper.isStormy && draw.chance(0.5))
    return { what: 'storm', code: draw.pick(['BadRequest', 'BadRequest', 'other']) };
  if (draw.chance(temper.good)) return { what: 'well' };
  return draw.pick<() => Mood>([
    () => ({ what: 'flaky', ratio: draw.pick([0.05, 0.3, 0.7]) }),
    () => ({ what: 'down', failsWith: draw.pick(OUTAGES) }),
    () => ({ what: 'down', failsWith: draw.pick(OUTAGES) }),
    () => ({ what: 'hangs' }),
    () => ({ what: 'slow', by: draw.pick([3, 30, 1_000]) }),
    () => ({ what: 'limited', untilMs: nowMs + draw.pick(NAMED_MS) }),
    () => ({ what: 'used up', forMs: draw.pick([1, 500, 5_000]) }),
    () => ({ what: 'breaks' }),
    () => ({ what: 'chaos' }),
  ])();
}

/** @param usualMs about how long the model takes to say something. */
export function drawScript(mood: Mood, usualMs: number, nowMs: number, draw: Draw): Step[] {
  switch (mood.what) {
    case 'well':
      return answers(usualMs, draw);
    case 'flaky':
      return draw.chance(mood.ratio) ? fails(draw.pick(BEFORE_TOKEN), usualMs, draw) : answers(usualMs, draw);
    case 'down':
      return fails(mood.failsWith, usualMs, draw);
    case 'hangs':
      return draw.chance(0.8) ? [] : answers(usualMs, draw).slice(0, 1);
    case 'slow':
      return answers(usualMs * mood.by, draw);
    case 'limited':
      return nowMs < mood.untilMs ? fails('rate_limited', 1, draw, mood.untilMs - nowMs) : answers(usualMs, draw);
    case 'used up':
      return answers(usualMs, draw, mood.forMs);
    case 'breaks':
      return breaks(usualMs, draw);
    case 'storm':
      return draw.chance(0.97) ? storms(mood.code, draw) : answers(usualMs, draw);
    case 'chaos':
      return draw.pick([
        () => fails(draw.pick(BEFORE_TOKEN), usualMs, draw),
        () => answers(usualMs, draw),
        () => breaks(usualMs, draw),
        () => [],
      ])();
    default:
      return mood satisfies never;
  }
}

function answers(usualMs: number, draw: Draw, usedUpForMs?: number): Step[] {
  const completes = {
    what: 'completes' as const,
    filtered: draw.chance(0.03),
    ...(usedUpForMs !== undefined && { usedUpForMs }),
  };
  if (draw.chance(0.1)) {
    const holds = { afterMs: draw.about(usualMs), what: 'holds' as const };
    return [holds, { ...writes(draw.about(usualMs), draw) }, { afterMs: 0, ...completes }];
  }
  return [...words(usualMs, draw), { afterMs: draw.about(usualMs), ...completes }];
}

function words(usualMs: number, draw: Draw): Step[] {
  return Array.from({ length: draw.whole(1, 3) }, () => writes(draw.about(usualMs), draw));
}

function writes(afterMs: number, draw: Draw): Step {
  return { afterMs, what: 'writes', as: draw.chance(0.15) ? 'reasoning' : 'content', repeats: draw.chance(0.7) };
}

function breaks(usualMs: number, draw: Draw): Step[] {
  const held: Step[] = draw.chance(0.15) ? [{ afterMs: draw.about(usualMs), what: 'holds' }] : [];
  const spoken = held.length > 0 && draw.chance(0.5) ? held : [...held, ...words(usualMs, draw)];
  // A silent half: its time limits end it.
  if (draw.chance(0.2)) return spoken;
  const failure = failureOf(draw.pick(AFTER_TOKEN), draw);
  const delivered = draw.chance(0.15) ? ('unresumable' as const) : ('text' as const);
  return [...spoken, { afterMs: draw.about(usualMs), what: 'fails', failure, delivered }];
}

function fails(failureClass: FailureClass, usualMs: number, draw: Draw, retryAfterMs?: number): Step[] {
  const failure = failureOf(failureClass, draw);
  const named = retryAfterMs ?? draw.maybe(0.25, () => draw.pick(NAMED_MS));
  const step = { afterMs: draw.about(draw.pick([0, 1, usualMs])), what: 'fails' as const, delivered: 'text' as const };
  return [{ ...step, failure: { ...failure, ...(named !== undefined && { retryAfterMs: named }) } }];
}

function storms(code: string, draw: Draw): Step[] {
  const error = { message: 'bad', type: null, code, param: null };
  const failure: Failure = { class: 'invalid_request', status: draw.pick([400, 400, 422]), error, restScope: 'none' };
  return [{ afterMs: draw.about(5), what: 'fails', failure, delivered: 'text' }];
}

function failureOf(failureClass: FailureClass, draw: Draw): Failure {
  const error = { message: failureClass, type: null, code: draw.pick([null, failureClass]), param: null };
  const status = draw.maybe(0.7, () => draw.pick([400, 401, 429, 500, 503]));
  return {
    class: failureClass,
    error,
    restScope: restScopeOf(failureClass, draw),
    ...(status !== undefined && { status }),
    ...(draw.chance(0.05) && { neverRetry: true }),
  };
}

function restScopeOf(failureClass: FailureClass, draw: Draw): RestScope {
  switch (failureClass) {
    case 'auth':
    case 'permission':
    case 'quota':
      return draw.chance(0.7) ? 'provider' : 'model';
    case 'not_found':
    case 'overloaded':
      return 'model';
    case 'rate_limited':
      return draw.chance(0.9) ? 'model' : 'none';
    default:
      return 'none';
  }
}
