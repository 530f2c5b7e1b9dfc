/**
 * How a request can end, and which of these it is where no model answered.
 */
import { type Failure, traitsOf } from './failure.js';
import type { AskedModels } from './asked-models.js';
import type { Availability } from './health-view.js';
import type { PlannedModel, RequestPlan } from './plan.js';

/** Counts from 0 within one request. */
export type AttemptId = number;

export type Verdict =
  | { readonly type: 'answered'; readonly attempt: AttemptId }
  /** The caller's own fault: the upstream's 4xx is the answer. */
  | { readonly type: 'rejected'; readonly failure: Failure }
  /** No model answered. `retryAfterMs`: when the first of them may be usable again. */
  | { readonly type: 'exhausted'; readonly because: ExhaustedReason; readonly retryAfterMs?: number }
  /** The stream broke in the caller's hands, and nobody could go on. */
  | { readonly type: 'broken'; readonly failure: Failure; readonly why: BrokenReason }
  | { readonly type: 'cancelled' }
  /** The process ends, and could not wait for the rest. */
  | { readonly type: 'shut-down' };

/** `down`: nobody was asked, since every model is known to be down; or what was left of them had too much to do. */
export type ExhaustedReason = 'failed' | 'rate_limited' | 'timed_out' | 'down';

/**
 * `unresumable`: what was delivered (tool calls, JSON, several choices) cannot be gone on from; `switched-off`:
 * `stream.onBreak: error`; `filtered`: what was filtered is not for another model; `nobody-left`: no model could.
 */
export type BrokenReason = 'unresumable' | 'switched-off' | 'filtered' | 'nobody-left';

/** @param isTimeUp the deadline has passed. */
export function verdictWithoutAnswer(
  plan: RequestPlan,
  asked: AskedModels,
  seen: (model: PlannedModel) => Availability,
  nowMs: number,
  isTimeUp: boolean,
): Verdict {
  const last = asked.failures.at(-1);
  if (last && asked.failures.every((f) => traitsOf(f.class).callersFault === 'alone')) {
    return { type: 'rejected', failure: last };
  }
  const rests = plan.models.map(seen);
  const untilMs = Math.min(...rests.map((rest) => ('untilMs' in rest ? rest.untilMs : Infinity)));
  return {
    type: 'exhausted',
    because: isTimeUp ? 'timed_out' : exhaustedReason(plan, asked, rests),
    ...(Number.isFinite(untilMs) && { retryAfterMs: Math.max(0, untilMs - nowMs) }),
  };
}

function exhaustedReason(plan: RequestPlan, asked: AskedModels, rests: readonly Availability[]): ExhaustedReason {
  const untried = rests.filter((_, i) => !asked.has(plan.models[i]!));
  // What did not fit anywhere was shed: the caller may come back, whatever else has failed.
  if (untried.some((rest) => rest.state === 'full')) return 'down';
  const resting = untried.flatMap((rest) => ('reason' in rest ? [rest.reason] : rest.state === 'open' ? ['open'] : []));
  const classes: string[] = [...asked.failures.map((failure) => failure.class), ...resting];
  if (classes.length > 0 && classes.every((c) => c === 'rate_limited')) return 'rate_limited';
  if (asked.failures.length === 0) return 'down';
  return asked.failures.every((f) => f.class === 'timeout_ttft' || f.class === 'timeout_total')
    ? 'timed_out'
    : 'failed';
}
