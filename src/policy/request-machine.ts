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
 * models; a rest that ends before the deadline is waited for, and a turn after it. Where every model rests, one request a
 * second may try the one whose rest ends soonest.
 *
 * A stream that broke in the caller's hands goes on by the same rules, with models that can continue it; where only
 * reasoning was delivered, the next model starts afresh. Two attempts at most run at once; the first to speak wins.
 * At most models + maxRetries attempts (and one more per model that refused the way it was asked to continue), none at
 * or after the deadline.
 */
import { AskedModels, type LastFailed } from './asked-models.js';
import { backoffMs } from './backoff.js';
import { Choice, type Moment, restEndMs, type Turn } from './choice.js';
import { shareOfDeadlineMs } from './deadline-share.js';
import { type Delivered, type Failure, traitsOf } from './failure.js';
import type { HealthView } from './health-view.js';
import type { PlannedModel, RequestPlan } from './plan.js';
import type { AttemptKind, AttemptLimits, Command, Input, Resume, Step } from './request-commands.js';
import { type AttemptId, type BrokenReason, type Verdict, verdictWithoutAnswer } from './verdict.js';

interface Live {
  readonly attempt: AttemptId;
  readonly model: PlannedModel;
  readonly resume: Resume | undefined;
  hasSpoken: boolean;
  /** From then on the next model is started beside it, since it is silent; Infinity: never. */
  overtakeAtMs: number;
  /** The same, since it is slower than usual. */
  hedgeAtMs: number;
}

type State =
  | { readonly phase: 'new' }
  | { readonly phase: 'asking'; readonly live: readonly Live[] }
  /** `model`: only this one is waited for (`retrySameModel`). */
  | { readonly phase: 'waiting'; readonly untilMs: number; readonly model?: PlannedModel }
  /** For a place at a model that is full. */
  | { readonly phase: 'queued' }
  | { readonly phase: 'streaming'; readonly live: Live }
  | { readonly phase: 'finished' };

/** What the caller holds of an answer that broke off. */
interface Broken {
  readonly failure: Failure;
  readonly delivered: 'reasoning' | 'text';
  readonly from: LastFailed;
}

/** Whoever finds no place within this time gets an honest 503 rather than an answer that is too late. */
const LONGEST_QUEUE_MS = 5_000;

export class RequestMachine {
  readonly #plan: RequestPlan;
  readonly #random: () => number;
  readonly #asked: AskedModels;
  readonly #choice: Choice;
  #state: State = { phase: 'new' };
  /** When the request began, or its stream broke last. */
  #clockStartMs = 0;
  #nextAttempt: AttemptId = 0;
  #broken: Broken | undefined;
  /** When waiting for a place ends; set by the first wait. */
  #queueUntilMs: number | undefined;
  #wakeAtMs: number | undefined;

