/**
 * What a simulation says: one scenario, several policies side by side. Plain data, the same bytes for the same seed; the
 * table, the page and `--json` are made of it.
 */

export interface ScenarioReport {
  readonly scenario: string;
  /** One sentence: what happens in it. */
  readonly about: string;
  readonly seed: number;
  /** Simulated time, ms. */
  readonly spanMs: number;
  readonly requests: number;
  readonly replicas: number;
  /** Replicas know what any of them learnt. */
  readonly sharedState: boolean;
  /** In the order of the chain. */
  readonly models: readonly string[];
  /** When which model was down (it answered fewer than half of what it was asked, or hung). */
  readonly outages: readonly Outage[];
  readonly policies: readonly PolicyReport[];
  /** Length of one step of the timelines, ms. */
  readonly stepMs: number;
}

export interface Outage {
  readonly model: string;
  readonly fromMs: number;
  /** Null: until the end. */
  readonly toMs: number | null;
}

export type PolicyName = 'first only' | 'plain loop' | 'fixed cooldown' | 'ours';

export interface PolicyReport {
  readonly policy: PolicyName;
  readonly requests: number;
  readonly answered: number;
  /** answered / requests, 0 to 1. */
  readonly availability: number;
  /** Until the answer (a stream's first token), of the requests that were answered; ms. */
  readonly waitMs: Spread;
  /** Until the error, of the requests that were not; ms. */
  readonly refusalMs: Spread;
  readonly attempts: number;
  readonly attemptsPerRequest: number;
  /** Attempts per request, of those that came while every model was down, after the first breaker window; null: none did. */
  readonly attemptsPerRequestInOutage: number | null;
  /** Until the error, of the same requests; ms. */
  readonly refusalMsInOutage: Spread | null;
  /** Retries: attempts at a model that the request had asked before, by all attempts; 0 to 1. */
  readonly retryShare: number;
  readonly costUsd: number;
  /** In the order of the chain. */
  readonly models: readonly ModelLoad[];
  /** One per outage of the report that ends within the simulation, in its order. */
  readonly recoveries: readonly Recovery[];
  readonly timeline: Timeline;
}

/** 0 where there is nothing to measure. */
export interface Spread {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

export interface ModelLoad {
  readonly model: string;
  readonly attempts: number;
  readonly answered: number;
  /** Share of all answers, 0 to 1. */
  readonly share: number;
  /** Attempts while it was down. */
  readonly attemptsWhileDown: number;
  /** Attempts per second while it was down, by its attempts per second otherwise; null where it was never down. */
  readonly loadWhileDown: number | null;
}

export interface Recovery {
  readonly model: string;
  /** From the model's recovery until a request came that it answered; null: none did within the hour. */
  readonly usedAgainMs: number | null;
  /** Until its share of the last 20 answers is nine tenths of what it was before. */
  readonly backMs: number | null;
  /** Until a request came from which on 19 of 20 were answered, by whomever. */
  readonly answeredAgainMs: number | null;
  /** Most attempts on it within one second of the minute after its recovery, by the requests of a usual second. */
  readonly peak: number;
}

/** One number per step of the simulation. */
export interface Timeline {
  readonly requests: readonly number[];
  readonly answered: readonly number[];
  /** p99 of the wait of what was answered, ms; 0 where nothing was. */
  readonly waitP99Ms: readonly number[];
  /** Per model, in the order of the chain. */
  readonly attempts: readonly (readonly number[])[];
}
