/**
 * One request, from its start to its one verdict: the only place that decides who is asked, when, and when to give up.
 *
 * Theory of operation. The driver feeds inputs (an attempt spoke, failed, completed; the clock reached the moment
 * asked for; the caller left) and carries out the commands that come back, in the same synchronous turn. The machine
 * reads no clock, draws no chance of its own and touches no byte; what it knows of the models' health it reads from a
 * HealthView, which has already recorded a failure when the machine hears of it.
 *
 *   new ── started ──> asking ── first token ──> streaming ── completed ─────────────────> finished
 *                      │ │  ▲ ▲                      │                                        ▲
 *                      │ │  │ └────── broke off ─────┘  (the clock starts anew)               │
 *                      │ │  └── woke ── waiting (backoff, or a rest that ends) ◀── failed     │
 *                      │ └─ silent too long: the next model is asked beside it                │
 *                      └──────── completed, nobody left to ask, deadline, cancelled ──────────┘
 *
 * After a failure, in this order: the caller's own fault ends it; the same model again where `retrySameModel` says
 * so; the first untried model that is usable, at once; a retry, after a wait with full jitter, rotating over the
 * models; a rest that ends before the deadline is waited for. Where every model rests, one request a second may try
 * the one whose rest ends soonest.
 *
 * A stream that broke in the caller's hands goes on by the same rules, with models that can continue it; where only
 * reasoning was delivered, the next model starts afresh. Two attempts at most run at once; the first to speak wins.
 * At most models + maxRetries attempts (and one more per model that refused the way it was asked to continue), none at
 * or after the deadline.
 */
import { AskedModels, type LastFailed } from './asked-models.js';
import { backoffMs } from './backoff.js';
import { type Delivered, type Failure, type FailureClass, traitsOf } from './failure.js';
import type { Availability, HealthView } from './health-view.js';
import type { ContinuationWay, PlannedModel, RequestPlan } from './plan.js';
import { type AttemptId, type BrokenReason, type Verdict, verdictWithoutAnswer } from './verdict.js';

/** `overtake`: beside a model that is silent. `continuation`: goes on with a stream that broke. */
export type AttemptKind = 'first' | 'retry' | 'fallback' | 'overtake' | 'continuation';

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
      /** Every model rests, and this one is tried all the same: the driver tells the board. */
      readonly whileResting: boolean;
      readonly limits: AttemptLimits;
    }
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

interface Live {
  readonly attempt: AttemptId;
  readonly model: PlannedModel;
  readonly resume: Resume | undefined;
  hasSpoken: boolean;
  /** From then on the next model is started beside it; Infinity: never. */
  overtakeAtMs: number;
}

type State =
  | { readonly phase: 'new' }
  | { readonly phase: 'asking'; readonly live: readonly Live[] }
  /** `model`: only this one is waited for (`retrySameModel`). */
  | { readonly phase: 'waiting'; readonly untilMs: number; readonly model?: PlannedModel }
  | { readonly phase: 'streaming'; readonly live: Live }
  | { readonly phase: 'finished' };

/** What the caller holds of an answer that broke off. */
interface Broken {
  readonly failure: Failure;
  readonly delivered: 'reasoning' | 'text';
  readonly from: LastFailed;
}

/** No model answers faster; of a shorter deadline, a hundredth. */
const LEAST_ATTEMPT_MS = 10;

export class RequestMachine {
  readonly #plan: RequestPlan;
  readonly #random: () => number;
  readonly #asked: AskedModels;
  #state: State = { phase: 'new' };
  /** When the request began, or its stream broke last. */
  #clockStartMs = 0;
  #nextAttempt: AttemptId = 0;
  #broken: Broken | undefined;
  #wakeAtMs: number | undefined;

  /** @param random uniform in [0, 1): spreads the waits of retries. */
  constructor(plan: RequestPlan, random: () => number) {
    this.#plan = plan;
    this.#random = random;
    this.#asked = new AskedModels(plan);
  }

  /** @param nowMs monotonic. */
  next(input: Input, health: HealthView, nowMs: number): Step {
    const step = this.#react(input, health, nowMs);
    this.#wakeAtMs = step.wakeAtMs;
    return step;
  }