  /** @param random uniform in [0, 1): spreads the waits of retries. */
  constructor(plan: RequestPlan, random: () => number) {
    this.#plan = plan;
    this.#random = random;
    this.#asked = new AskedModels(plan);
    this.#choice = new Choice(plan, this.#asked, random);
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
    if (state.phase === 'queued') return this.#askNext(health, nowMs, 'at once');
    if (state.phase !== 'waiting') return this.#unmoved();
    if (nowMs < state.untilMs) return { commands: [], wakeAtMs: state.untilMs };
    const { model } = state;
    const moment = this.#moment(health, nowMs);
    if (model && this.#choice.canAsk(model, moment) && this.#choice.canPay(moment)) {
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
    if (lone && !second && !lone.hasSpoken) return this.#watchAlone(lone, health, nowMs);
    return { commands: [], ...this.#nextWake(live) };
  }

  #watchAlone(lone: Live, health: HealthView, nowMs: number): Step {
    const moment = this.#moment(health, nowMs);
    const from = { model: lone.model.name, reason: this.#plan.streaming ? 'timeout_ttft' : 'timeout_total' } as const;
    if (nowMs >= lone.overtakeAtMs) {
      lone.overtakeAtMs = Infinity;
      const next = this.#choice.firstFresh(moment);
      if (next) return this.#attempt(next, health, nowMs, { kind: 'overtake', from }, lone);
    }
    if (nowMs >= lone.hedgeAtMs) {
      lone.hedgeAtMs = Infinity;
      const mayHedge =
        this.#choice.canPay(moment) && health.mayHedge(this.#plan.chain, this.#plan.policy.hedge.maxShare);
      const next = mayHedge ? this.#choice.firstFresh(moment) : undefined;
      if (next) return this.#attempt(next, health, nowMs, { kind: 'hedge', from }, lone);
    }
    return { commands: [], ...this.#nextWake([lone]) };
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
    if (refusedTheWay(failed, failure) && this.#choice.canAsk(model, this.#moment(health, nowMs))) {
      return this.#attempt(model, health, nowMs, { by: 'prompt' }, ...others);
    }
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
    const moment = this.#moment(health, nowMs);
    const next = other.hasSpoken || this.#choice.isTooLate(moment) ? undefined : this.#choice.firstFresh(moment);
    const { lastFailed: from } = this.#asked;
    if (next) return this.#attempt(next, health, nowMs, { kind: 'overtake', ...(from && { from }) }, other);
    this.#state = { phase: 'asking', live: [other] };
    return { commands: [], ...this.#nextWake([other]) };
  }

  #retrySameModel(model: PlannedModel, failure: Failure, health: HealthView, nowMs: number): Step | undefined {
    const { attempts, maxWaitMs } = model.policy.retrySameModel;
    const { retrySameModel } = traitsOf(failure.class);
    if (retrySameModel === 'never' || this.#asked.sameModelRetriesOn(model) >= attempts) return undefined;
    const moment = this.#moment(health, nowMs);
    if (!this.#choice.isEligible(model, moment) || !this.#asked.mayRetry(model)) return undefined;
    if (!this.#choice.canPay(moment)) return undefined;
    const rest = this.#choice.availability(model, moment);
    if (retrySameModel === 'after-short-rest' && !(rest.state === 'resting' && rest.named)) return undefined;
    const jitterMs = retrySameModel === 'after-short-rest' ? 0 : this.#backoffMs(model);
    const untilMs = Math.max(nowMs + Math.min(jitterMs, maxWaitMs), restEndMs(rest, nowMs));
    return untilMs - nowMs <= maxWaitMs && untilMs < this.#deadlineAtMs ? this.#wait(untilMs, model) : undefined;
  }

  /** The heart: who is asked next, what is waited for, or that nobody is left. */
  #askNext(health: HealthView, nowMs: number, waited: 'at once' | 'has waited'): Step {
    const moment = this.#moment(health, nowMs);
    if (this.#choice.isTooLate(moment)) return this.#giveUp(health, nowMs);
    const fresh = this.#choice.firstFresh(moment);
    if (fresh) return this.#attempt(fresh, health, nowMs);
    const queues = this.#choice.queues(moment);
    if (queues.length > 0) {
      this.#queueUntilMs ??= nowMs + LONGEST_QUEUE_MS;
      if (nowMs < this.#queueUntilMs) return this.#queue(queues, this.#queueUntilMs);
    }
    const again = this.#choice.again(moment);
    if (again && waited === 'has waited') return this.#attempt(again, health, nowMs);
    if (again) return this.#waitOrGiveUp(nowMs + this.#backoffMs(again), health, nowMs);
    const likeliest = this.#choice.likeliest(moment);
    if (likeliest && health.mayTryUnlikely(this.#plan.chain, nowMs)) {
      return this.#attempt(likeliest, health, nowMs, { unlikely: true });
    }
    return this.#waitForTurn(this.#choice.nextTurn(moment), health, nowMs);
  }

  #waitForTurn(turn: Turn | undefined, health: HealthView, nowMs: number): Step {
    if (!turn) return this.#giveUp(health, nowMs);
    const step = this.#wait(turn.atMs);
    return turn.taken ? { ...step, commands: [{ type: 'take turn', ...turn.taken }] } : step;
  }

  #waitOrGiveUp(untilMs: number, health: HealthView, nowMs: number): Step {
    return untilMs < this.#deadlineAtMs ? this.#wait(untilMs) : this.#giveUp(health, nowMs);
  }

  #backoffMs(model: PlannedModel): number {
    return backoffMs(model.policy.backoff, this.#asked.retries, this.#random);
  }

  /** @param beside what is under way already, one at most. */
  #attempt(model: PlannedModel, health: HealthView, nowMs: number, more: AttemptMore = {}, ...beside: Live[]): Step {
    const { command, live } = this.#order(model, health, nowMs, more);
    const all = [...beside, live];
    this.#state = { phase: 'asking', live: all };
    return { commands: [command], ...this.#nextWake(all) };
  }

  #order(model: PlannedModel, health: HealthView, nowMs: number, more: AttemptMore): { command: Command; live: Live } {
    const isRetry = this.#asked.has(model);
    const from = more.from ?? this.#asked.lastFailed;
    const kind = more.kind ?? (this.#broken ? 'continuation' : isRetry ? 'retry' : from ? 'fallback' : 'first');
    const isFree = more.by !== undefined;
    this.#asked.noteAttempt(model, isFree);
    const resume = this.#resumeWith(model, health, nowMs, more.by);
    const attempt = this.#nextAttempt++;
    const limits = this.#limits(model, health, nowMs);
    const command: Command = {
      type: 'attempt',
      attempt,
      model: model.name,
      kind,
      ...(from && kind !== 'retry' && { from }),
      ...(resume && { resume }),
      unlikely: more.unlikely ?? false,
      costs: kind === 'hedge' || (isRetry && !isFree),
      limits,
    };
    const overtakeAtMs = nowMs + this.#patienceMs(model, health, limits);
    const hedgeAtMs = nowMs + this.#hedgeAfterMs(model, health);
    return { command, live: { attempt, model, resume, hasSpoken: false, overtakeAtMs, hedgeAtMs } };
  }

  #resumeWith(model: PlannedModel, health: HealthView, nowMs: number, by?: 'prompt'): Resume | undefined {
    if (!this.#broken) return undefined;
    const { delivered, from } = this.#broken;
    if (delivered === 'reasoning') return { how: 'afresh', way: 'prompt', mustProve: false, from };
    const known = model.continuation === 'none' || health.refusesToContinue(model.name) ? 'prompt' : model.continuation;
    const mustProve = this.#choice.later(model, this.#moment(health, nowMs)).length > 0;
    return { how: 'continue', way: by ?? known, mustProve, from };
  }

  #hedgeAfterMs(model: PlannedModel, health: HealthView): number {
    const { hedge } = this.#plan.policy;
    return hedge.enabled ? (health.hedgeAfterMs(model.name, this.#plan.streaming, hedge) ?? Infinity) : Infinity;
  }

  /** How long a model may be silent until the next is started beside it. */
  #patienceMs(model: PlannedModel, health: HealthView, limits: AttemptLimits): number {
    if (!this.#plan.streaming) return Infinity;
    const patienceMs = Math.max(model.policy.stream.ttftMs, health.usualTtftMs(model.name) ?? 0);
    return patienceMs < limits.answerMs ? patienceMs : Infinity;
  }

  #limits(model: PlannedModel, health: HealthView, nowMs: number): AttemptLimits {
    const { timeoutMs, stream } = model.policy;
    const later = this.#choice.later(model, this.#moment(health, nowMs));
    const usual = ({ name }: PlannedModel) => health.usualAnswerMs(name, this.#plan.streaming);
    const leftMs = this.#clockStartMs + this.#choice.deadlineMsOf(model) - nowMs;
    const answerMs = shareOfDeadlineMs({ leftMs, timeoutMs, usualMs: usual(model), laterMs: later.map(usual) });
    return { answerMs, idleMs: stream.idleMs, totalMs: stream.totalMs };
  }

  #queue(models: readonly string[], untilMs: number): Step {
    this.#state = { phase: 'queued' };
    return { commands: [{ type: 'queue', models }], wakeAtMs: Math.min(untilMs, this.#deadlineAtMs) };
  }

  #wait(untilMs: number, model?: PlannedModel): Step {
    this.#state = { phase: 'waiting', untilMs, ...(model && { model }) };
    return { commands: [], wakeAtMs: untilMs };
  }

  #nextWake(live: readonly Live[]): { wakeAtMs?: number } {
    if (live.some((l) => l.hasSpoken)) return {};
    const [lone, second] = live;
    const besideAtMs = lone && !second ? Math.min(lone.overtakeAtMs, lone.hedgeAtMs) : Infinity;
    return { wakeAtMs: Math.min(this.#deadlineAtMs, besideAtMs) };
  }

  #giveUp(health: HealthView, nowMs: number, ...before: Command[]): Step {
    const moment = this.#moment(health, nowMs);
    const seen = (model: PlannedModel) => this.#choice.availability(model, moment);
    const isTimeUp = this.#choice.isTooLate(moment);
    const verdict: Verdict = this.#broken
      ? { type: 'broken', failure: this.#broken.failure, why: 'nobody-left' }
      : verdictWithoutAnswer(this.#plan, this.#asked, seen, nowMs, isTimeUp);
    return this.#finish(verdict, ...before);
  }

  get #deadlineAtMs(): number {
    return this.#clockStartMs + this.#plan.deadlineMs;
  }

  #moment(health: HealthView, nowMs: number): Moment {
    const mustContinue = this.#broken?.delivered === 'text';
    return { health, nowMs, clockStartMs: this.#clockStartMs, mustContinue };
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
  readonly unlikely?: boolean;
  /** The same question put in another way, since the model refused the first. */
  readonly by?: 'prompt';
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
