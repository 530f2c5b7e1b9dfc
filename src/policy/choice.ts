/**
 * Who could be asked at one moment, and who of them first: the chain's order, what this request has learnt, and how the
 * models are doing for everyone. Computes; the request machine decides.
 */
import type { AskedModels } from './asked-models.js';
import { traitsOf } from './failure.js';
import type { Availability, HealthView } from './health-view.js';
import type { PlannedModel, RequestPlan } from './plan.js';

export interface Moment {
  readonly health: HealthView;
  readonly nowMs: number;
  /** When the request began, or its stream broke last. */
  readonly clockStartMs: number;
  /** The caller holds a text: only models that can go on with one. */
  readonly mustContinue: boolean;
}

export interface Seen {
  readonly model: PlannedModel;
  readonly availability: Availability;
}

/** When a request comes back to a model that rests, and which of the turns there it takes for that. */
export interface Turn {
  readonly atMs: number;
  readonly taken?: { readonly model: string; readonly turnMs: number };
}

/** Chance in the moment of coming back, by the time that was waited. */
const TURN_JITTER = 0.1;
/** No model answers faster; of a shorter deadline, a hundredth. */
const LEAST_ATTEMPT_MS = 10;

export class Choice {
  readonly #plan: RequestPlan;
  readonly #asked: AskedModels;
  readonly #random: () => number;
  /** Decides once for the whole request whether it is among the first that come back to a ramping model. */
  readonly #lot: number;

  constructor(plan: RequestPlan, asked: AskedModels, random: () => number) {
    this.#plan = plan;
    this.#asked = asked;
    this.#random = random;
    this.#lot = random();
  }

  /**
   * Whom this request has not asked and can ask now: of the first entry of the chain that has one, one of two drawn by
   * lot, the one with less to do. A model that is ramping gets what its share does not allow only where nobody else can.
   * Source: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001.
   */
  firstFresh(moment: Moment): PlannedModel | undefined {
    let ramping: PlannedModel | undefined;
    let equals: PlannedModel[] | undefined;
    for (const model of this.#plan.models) {
      if (equals?.[0] && equals[0].entry !== model.entry) break;
      if (this.#asked.has(model) || !this.isEligible(model, moment) || this.isTooLateFor(model, moment)) continue;
      const { state } = this.availability(model, moment);
      if (state === 'ramping') ramping ??= model;
      if (state !== 'usable') continue;
      if (equals) equals.push(model);
      else equals = [model];
    }
    return equals ? this.#lessLoaded(equals, moment) : ramping;
  }

  /** Untried models that are full, but where this request may wait for a place. */
  queues(moment: Moment): string[] {
    return this.#untried(moment)
      .filter(({ availability }) => availability.state === 'full' && availability.hasRoom)
      .map(({ model }) => model.name);
  }

  /** The model to come back to, of those that may be asked again now: the one asked least often. */
  again(moment: Moment): PlannedModel | undefined {
    return this.#asked.leastAsked(
      this.#retryable(moment)
        .filter((c) => isOpen(c.availability) && !this.isTooLateFor(c.model, moment))
        .map((c) => c.model),
    );
  }

  /** Whether this model can be asked now, which stands apart from whether it may be. */
  canAsk(model: PlannedModel, moment: Moment): boolean {
    return isOpen(this.availability(model, moment)) && !this.isTooLateFor(model, moment);
  }

  /** The untried model whose rest, or open time, ends soonest, of those that may be tried all the same. */
  likeliest(moment: Moment): PlannedModel | undefined {
    const down = this.#untried(moment).filter((c) => mayBeTriedAllTheSame(c.availability));
    return soonest(down.filter((c) => !isFull(c.availability) && !this.isTooLateFor(c.model, moment)))?.model;
  }

  /**
   * When this request comes back to the first model that is usable again, worth waiting for, and in time; undefined: none
   * is. One that is open is not: who waited for it would come back with all the others that do, and be told much later what
   * can be said now.
   */
  nextTurn(moment: Moment): Turn | undefined {
    const named = this.#untried(moment).filter((c) => isWorthWaiting(c.availability));
    const again = this.#retryable(moment).filter((c) => c.availability.state === 'resting');
    const inTime = [...named, ...again].filter(({ model, availability }) => {
      return !this.isTooLateFor(model, { ...moment, nowMs: restEndMs(availability, moment.nowMs) });
    });
    const first = soonest(inTime);
    return first && this.#turnAt(first, moment);
  }

