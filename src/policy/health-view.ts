/**
 * What the decision may know of the models' health: read, never changed, by the request machine. The board in `chain/`
 * keeps it; a simulation keeps its own.
 */
import type { FailureClass } from './failure.js';

export type Availability =
  | { readonly state: 'usable' }
  | {
      readonly state: 'resting';
      /** Monotonic moment from which the model counts as untested again. */
      readonly untilMs: number;
      readonly reason: FailureClass;
      /** The provider named the time: it is waited for, never probed into. */
      readonly named: boolean;
    };

export interface HealthView {
  availability(model: string, nowMs: number): Availability;
  /**
   * Whether a model that rests may be tried all the same, because every model of the chain does.
   * One request at a time and at most one a second, so that a total outage is not hammered.
   */
  mayTryResting(chain: string, nowMs: number): boolean;
  /** The model's own usual time to first token (its p95), ms; undefined while too little is known. */
  usualTtftMs(model: string): number | undefined;
  /** The model once refused to go on in the way that the configuration names. */
  refusesToContinue(model: string): boolean;
}
