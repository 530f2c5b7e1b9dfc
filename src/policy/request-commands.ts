/**
 * What the driver tells the request machine, and what the machine tells it to do.
 */
import type { LastFailed } from './asked-models.js';
import type { Delivered, Failure, FailureClass } from './failure.js';
import type { ContinuationWay } from './plan.js';
import type { AttemptId, Verdict } from './verdict.js';

/** `overtake`: beside a model that is silent. `hedge`: beside one that is slower than usual. `continuation`: goes on with a stream that broke. */
export type AttemptKind = 'first' | 'retry' | 'fallback' | 'overtake' | 'hedge' | 'continuation';

/** Time limits of one attempt in ms; what is left until the deadline has already shortened them. */
export interface AttemptLimits {
  readonly answerMs: number;
  readonly idleMs: number;
  readonly totalMs: number;
}

/** How a broken stream is gone on with. */
export interface Resume {
  /** `afresh`: only reasoning was delivered, so the answer begins anew in the same stream. */
  readonly how: 'continue' | 'afresh';
  readonly way: ContinuationWay;
  /** What does not repeat the words asked for is a `bad_response`: another model is left that may. */
  readonly mustProve: boolean;
  /** Who wrote what the caller holds, and how that ended. */
  readonly from: LastFailed;
}

export type Input =
  | { readonly type: 'started' }
  /** The moment that the last step asked for has come. */
  | { readonly type: 'woke' }
  /** The caller left, or the process does. */
  | { readonly type: 'cancelled'; readonly because?: 'shut-down' }
  /** `held`: it has spoken, but nothing may go out yet (tool calls, a seam that is not proven). */
  | { readonly type: 'first-token'; readonly attempt: AttemptId; readonly held: boolean }
  | { readonly type: 'completed'; readonly attempt: AttemptId }
  | {
      readonly type: 'failed';
      readonly attempt: AttemptId;
      readonly failure: Failure;
      /** Of what was committed. */
      readonly delivered: Delivered;
    };

export type Command =
  | {
      readonly type: 'attempt';
      readonly attempt: AttemptId;
      readonly model: string;
      readonly kind: AttemptKind;
      /** Whom it takes over from, and why. */
      readonly from?: LastFailed;
      readonly resume?: Resume;
      /** Every model rests or is open, and this one is tried all the same: the driver tells the board. */
      readonly unlikely: boolean;
      /** A retry or a hedge: the driver pays for it from the retry budget. */
      readonly costs: boolean;
      readonly limits: AttemptLimits;
    }
  /** Wake this request when one of these models has a place free. */
  | { readonly type: 'queue'; readonly models: readonly string[] }
  /** It comes back to this model at this turn: the next one is another's. */
  | { readonly type: 'take turn'; readonly model: string; readonly turnMs: number }
  /** Abort it; it is booked under this class. `beaten`: another was faster. */
  | { readonly type: 'cancel'; readonly attempt: AttemptId; readonly as: FailureClass; readonly beaten?: true }
  /** Its bytes go to the caller from now on; nothing can be taken back. */
  | { readonly type: 'commit'; readonly attempt: AttemptId }
  | { readonly type: 'finish'; readonly verdict: Verdict };

export interface Step {
  readonly commands: readonly Command[];
  /** Monotonic; absent: nothing to wake for. The next step replaces it. */
  readonly wakeAtMs?: number;
}
