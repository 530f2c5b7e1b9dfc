/**
 * What the decision may know of the models' health: read, never changed, by the request machine. The board in `chain/`
 * keeps it, in production and in the simulator alike.
 */
import type { FailureClass } from './failure.js';
import type { Policy } from './policy.js';

export type Availability =
  | { readonly state: 'usable' }
  /** Back after an outage, it takes a growing share of the requests; this one is not among them yet. */
  | { readonly state: 'ramping' }
  /** As many attempts as it takes are under way; `hasRoom`: another request may wait for a place. */
  | { readonly state: 'full'; readonly hasRoom: boolean; readonly untilMs: number }
  | {
      readonly state: 'resting';
      /** Monotonic moment from which the model counts as untested again. */
      readonly untilMs: number;
      readonly reason: FailureClass;
      /** The provider named the time: it is waited for, never probed into. */
      readonly named: boolean;
      /** As many attempts as it takes are under way all the same. */
      readonly isFull?: true;
    }
  /** Its breaker is open, or half-open with its trial under way. */
  | { readonly state: 'open'; readonly untilMs: number; readonly isFull?: true };

export interface HealthView {
  /** @param lot uniform in [0, 1), one per request: decides who comes first while a model is ramping. */
  availability(model: string, nowMs: number, lot: number): Availability;
  /**
   * Whether a model that rests or is open may be tried all the same, because every model of the chain is.
   * One request at a time and at most one a second, so that a total outage is not hammered.
   */
  mayTryUnlikely(chain: string, nowMs: number): boolean;
  /** A retry or a hedge of this chain can be paid. */
  canPayRetry(chain: string): boolean;
  /** So few requests have been hedged lately that another may be. */
  mayHedge(chain: string, maxShare: number): boolean;
  /** The next turn of those who wait for this model, for a request of this chain that may come back from `fromMs` on. */
  nextTurnMs(model: string, chain: string, fromMs: number): number;
  /** The smaller, the better a choice among equals: outstanding attempts, times its latency, per weight. */
  load(model: string, nowMs: number): number;
  /** The model's own usual time to first token (its p95), ms; undefined while too little is known. */
  usualTtftMs(model: string): number | undefined;
  /** How long its answers usually take (p95), ms; of a stream, its first token. */
  usualAnswerMs(model: string, streaming: boolean): number | undefined;
  /** Hardly any of its latest answers was faster than this, ms; of a stream, its first token. Undefined: they are long ago. */
  leastAnswerMs(model: string, streaming: boolean, nowMs: number): number | undefined;
  /** When a second model is started beside it, ms after its start. */
  hedgeAfterMs(model: string, streaming: boolean, hedge: Policy['hedge']): number | undefined;
  /** The model once refused to go on in the way that the configuration names. */
  refusesToContinue(model: string): boolean;
}
