/**
 * What the bench tells its own child processes over IPC, and what they answer: one order, one report, in turn.
 */
import type { BodySize, Route } from './wire.ts';

export interface WorkOrder {
  readonly requests: number;
  /** Requests, or streams, under way at once. */
  readonly concurrency: number;
  /** The rest is for the load alone; an in-process caller knows what it calls. */
  readonly url: string;
  /** A chain's name. */
  readonly model: string;
  readonly size: BodySize;
  /** Events that each stream must have, `[DONE]` included; 0: not a stream. */
  readonly eventsPerStream: number;
}

export interface WorkReport {
  readonly done: number;
  readonly failed: number;
  /** The first thing that was not as expected. */
  readonly firstFault?: string;
}

export interface UpstreamCounts {
  readonly calls: Readonly<Record<Route, number>>;
  /** The most streams that were open at once. */
  readonly openAtOnce: number;
}

/** The outage begins to be played at this moment, on the clock that all processes share. */
export interface BeginOrder {
  readonly beginEpochMs: number;
}

/** Moment from the beginning (ms), model (place in the chain), whether it was down, whether it was a retry, request. */
export const ATTEMPT_FIELDS = 5;
/** Request, moment at which it was sent, wait until its first token or its error (ms), who answered (-1: nobody), status. */
export const ANSWER_FIELDS = 5;

export interface AnswersReport {
  readonly answers: readonly number[];
  /** How long a bare request took meanwhile, that no gateway saw; ms. */
  readonly bareMs: readonly number[];
  readonly firstFault?: string;
}

export interface Dialogues {
  /** With the load and with the in-process callers. */
  readonly work: { readonly order: WorkOrder; readonly report: WorkReport };
  /** With the upstream: what it was asked since the last time. */
  readonly count: { readonly order: 'count'; readonly report: UpstreamCounts };
  /** With the models and the callers of the outage; nobody waits for its end. */
  readonly begin: { readonly order: BeginOrder; readonly report: 'begun' };
  /** With the models of the outage: what they were asked, `ATTEMPT_FIELDS` numbers each. */
  readonly attempts: { readonly order: 'attempts'; readonly report: readonly number[] };
  /** With the callers of the outage: what they got, `ANSWER_FIELDS` numbers each, once all have been answered. */
  readonly answers: { readonly order: 'answers'; readonly report: AnswersReport };
}
export type Order<K extends keyof Dialogues> = Dialogues[K]['order'];
export type Report<K extends keyof Dialogues> = Dialogues[K]['report'];

/** Runs `carryOut` for each order that the parent sends, and ends this process when the parent is gone. */
export function serveOrders<K extends keyof Dialogues>(carryOut: (order: Order<K>) => Promise<Report<K>>): void {
  process.on('message', (order: Order<K>) => {
    carryOut(order).then(
      (report) => process.send?.(report),
      (error: unknown) => {
        console.error(error);
        process.exit(1);
      },
    );
  });
  endWithParent();
}

/** For children with a channel to the parent, also where it was killed and could not say goodbye. */
export function endWithParent(): void {
  process.on('disconnect', () => process.exit(0));
  // A profile is written on a proper exit only.
  process.on('SIGTERM', () => process.exit(0));
}