  #react(input: Input, health: HealthView, nowMs: number): Step {
    switch (input.type) {
      case 'started':
        return this.#start(health, nowMs);
      case 'woke':
        return this.#wake(health, nowMs);
      case 'cancelled':
        return this.#leave(input.because ?? 'cancelled');
      case 'first-token':
        return this.#speak(input.attempt, input.held);
      case 'completed':
        return this.#complete(input.attempt);
      case 'failed':
        return this.#fail(input.attempt, input.failure, input.delivered, health, nowMs);
      default:
        return input satisfies never;
    }
  }

  #start(health: HealthView, nowMs: number): Step {
    if (this.#state.phase !== 'new') return this.#unmoved();
    this.#clockStartMs = nowMs;
    return this.#askNext(health, nowMs, 'at once');
  }

  #wake(health: HealthView, nowMs: number): Step {
    const state = this.#state;
    if (state.phase === 'asking') return this.#watch(state.live, health, nowMs);
    if (state.phase !== 'waiting') return this.#unmoved();
    if (nowMs < state.untilMs) return { commands: [], wakeAtMs: state.untilMs };
    const { model } = state;
    if (model && !this.#isTooLate(nowMs) && health.availability(model.name, nowMs).state === 'usable') {
      this.#asked.noteSameModelRetry(model);
      return this.#attempt(model, health, nowMs);
    }
    return this.#askNext(health, nowMs, 'has waited');
  }

  /** Attempts are under way: has the time run out, or is a lone one silent for too long? */
  #watch(live: readonly Live[], health: HealthView, nowMs: number): Step {
    if (nowMs >= this.#deadlineAtMs && !live.some((l) => l.hasSpoken)) {
      const as = this.#plan.streaming ? 'timeout_ttft' : 'timeout_total';
      const cancels = live.map((l): Command => ({ type: 'cancel', attempt: l.attempt, as }));
      return this.#giveUp(health, nowMs, ...cancels);
    }
    const [lone, second] = live;
    if (lone && !second && !lone.hasSpoken && nowMs >= lone.overtakeAtMs) {
      const next = this.#firstFresh(health, nowMs);
      if (next)
        return this.#attemptBeside(lone, next, { model: lone.model.name, reason: 'timeout_ttft' }, health, nowMs);
      lone.overtakeAtMs = Infinity;
    }
    return { commands: [], ...this.#nextWake(live) };
  }

  #leave(type: 'cancelled' | 'shut-down'): Step {
    const state = this.#state;
    if (state.phase === 'finished') return this.#unmoved();
    const live = state.phase === 'asking' ? state.live : state.phase === 'streaming' ? [state.live] : [];
    return this.#finish(
      { type },
      ...live.map((l): Command => ({ type: 'cancel', attempt: l.attempt, as: 'cancelled' })),
    );
  }

  /** The first to speak wins; from the commit on, nothing can be taken back. */
  #speak(attempt: AttemptId, held: boolean): Step {
    const state = this.#state;
    const winner = this.#liveOf(attempt);
    if (!winner || state.phase !== 'asking') return this.#unmoved();
    winner.hasSpoken = true;
    const beaten = beatenBy(winner, state.live);
    if (held) {
      this.#state = { phase: 'asking', live: [winner] };
      return { commands: beaten };
    }
    this.#state = { phase: 'streaming', live: winner };
    return { commands: [...beaten, { type: 'commit', attempt }] };
  }

  #complete(attempt: AttemptId): Step {
    const state = this.#state;
    const winner = this.#liveOf(attempt);
    if (!winner) return this.#unmoved();
    const beaten = state.phase === 'asking' ? beatenBy(winner, state.live) : [];
    return this.#finish({ type: 'answered', attempt }, ...beaten);
  }

  #fail(attempt: AttemptId, failure: Failure, delivered: Delivered, health: HealthView, nowMs: number): Step {
    const state = this.#state;
    const failed = this.#liveOf(attempt);
    if (!failed) return this.#unmoved();
    const { model } = failed;
    this.#asked.noteFailure(model, failure);
    if (state.phase === 'streaming') return this.#break(failed, failure, delivered, health, nowMs);
    // It had spoken, so the request had its first token; what comes now is another beginning.
    if (failed.hasSpoken) this.#clockStartMs = nowMs;
    const others = state.phase === 'asking' ? state.live.filter((l) => l !== failed) : [];
    if (refusedTheWay(failed, failure)) return this.#attempt(model, health, nowMs, { by: 'prompt' });
    const end = this.#endsHere(model, failure);
    if (end) return this.#finish(end, ...others.map(cancelled));
    const [other] = others;
    if (other) return this.#carryOn(other, health, nowMs);
    return this.#retrySameModel(model, failure, health, nowMs) ?? this.#askNext(health, nowMs, 'at once');
  }

  /** The caller holds a part of an answer: the next model goes on with it, where that can be done at all. */
  #break(live: Live, failure: Failure, delivered: Delivered, health: HealthView, nowMs: number): Step {
    const before = this.#broken?.delivered;
    const isText = delivered === 'text' || before === 'text';
    const why = this.#cannotResume(live.model, failure, delivered, isText);
    if (why) return this.#finish({ type: 'broken', failure, why });
    const from = { model: live.model.name, reason: failure.class };
    this.#broken = { failure, delivered: isText ? 'text' : 'reasoning', from };
    this.#clockStartMs = nowMs;
    return this.#retrySameModel(live.model, failure, health, nowMs) ?? this.#askNext(health, nowMs, 'at once');
  }

  #cannotResume(
    model: PlannedModel,
    failure: Failure,
    delivered: Delivered,
    isText: boolean,
  ): BrokenReason | undefined {
    if (model.policy.stream.onBreak === 'error') return 'switched-off';
    if (delivered === 'unresumable' || (isText && !this.#plan.isContinuable)) return 'unresumable';
    return failure.class === 'content_filter' ? 'filtered' : undefined;
  }

  /** Asking anyone else would only multiply the caller's mistake; once a model has accepted it, it was none. */
  #endsHere(model: PlannedModel, failure: Failure): Verdict | undefined {
    const { fallBack } = traitsOf(failure.class);
    const isFiltered = fallBack === 'if-content-filter-next' && model.policy.onContentFilter === 'return';
    if (this.#broken)
      return isFiltered ? { type: 'broken', failure: this.#broken.failure, why: 'filtered' } : undefined;
    return fallBack === 'never' || isFiltered ? { type: 'rejected', failure } : undefined;
  }

  /** One of two has failed; the other is still silent, so the next may run beside it. */
  #carryOn(other: Live, health: HealthView, nowMs: number): Step {
    const next = other.hasSpoken || this.#isTooLate(nowMs) ? undefined : this.#firstFresh(health, nowMs);
    if (next) return this.#attemptBeside(other, next, this.#asked.lastFailed, health, nowMs);
    this.#state = { phase: 'asking', live: [other] };
    return { commands: [], ...this.#nextWake([other]) };
  }

  #retrySameModel(model: PlannedModel, failure: Failure, health: HealthView, nowMs: number): Step | undefined {
    const { attempts, maxWaitMs } = model.policy.retrySameModel;
    const { retrySameModel } = traitsOf(failure.class);
    if (retrySameModel === 'never' || this.#asked.sameModelRetriesOn(model) >= attempts) return undefined;
    if (!this.#isEligible(model) || !this.#asked.mayRetry(model)) return undefined;
    const rest = health.availability(model.name, nowMs);
    if (retrySameModel === 'after-short-rest' && !(rest.state === 'resting' && rest.named)) return undefined;
    const jitterMs =
      retrySameModel === 'after-short-rest' ? 0 : backoffMs(model.policy.backoff, this.#asked.retries, this.#random);
    const untilMs = Math.max(nowMs + Math.min(jitterMs, maxWaitMs), restEndMs(rest, nowMs));
    return untilMs - nowMs <= maxWaitMs && untilMs < this.#deadlineAtMs ? this.#wait(untilMs, model) : undefined;
  }

  /** The heart: who is asked next, what is waited for, or that nobody is left. */
  #askNext(health: HealthView, nowMs: number, waited: 'at once' | 'has waited'): Step {
    if (this.#isTooLate(nowMs)) return this.#giveUp(health, nowMs);
    const fresh = this.#firstFresh(health, nowMs);
    if (fresh) return this.#attempt(fresh, health, nowMs);

    const candidates = this.#plan.models.filter((model) => this.#isEligible(model));
    const seen = candidates.map((model) => ({ model, availability: health.availability(model.name, nowMs) }));
    const again = seen.filter((c) => this.#asked.mayRetry(c.model));
    const usable = this.#asked.leastAsked(again.filter((c) => c.availability.state === 'usable').map((c) => c.model));
    if (usable && waited === 'has waited') return this.#attempt(usable, health, nowMs);
    if (usable) {
      const untilMs = nowMs + backoffMs(usable.policy.backoff, this.#asked.retries, this.#random);
      return untilMs < this.#deadlineAtMs ? this.#wait(untilMs) : this.#giveUp(health, nowMs);
    }
    return this.#askTheResting(seen, again, health, nowMs);
  }

  /** Everyone who could still be asked rests. */
  #askTheResting(seen: readonly Seen[], again: readonly Seen[], health: HealthView, nowMs: number): Step {
    const untried = seen.filter((c) => !this.#asked.has(c.model));
    const likeliest = soonest(untried.filter((c) => mayBeTriedWhileResting(c.availability)));
    if (likeliest && health.mayTryResting(this.#plan.chain, nowMs)) {
      return this.#attempt(likeliest.model, health, nowMs, { whileResting: true });
    }
    const worthWaiting = [...untried.filter((c) => !mayBeTriedWhileResting(c.availability)), ...again];
    const first = soonest(worthWaiting);
    const endMs = first ? restEndMs(first.availability, nowMs) : Infinity;
    return first && endMs < this.#deadlineAtMs ? this.#wait(endMs) : this.#giveUp(health, nowMs);
  }

  /** The first model in order that this request has not asked and that is usable now. */
  #firstFresh(health: HealthView, nowMs: number): PlannedModel | undefined {
    return this.#plan.models.find((model) => this.#isFresh(model, health, nowMs));
  }

  #isFresh(model: PlannedModel, health: HealthView, nowMs: number): boolean {
    return (
      !this.#asked.has(model) &&
      this.#isEligible(model) &&
      !this.#isTooLate(nowMs, model) &&
      health.availability(model.name, nowMs).state === 'usable'
    );
  }

  #isEligible(model: PlannedModel): boolean {
    const mustContinue = this.#broken?.delivered === 'text';
    return this.#asked.isEligible(model) && !(mustContinue && model.continuation === 'none');
  }

  #attempt(model: PlannedModel, health: HealthView, nowMs: number, more: AttemptMore = {}): Step {
    const { command, live } = this.#order(model, health, nowMs, more);
    this.#state = { phase: 'asking', live: [live] };
    return { commands: [command], ...this.#nextWake([live]) };
  }

  #attemptBeside(
    other: Live,
    model: PlannedModel,
    from: LastFailed | undefined,
    health: HealthView,
    nowMs: number,
  ): Step {
    const { command, live } = this.#order(model, health, nowMs, { kind: 'overtake', ...(from && { from }) });
    this.#state = { phase: 'asking', live: [other, live] };
    return { commands: [command], ...this.#nextWake([other, live]) };
  }

  #order(model: PlannedModel, health: HealthView, nowMs: number, more: AttemptMore): { command: Command; live: Live } {
    const isRetry = this.#asked.has(model);
    const from = more.from ?? this.#asked.lastFailed;
    const kind = more.kind ?? (this.#broken ? 'continuation' : isRetry ? 'retry' : from ? 'fallback' : 'first');
    this.#asked.noteAttempt(model, more.by !== undefined);
    const resume = this.#resumeWith(model, health, nowMs, more.by);
    const attempt = this.#nextAttempt++;
    const limits = this.#limits(model, nowMs);
    const command: Command = {
      type: 'attempt',
      attempt,
      model: model.name,
      kind,
      ...(from && kind !== 'retry' && { from }),
      ...(resume && { resume }),
      whileResting: more.whileResting ?? false,
      limits,
    };
    const overtakeAtMs = nowMs + this.#patienceMs(model, health, limits);
    return { command, live: { attempt, model, resume, hasSpoken: false, overtakeAtMs } };
  }

  #resumeWith(model: PlannedModel, health: HealthView, nowMs: number, by?: 'prompt'): Resume | undefined {
    if (!this.#broken) return undefined;
    const { delivered, from } = this.#broken;
    if (delivered === 'reasoning') return { how: 'afresh', way: 'prompt', mustProve: false, from };
    const known = model.continuation === 'none' || health.refusesToContinue(model.name) ? 'prompt' : model.continuation;
    const mustProve = this.#firstFresh(health, nowMs) !== undefined;
    return { how: 'continue', way: by ?? known, mustProve, from };
  }

  /** How long a model may be silent until the next is started beside it. */
  #patienceMs(model: PlannedModel, health: HealthView, limits: AttemptLimits): number {
    if (!this.#plan.streaming) return Infinity;
    const patienceMs = Math.max(model.policy.stream.ttftMs, health.usualTtftMs(model.name) ?? 0);
    return patienceMs < limits.answerMs ? patienceMs : Infinity;
  }

  #limits(model: PlannedModel, nowMs: number): AttemptLimits {
    const { timeoutMs, stream } = model.policy;
    const leftMs = this.#deadlineOf(model) - nowMs;
    return { answerMs: Math.min(timeoutMs, leftMs), idleMs: stream.idleMs, totalMs: stream.totalMs };
  }

  #wait(untilMs: number, model?: PlannedModel): Step {
    this.#state = { phase: 'waiting', untilMs, ...(model && { model }) };
    return { commands: [], wakeAtMs: untilMs };
  }

  #nextWake(live: readonly Live[]): { wakeAtMs?: number } {
    if (live.some((l) => l.hasSpoken)) return {};
    const [lone, second] = live;
    return { wakeAtMs: Math.min(this.#deadlineAtMs, lone && !second ? lone.overtakeAtMs : Infinity) };
  }

  #giveUp(health: HealthView, nowMs: number, ...before: Command[]): Step {
    const verdict: Verdict = this.#broken
      ? { type: 'broken', failure: this.#broken.failure, why: 'nobody-left' }
      : verdictWithoutAnswer(this.#plan, this.#asked, health, nowMs, this.#isTooLate(nowMs));
    return this.#finish(verdict, ...before);
  }

  get #deadlineAtMs(): number {
    return this.#clockStartMs + this.#plan.deadlineMs;
  }

  /** A model's own deadline only shortens. */
  #deadlineOf(model: PlannedModel): number {
    return Math.min(this.#deadlineAtMs, this.#clockStartMs + model.policy.deadlineMs);
  }

  /** Timers round: a model asked in the last moment before the deadline could only waste the call. */
  #isTooLate(nowMs: number, model?: PlannedModel): boolean {
    const deadlineAtMs = model ? this.#deadlineOf(model) : this.#deadlineAtMs;
    return nowMs >= deadlineAtMs - Math.min(LEAST_ATTEMPT_MS, this.#plan.deadlineMs / 100);
  }

  #liveOf(attempt: AttemptId): Live | undefined {
    const state = this.#state;
    if (state.phase === 'streaming') return state.live.attempt === attempt ? state.live : undefined;
    return state.phase === 'asking' ? state.live.find((l) => l.attempt === attempt) : undefined;
  }

  /** What came changes nothing. */
  #unmoved(): Step {
    return { commands: [], ...(this.#wakeAtMs !== undefined && { wakeAtMs: this.#wakeAtMs }) };
  }

  #finish(verdict: Verdict, ...before: Command[]): Step {
    this.#state = { phase: 'finished' };
    return { commands: [...before, { type: 'finish', verdict }] };
  }
}

interface AttemptMore {
  readonly kind?: AttemptKind;
  readonly from?: LastFailed;
  readonly whileResting?: boolean;
  /** The same question put in another way, since the model refused the first. */
  readonly by?: 'prompt';
}

interface Seen {
  readonly model: PlannedModel;
  readonly availability: Availability;
}

function cancelled(live: Live): Command {
  return { type: 'cancel', attempt: live.attempt, as: 'cancelled' };
}

function beatenBy(winner: Live, live: readonly Live[]): Command[] {
  return live
    .filter((l) => l !== winner)
    .map((l): Command => ({ type: 'cancel', attempt: l.attempt, as: 'cancelled', beaten: true }));
}

/** A trailing assistant message that this model does not take: 400, whatever the words. */
function refusedTheWay(failed: Live, failure: Failure): boolean {
  const isRefusal = failure.class === 'invalid_request' || failure.class === 'unsupported';
  return isRefusal && failed.resume?.how === 'continue' && failed.resume.way !== 'prompt';
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
