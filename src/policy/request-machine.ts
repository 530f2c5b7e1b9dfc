/**
 * One request, from its start to its one verdict: the only place that decides who is asked, when, and when to give up.
 *
 * Theory of operation. The driver feeds inputs (an attempt spoke, failed, completed; the clock reached the moment
 * asked for; the caller left) and carries out the commands that come back, in the same synchronous turn. The machine
 * reads no clock, draws no chance of its own and touches no byte; what it knows of the models' health it reads from a
 * HealthView, which has already recorded a failure when the machine hears of it.
 *
 *   new ── started ──> asking ── first token ──> streaming ── completed, failed ──> finished
 *                      │    ▲                                                          ▲
 *                      │    └── woke ── waiting (backoff, or a rest that ends) ◀── failed
 *                      └───────── completed, nobody left to ask, deadline, cancelled ──┘
 *
 * After a failure, in this order: the caller's own fault ends it; the same model again where `retrySameModel` says
 * so; the first untried model that is usable, at once; a retry, after a wait with full jitter, rotating over the
 * models; a rest that ends before the deadline is waited for. Where every model rests, one request a second may try
 * the one whose rest ends soonest. At most models + maxRetries attempts, none at or after the deadline.
 */
import { backoffMs } from './backoff.js';
import { type Failure, type FailureClass, traitsOf } from './failure.js';
import type { Availability, HealthView } from './health-view.js';
import type { PlannedModel, RequestPlan } from './plan.js';

/** Counts from 0 within one request. */
export type AttemptId = number;
export type AttemptKind = 'first' | 'retry' | 'fallback';

/** Time limits of one attempt in ms; what is left until the deadline has already shortened them. */
export interface AttemptLimits {
  readonly answerMs: number;
  readonly idleMs: number;
  readonly totalMs: number;
}

export type Input =
  | { readonly type: 'started' }
  /** The moment that the last step asked for has come. */
  | { readonly type: 'woke' }
  /** The caller left, or the process does. */
  | { readonly type: 'cancelled'; readonly because?: 'shut-down' }
  | { readonly type: 'first-token'; readonly attempt: AttemptId }
  | { readonly type: 'completed'; readonly attempt: AttemptId }
  | { readonly type: 'failed'; readonly attempt: AttemptId; readonly failure: Failure };

export type Command =
  | {
      readonly type: 'attempt';
      readonly attempt: AttemptId;
      readonly model: string;
      readonly kind: AttemptKind;
      /** A fallback: the model that failed last, and why. */
      readonly from?: { readonly model: string; readonly reason: FailureClass };
      /** Every model rests, and this one is tried all the same: the driver tells the board. */
      readonly whileResting: boolean;
      readonly limits: AttemptLimits;
    }
  /** Abort it; it is booked under this class. */
  | { readonly type: 'cancel'; readonly attempt: AttemptId; readonly as: FailureClass }
  /** Its bytes go to the caller from now on; nothing can be taken back. */
  | { readonly type: 'commit'; readonly attempt: AttemptId }
  | { readonly type: 'finish'; readonly verdict: Verdict };

export type Verdict =
  | { readonly type: 'answered'; readonly attempt: AttemptId }
  /** The caller's own fault: the upstream's 4xx is the answer. */
  | { readonly type: 'rejected'; readonly failure: Failure }
  /** No model answered. `retryAfterMs`: when the first of them may be usable again. */
  | { readonly type: 'exhausted'; readonly because: ExhaustedReason; readonly retryAfterMs?: number }
  /** The stream broke in the caller's hands. */
  | { readonly type: 'broken'; readonly failure: Failure }
  | { readonly type: 'cancelled' }
  /** The process ends, and could not wait for the rest. */
  | { readonly type: 'shut-down' };

/** `down`: nobody was asked, since every model is known to be down. */
export type ExhaustedReason = 'failed' | 'rate_limited' | 'timed_out' | 'down';

export interface Step {
  readonly commands: readonly Command[];
  /** Monotonic; absent: nothing to wake for. The next step replaces it. */
  readonly wakeAtMs?: number;
}

interface Asked {
  attempts: number;
  sameModelRetries: number;
  lastFailure?: Failure;
}

type State =
  | { readonly phase: 'new' }
  | { readonly phase: 'asking'; readonly attempt: AttemptId; readonly model: PlannedModel }
  /** `model`: only this one is waited for (`retrySameModel`). */
  | { readonly phase: 'waiting'; readonly untilMs: number; readonly model?: PlannedModel }
  | { readonly phase: 'streaming'; readonly attempt: AttemptId; readonly model: PlannedModel }
  | { readonly phase: 'finished' };