  /** A little after its turn, by chance: other replicas were told of the same end. Where that is too late, any moment before. */
  #turnAt({ model, availability }: Seen, { health, nowMs, clockStartMs }: Moment): Turn {
    const endMs = restEndMs(availability, nowMs);
    const turnMs = health.nextTurnMs(model.name, this.#plan.chain, endMs);
    const atMs = turnMs + this.#random() * TURN_JITTER * (endMs - nowMs);
    const latestMs = clockStartMs + lastAskMs(this.deadlineMsOf(model));
    if (atMs < latestMs) return { atMs, taken: { model: model.name, turnMs } };
    return { atMs: endMs + this.#random() * (latestMs - endMs) };
  }

  /** Untried models that could be asked now, beside this one: what of the time must be kept for. */
  later(model: PlannedModel, moment: Moment): PlannedModel[] {
    return this.#untried(moment)
      .filter((c) => c.model !== model && isOpen(c.availability))
      .map((c) => c.model);
  }

  canPay({ health }: Moment): boolean {
    return health.canPayRetry(this.#plan.chain);
  }

  availability(model: PlannedModel, { health, nowMs }: Moment): Availability {
    return health.availability(model.name, nowMs, this.#lot);
  }

  isEligible(model: PlannedModel, { mustContinue }: Moment): boolean {
    return this.#asked.isEligible(model) && !(mustContinue && model.continuation === 'none');
  }

  /** Timers round: a model asked in the last moment before the deadline could only waste the call. */
  isTooLate({ nowMs, clockStartMs }: Moment): boolean {
    return nowMs >= clockStartMs + lastAskMs(this.#plan.deadlineMs);
  }

  /** Nor is a model asked with less time left than it has ever needed. Its own deadline only shortens. */
  isTooLateFor(model: PlannedModel, { health, nowMs, clockStartMs }: Moment): boolean {
    const leastMs = health.leastAnswerMs(model.name, this.#plan.streaming, nowMs) ?? 0;
    const deadlineMs = this.deadlineMsOf(model);
    return nowMs >= clockStartMs + Math.min(deadlineMs - leastMs, lastAskMs(deadlineMs));
  }

  /** From the start of the clock. */
  deadlineMsOf(model: PlannedModel): number {
    return Math.min(this.#plan.deadlineMs, model.policy.deadlineMs);
  }

  #untried(moment: Moment): Seen[] {
    return this.#seen(moment).filter((c) => !this.#asked.has(c.model));
  }

  #retryable(moment: Moment): Seen[] {
    return this.canPay(moment) ? this.#seen(moment).filter((c) => this.#asked.mayRetry(c.model)) : [];
  }

  #seen(moment: Moment): Seen[] {
    return this.#plan.models
      .filter((model) => this.isEligible(model, moment))
      .map((model) => ({ model, availability: this.availability(model, moment) }));
  }

  #lessLoaded(equals: readonly PlannedModel[], { health, nowMs }: Moment): PlannedModel | undefined {
    if (equals.length === 1) return equals[0];
    const first = Math.floor(this.#random() * equals.length);
    const second = (first + 1 + Math.floor(this.#random() * (equals.length - 1))) % equals.length;
    const [a, b] = [equals[first], equals[second]];
    return a && b && health.load(b.name, nowMs) < health.load(a.name, nowMs) ? b : a;
  }
}

/** The last moment in which asking makes sense, ms from the start of the clock. */
function lastAskMs(deadlineMs: number): number {
  return deadlineMs - Math.min(LEAST_ATTEMPT_MS, deadlineMs / 100);
}

/** Whether it may be asked, if need be beyond the share of a ramping one. */
function isOpen(availability: Availability): boolean {
  return availability.state === 'usable' || availability.state === 'ramping';
}

/** Never one whose provider named the time, nor one that no repetition can mend, nor one with more than enough to do. */
function mayBeTriedAllTheSame(availability: Availability): boolean {
  if (availability.state === 'open') return true;
  return (
    availability.state === 'resting' &&
    !availability.named &&
    (availability.reason === 'rate_limited' || traitsOf(availability.reason).hurtsHealth)
  );
}

function isFull(availability: Availability): boolean {
  return availability.state === 'full' || 'isFull' in availability;
}

/** What may be tried all the same is not waited for. */
function isWorthWaiting(availability: Availability): boolean {
  return availability.state === 'resting' && !mayBeTriedAllTheSame(availability);
}

/** @returns the moment from which it may be asked; now, where nothing stands against it. */
export function restEndMs(availability: Availability, nowMs: number): number {
  return 'untilMs' in availability ? availability.untilMs : nowMs;
}

function soonest(seen: readonly Seen[]): Seen | undefined {
  return seen.reduce<Seen | undefined>(
    (best, c) => (best && restEndMs(best.availability, 0) <= restEndMs(c.availability, 0) ? best : c),
    undefined,
  );
}