/** No model answers faster; of a shorter deadline, a hundredth. */
const LEAST_ATTEMPT_MS = 10;

const NOTHING: Step = { commands: [] };

export class RequestMachine {
  readonly #plan: RequestPlan;
  readonly #random: () => number;
  readonly #asked = new Map<PlannedModel, Asked>();
  readonly #excludedProviders = new Set<string>();
  readonly #excludedModels = new Set<PlannedModel>();
  readonly #failures: Failure[] = [];
  #state: State = { phase: 'new' };
  #deadlineAtMs = 0;
  #nextAttempt: AttemptId = 0;
  #retries = 0;
  /** Only a model whose window is larger (or unknown) may still be asked. */
  #windowAbove = 0;
  #lastFailed: { readonly model: string; readonly reason: FailureClass } | undefined;

  /** @param random uniform in [0, 1): spreads the waits of retries. */
  constructor(plan: RequestPlan, random: () => number) {
    this.#plan = plan;
    this.#random = random;
  }

  /** @param nowMs monotonic. */
  next(input: Input, health: HealthView, nowMs: number): Step {
    switch (input.type) {
      case 'started':
        return this.#start(health, nowMs);
      case 'woke':
        return this.#wake(health, nowMs);
      case 'cancelled':
        return this.#leave(input.because ?? 'cancelled');
      case 'first-token':
        return this.#speak(input.attempt);
      case 'completed':
        return this.#complete(input.attempt);
      case 'failed':
        return this.#fail(input.attempt, input.failure, health, nowMs);
      default:
        return input satisfies never;
    }
  }

  #start(health: HealthView, nowMs: number): Step {
    if (this.#state.phase !== 'new') return NOTHING;
    this.#deadlineAtMs = nowMs + this.#plan.deadlineMs;
    return this.#askNext(health, nowMs, 'at once');
  }

  #wake(health: HealthView, nowMs: number): Step {
    const state = this.#state;
    if (state.phase === 'asking' && nowMs >= this.#deadlineAtMs) {
      const as = this.#plan.streaming ? 'timeout_ttft' : 'timeout_total';
      const cancel: Command = { type: 'cancel', attempt: state.attempt, as };
      return this.#finish({ type: 'exhausted', because: 'timed_out' }, cancel);
    }
    if (state.phase === 'asking') return { commands: [], wakeAtMs: this.#deadlineAtMs };
    if (state.phase !== 'waiting') return NOTHING;
    if (nowMs < state.untilMs) return { commands: [], wakeAtMs: state.untilMs };
    const { model } = state;
    if (model && !this.#isTooLate(nowMs) && health.availability(model.name, nowMs).state === 'usable') {
      this.#askedOf(model).sameModelRetries++;
      return this.#attempt(model, nowMs);
    }
    return this.#askNext(health, nowMs, 'has waited');
  }

  #leave(type: 'cancelled' | 'shut-down'): Step {
    const state = this.#state;
    if (state.phase === 'finished') return NOTHING;
    const isLive = state.phase === 'asking' || state.phase === 'streaming';
    const verdict: Verdict = { type };
    return isLive
      ? this.#finish(verdict, { type: 'cancel', attempt: state.attempt, as: 'cancelled' })
      : this.#finish(verdict);
  }

  #speak(attempt: AttemptId): Step {
    const state = this.#state;
    if (state.phase !== 'asking' || state.attempt !== attempt) return NOTHING;
    this.#state = { phase: 'streaming', attempt, model: state.model };
    return { commands: [{ type: 'commit', attempt }] };
  }

  #complete(attempt: AttemptId): Step {
    const state = this.#state;
    const isLive = state.phase === 'asking' || state.phase === 'streaming';
    return isLive && state.attempt === attempt ? this.#finish({ type: 'answered', attempt }) : NOTHING;
  }

  #fail(attempt: AttemptId, failure: Failure, health: HealthView, nowMs: number): Step {
    const state = this.#state;
    if ((state.phase !== 'asking' && state.phase !== 'streaming') || state.attempt !== attempt) return NOTHING;
    if (state.phase === 'streaming') return this.#finish({ type: 'broken', failure });
    const { model } = state;
    this.#note(model, failure);
    if (this.#endsHere(model, failure)) return this.#finish({ type: 'rejected', failure });
    return this.#retrySameModel(model, failure, health, nowMs) ?? this.#askNext(health, nowMs, 'at once');
  }

  #note(model: PlannedModel, failure: Failure): void {
    this.#failures.push(failure);
    this.#askedOf(model).lastFailure = failure;
    this.#lastFailed = { model: model.name, reason: failure.class };
    const { fallBack } = traitsOf(failure.class);
    if (fallBack === 'larger-window') this.#windowAbove = Math.max(this.#windowAbove, model.contextWindow ?? 0);
    if (fallBack === 'other-provider' && failure.restScope === 'provider') this.#excludedProviders.add(model.provider);
    if (fallBack === 'other-provider') this.#excludedModels.add(model);
  }

  /** Asking anyone else would only multiply the caller's mistake. */
  #endsHere(model: PlannedModel, failure: Failure): boolean {
    const { fallBack } = traitsOf(failure.class);
    return fallBack === 'never' || (fallBack === 'if-content-filter-next' && model.policy.onContentFilter === 'return');
  }

  #retrySameModel(model: PlannedModel, failure: Failure, health: HealthView, nowMs: number): Step | undefined {
    const { attempts, maxWaitMs } = model.policy.retrySameModel;
    const { retrySameModel } = traitsOf(failure.class);
    if (retrySameModel === 'never' || this.#askedOf(model).sameModelRetries >= attempts) return undefined;
    if (!this.#isEligible(model) || !this.#mayRetry(model)) return undefined;
    const rest = health.availability(model.name, nowMs);
    if (retrySameModel === 'after-short-rest' && !(rest.state === 'resting' && rest.named)) return undefined;
    const jitterMs =
      retrySameModel === 'after-short-rest' ? 0 : backoffMs(model.policy.backoff, this.#retries, this.#random);
    const untilMs = Math.max(nowMs + Math.min(jitterMs, maxWaitMs), restEndMs(rest, nowMs));
    return untilMs - nowMs <= maxWaitMs && untilMs < this.#deadlineAtMs ? this.#wait(untilMs, model) : undefined;
  }

  /** The heart: who is asked next, what is waited for, or that nobody is left. */
  #askNext(health: HealthView, nowMs: number, waited: 'at once' | 'has waited'): Step {
    if (this.#isTooLate(nowMs)) return this.#giveUp(health, nowMs);
    const candidates = this.#plan.models.filter((model) => this.#isEligible(model));
    const isUsable = (model: PlannedModel) => health.availability(model.name, nowMs).state === 'usable';
    const fresh = candidates.find((model) => !this.#asked.has(model) && isUsable(model));
    if (fresh) return this.#attempt(fresh, nowMs);

    const seen = candidates.map((model) => ({ model, availability: health.availability(model.name, nowMs) }));
    const again = seen.filter((c) => this.#asked.has(c.model) && this.#mayRetry(c.model));
    const usable = leastAsked(
      again.filter((c) => c.availability.state === 'usable').map((c) => c.model),
      this.#asked,
    );
    if (usable && waited === 'has waited') return this.#attempt(usable, nowMs);
    if (usable) {
      const untilMs = nowMs + backoffMs(usable.policy.backoff, this.#retries, this.#random);
      return untilMs < this.#deadlineAtMs ? this.#wait(untilMs) : this.#giveUp(health, nowMs);
    }
    return this.#askTheResting(seen, again, health, nowMs);
  }

  /** Everyone who could still be asked rests. */
  #askTheResting(seen: readonly Seen[], again: readonly Seen[], health: HealthView, nowMs: number): Step {
    const untried = seen.filter((c) => !this.#asked.has(c.model));
    const likeliest = soonest(untried.filter((c) => mayBeTriedWhileResting(c.availability)));
    if (likeliest && health.mayTryResting(this.#plan.chain, nowMs)) {
      return this.#attempt(likeliest.model, nowMs, true);
    }
    const worthWaiting = [...untried.filter((c) => !mayBeTriedWhileResting(c.availability)), ...again];
    const first = soonest(worthWaiting);
    const endMs = first ? restEndMs(first.availability, nowMs) : Infinity;
    return first && endMs < this.#deadlineAtMs ? this.#wait(endMs) : this.#giveUp(health, nowMs);
  }

  #isEligible(model: PlannedModel): boolean {
    return (
      !this.#excludedModels.has(model) &&
      !this.#excludedProviders.has(model.provider) &&
      (this.#windowAbove === 0 || model.contextWindow === undefined || model.contextWindow > this.#windowAbove)
    );
  }

  /** Whether this request may come back to a model that it has already asked. */
  #mayRetry(model: PlannedModel): boolean {
    const { attempts, lastFailure } = this.#askedOf(model);
    return (
      this.#retries < this.#plan.policy.maxRetries &&
      attempts <= (model.maxRetries ?? Infinity) &&
      lastFailure !== undefined &&
      !lastFailure.neverRetry &&
      traitsOf(lastFailure.class).retrySame !== 'never'
    );
  }

  #attempt(model: PlannedModel, nowMs: number, whileResting = false): Step {
    const asked = this.#askedOf(model);
    const isRetry = asked.attempts > 0;
    const kind: AttemptKind = isRetry ? 'retry' : this.#lastFailed ? 'fallback' : 'first';
    asked.attempts++;
    if (isRetry) this.#retries++;
    const attempt = this.#nextAttempt++;
    this.#state = { phase: 'asking', attempt, model };
    const command: Command = {
      type: 'attempt',
      attempt,
      model: model.name,
      kind,
      ...(kind === 'fallback' && this.#lastFailed && { from: this.#lastFailed }),
      whileResting,
      limits: this.#limits(model, nowMs),
    };
    return { commands: [command], wakeAtMs: this.#deadlineAtMs };
  }

  #limits(model: PlannedModel, nowMs: number): AttemptLimits {
    const { timeoutMs, stream } = model.policy;
    const leftMs = this.#deadlineAtMs - nowMs;
    return { answerMs: Math.min(timeoutMs, leftMs), idleMs: stream.idleMs, totalMs: stream.totalMs };
  }

  #wait(untilMs: number, model?: PlannedModel): Step {
    this.#state = { phase: 'waiting', untilMs, ...(model && { model }) };
    return { commands: [], wakeAtMs: untilMs };
  }

  #giveUp(health: HealthView, nowMs: number): Step {
    const last = this.#failures.at(-1);
    const onlyCallersFault = this.#failures.every((f) => traitsOf(f.class).callersFault === 'alone');
    if (last && onlyCallersFault) return this.#finish({ type: 'rejected', failure: last });
    const rests = this.#plan.models.map((model) => health.availability(model.name, nowMs));
    const untilMs = Math.min(...rests.map((rest) => (rest.state === 'resting' ? rest.untilMs : Infinity)));
    return this.#finish({
      type: 'exhausted',
      because: this.#exhaustedReason(rests, nowMs),
      ...(Number.isFinite(untilMs) && { retryAfterMs: Math.max(0, untilMs - nowMs) }),
    });
  }

  #exhaustedReason(rests: readonly Availability[], nowMs: number): ExhaustedReason {
    if (this.#isTooLate(nowMs)) return 'timed_out';
    const untried = rests.filter((_, i) => !this.#asked.has(this.#plan.models[i]!));
    const resting = untried.flatMap((rest) => (rest.state === 'resting' ? [rest.reason] : []));
    const classes = [...this.#failures.map((failure) => failure.class), ...resting];
    if (classes.length > 0 && classes.every((c) => c === 'rate_limited')) return 'rate_limited';
    if (this.#failures.length === 0) return 'down';
    return this.#failures.every((f) => f.class === 'timeout_ttft' || f.class === 'timeout_total')
      ? 'timed_out'
      : 'failed';
  }

  /** Timers round: a model asked in the last moment before the deadline could only waste the call. */
  #isTooLate(nowMs: number): boolean {
    return nowMs >= this.#deadlineAtMs - Math.min(LEAST_ATTEMPT_MS, this.#plan.deadlineMs / 100);
  }

  #finish(verdict: Verdict, ...before: Command[]): Step {
    this.#state = { phase: 'finished' };
    return { commands: [...before, { type: 'finish', verdict }] };
  }

  #askedOf(model: PlannedModel): Asked {
    let asked = this.#asked.get(model);
    if (!asked) this.#asked.set(model, (asked = { attempts: 0, sameModelRetries: 0 }));
    return asked;
  }
}

interface Seen {
  readonly model: PlannedModel;
  readonly availability: Availability;
}

/** Never one whose provider named the time, nor one that no repetition can mend. */
function mayBeTriedWhileResting(availability: Availability): boolean {
  return (
    availability.state === 'resting' &&
    !availability.named &&
    (availability.reason === 'rate_limited' || traitsOf(availability.reason).hurtsHealth)
  );
}

function restEndMs(availability: Availability, nowMs: number): number {
  return availability.state === 'resting' ? availability.untilMs : nowMs;
}

function soonest(seen: readonly Seen[]): Seen | undefined {
  return seen.reduce<Seen | undefined>(
    (best, c) => (best && restEndMs(best.availability, 0) <= restEndMs(c.availability, 0) ? best : c),
    undefined,
  );
}

/** Retries rotate: the model asked least often, the chain's order among equals. */
function leastAsked(
  models: readonly PlannedModel[],
  asked: ReadonlyMap<PlannedModel, Asked>,
): PlannedModel | undefined {
  return models.reduce<PlannedModel | undefined>(
    (least, model) => (least && (asked.get(least)?.attempts ?? 0) <= (asked.get(model)?.attempts ?? 0) ? least : model),
    undefined,
  );
}
