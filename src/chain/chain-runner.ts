/**
 * Carries out what the policy says for one request after another: starts attempts, aborts them, keeps the one timer,
 * tells the sink and the listeners. Decides nothing: an `if` about retrying in here would be in the wrong room.
 *
 * Every input is one synchronous turn: record the outcome on the board, ask the machine, carry out its commands, set
 * the timer, emit. That is what makes claims (a try while everything rests, later budgets and trials) race-free.
 */
import { AsyncResource } from 'node:async_hooks';
import { type AttemptOutcome, type FailureClass, traitsOf } from '../policy/failure.js';
import type { RequestPlan } from '../policy/plan.js';
import type { AttemptKind, Command, Input, Resume } from '../policy/request-commands.js';
import { RequestMachine } from '../policy/request-machine.js';
import type { AttemptId, Verdict } from '../policy/verdict.js';
import { type ContinuationRequest, textToGoOnWith } from '../stream/continuation.js';
import { ContinuedStream } from '../stream/continued-stream.js';
import { ownFailure } from '../upstream/classify.js';
import type { AttemptEnd, AttemptHandler, AttemptLimits, RunningAttempt, TokenUsage } from '../upstream/upstream.js';
import type { Clock } from './clock.js';
import { ContinuedAttempt } from './continued-attempt.js';
import type { AttemptRecord, ChainEvents } from './events.js';
import type { Claim, ModelBoard } from './model-board.js';
import { Roster } from './roster.js';

/** What an attempt is to be, as its maker sees it. */
export interface AttemptOrder {
  readonly model: string;
  /** Counts from 1 within the request. */
  readonly number: number;
  readonly limits: AttemptLimits;
  /** It is asked to go on with this text; absent: to answer. */
  readonly continues?: ContinuationRequest;
}

/**
 * Hears of one request: for a stream one `onCommit`, then bytes; for every request exactly one `onFinish`, last. A stream
 * that is gone on with says `onResume` before the next model's bytes.
 */
export interface RequestSink {
  /** Streamed: a model has spoken, but what it says is held back. */
  onHeld?(): void;
  /** Streamed: the first token is there; what it says is what the headers tell. */
  onCommit(soFar: RequestSoFar): void;
  onBytes(bytes: Uint8Array): void;
  onResume?(soFar: RequestSoFar): void;
  onFinish(result: RequestResult): void;
}

export interface RequestSoFar {
  /** The model that is answering, or answered; absent where none did. */
  readonly model?: string;
  /** The answer is not the first model's. */
  readonly fallbackUsed: boolean;
  readonly attempts: readonly AttemptRecord[];
}

export type CompletedEnd = Extract<AttemptEnd, { type: 'completed' }>;
type FailedEnd = Extract<AttemptEnd, { type: 'failed' }>;

export interface RequestResult extends RequestSoFar {
  readonly verdict: Verdict;
  readonly latencyMs: number;
  /** Of the attempt that answered. */
  readonly end?: CompletedEnd;
  /** Of the stream that the caller read, where it had one. */
  readonly streamId?: string;
  /** Characters of text that were delivered before the last break. */
  readonly sentChars: number;
}

export interface ChainRequest {
  readonly requestId: string;
  readonly plan: RequestPlan;
  /** Starts one attempt; calls the handler only later. What it throws is booked as `network`. */
  readonly ask: (order: AttemptOrder, handler: AttemptHandler) => RunningAttempt;
  /** These models fail so, before they are asked, for this request alone. */
  readonly drills?: ReadonlyMap<string, FailureClass>;
  readonly sink: RequestSink;
}

export interface RunningRequest {
  /** What is known by now; `model`: the one that has spoken. */
  readonly soFar: RequestSoFar;
  /** The caller left: every attempt is aborted at once. Harmless after the end. */
  cancel(): void;
  pause(): void;
  resume(): void;
}

export interface ChainRunnerDeps {
  readonly board: ModelBoard;
  readonly events: ChainEvents;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

export class ChainRunner {
  readonly #deps: ChainRunnerDeps;
  readonly #live = new Roster<RequestRun>();

  constructor(deps: ChainRunnerDeps) {
    this.#deps = deps;
  }

  start(request: ChainRequest): RunningRequest {
    const run = new RequestRun(request, this.#deps, () => this.#live.leave(seat));
    const seat = this.#live.enter(run);
    run.start();
    return run;
  }

  /** How many requests are under way. */
  get liveCount(): number {
    return this.#live.size;
  }

  /** Ends what is under way, and tells every caller so. */
  shutDown(): void {
    for (const run of this.#live.members()) run.shutDown();
  }
}

interface Attempt {
  readonly id: AttemptId;
  readonly model: string;
  readonly kind: AttemptKind;
  readonly startedAtMs: number;
  /** Absent for a drill, which takes nothing of the models. */
  readonly claim: Claim | undefined;
  readonly drilled: boolean;
  readonly resume: Resume | undefined;
  /** Another was faster. */
  beaten?: boolean;
  /** By a hedge: it was slower than it usually is, and no more. */
  hedged?: boolean;
  running?: RunningAttempt;
  ttftMs?: number;
  record?: AttemptRecord;
  end?: CompletedEnd;
}

const NO_USAGE: TokenUsage = { inputTokens: 0, outputTokens: 0, reported: false };

class RequestRun implements RunningRequest {
  readonly #request: ChainRequest;
  readonly #deps: ChainRunnerDeps;
  readonly #onEnd: () => void;
  readonly #machine: RequestMachine;
  /** Of whoever asked: bytes arrive in the async context of whoever opened the socket. A snapshot() costs 3 µs more. */
  readonly #context = new AsyncResource('FallbackRequest', { requireManualDestroy: true });
  readonly #attempts: Attempt[] = [];
  readonly #inbox: Input[] = [];
  readonly #startedAtMs: number;
  #isTurning = false;
  #isFinished = false;
  /** Whose bytes go to the caller. */
  #committed: Attempt | undefined;
  #hasCommitted = false;
  /** Has spoken, but is held back. */
  #held: Attempt | undefined;
  #firstTokenAtMs: number | undefined;
  #isPaused = false;
  /** What the caller holds of a stream that broke. */
  #text = '';
  #writtenTokens = 0;
  #brokeAtMs = 0;
  #streamId: string | undefined;
  #stopWaiting: (() => void) | undefined;
  /** Failures in a storm of 400s, which count or not as the next model answers. */
  readonly #stormy: { readonly model: string; readonly code: string | null }[] = [];
  #cancelTimer: (() => void) | undefined;
  #wakeAtMs: number | undefined;

  constructor(request: ChainRequest, deps: ChainRunnerDeps, onEnd: () => void) {
    this.#request = request;
    this.#deps = deps;
    this.#onEnd = onEnd;
    this.#machine = new RequestMachine(request.plan, deps.random);
    this.#startedAtMs = deps.clock.nowMs();
  }

  start(): void {
    this.#deps.board.noteRequest(this.#request.plan.chain, this.#startedAtMs);
    this.#take({ type: 'started' });
  }

  cancel(): void {
    this.#context.runInAsyncScope(() => this.#take({ type: 'cancelled' }));
  }

  shutDown(): void {
    this.#context.runInAsyncScope(() => this.#take({ type: 'cancelled', because: 'shut-down' }));
  }

  get soFar(): RequestSoFar {
    return this.#soFar(this.#committed ?? this.#held, this.#deps.clock.nowMs());
  }

  pause(): void {
    this.#isPaused = true;
    this.#committed?.running?.pause();
  }

  resume(): void {
    this.#isPaused = false;
    this.#committed?.running?.resume();
  }

  /** One turn per input; what an attempt reports while it is being started waits for the turn to end. */
  #take(input: Input): void {
    this.#inbox.push(input);
    if (this.#isTurning) return;
    this.#isTurning = true;
    try {
      for (let next = this.#inbox.shift(); next; next = this.#inbox.shift()) this.#turn(next);
    } finally {
      this.#isTurning = false;
    }
  }

  #turn(input: Input): void {
    this.#stopWaiting?.();
    this.#stopWaiting = undefined;
    const nowMs = this.#deps.clock.nowMs();
    const step = this.#machine.next(input, this.#deps.board, nowMs);
    for (const command of step.commands) this.#carryOut(command, nowMs);
    this.#wakeAt(step.wakeAtMs, nowMs);
  }

  #wakeAt(wakeAtMs: number | undefined, nowMs: number): void {
    if (wakeAtMs === this.#wakeAtMs) return;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#wakeAtMs = wakeAtMs;
    if (wakeAtMs === undefined) return;
    this.#cancelTimer = this.#deps.clock.setTimer(Math.max(0, wakeAtMs - nowMs), () => {
      this.#wakeAtMs = undefined;
      this.#take({ type: 'woke' });
    });
  }

  #carryOut(command: Command, nowMs: number): void {
    switch (command.type) {
      case 'attempt':
        return this.#startAttempt(command, nowMs);
      case 'queue':
        this.#stopWaiting = this.#deps.board.wait(command.models, { wake: () => this.#take({ type: 'woke' }) });
        return;
      case 'take turn':
        return this.#deps.board.takeTurn(command.model, command.turnMs);
      case 'cancel':
        return this.#cancelAttempt(command.attempt, command.as, command.beaten ?? false, nowMs);
      case 'commit':
        return this.#commit(command.attempt, nowMs);
      case 'finish':
        return this.#finish(command.verdict, nowMs);
      default:
        return command satisfies never;
    }
  }

  #startAttempt(command: Extract<Command, { type: 'attempt' }>, nowMs: number): void {
    const { model, kind, unlikely, costs, limits, resume } = command;
    const drill = this.#request.drills?.get(model);
    const { chain } = this.#request.plan;
    const order = { model, chain, unlikely, costs, isHedge: kind === 'hedge' };
    const attempt: Attempt = {
      id: command.attempt,
      model,
      kind,
      startedAtMs: nowMs,
      claim: drill ? undefined : this.#deps.board.begin(order, nowMs),
      drilled: drill !== undefined,
      resume,
    };
    this.#attempts[attempt.id] = attempt;
    if (command.from) this.#tellSwitch(command.from, attempt);
    const handler = this.#handlerOf(attempt);
    if (drill) failsAtOnce(drill, handler);
    else this.#ask(attempt, this.#orderOf(attempt, limits), handler);
  }

  /** What cannot even be asked is a failure like any other: the next model may do. */
  #ask(attempt: Attempt, order: AttemptOrder, handler: AttemptHandler): void {
    try {
      attempt.running = attempt.resume
        ? this.#askToResume(attempt, attempt.resume, order, handler)
        : this.#request.ask(order, handler);
    } catch (error) {
      const failure = ownFailure(
        'network',
        `could not be asked: ${error instanceof Error ? error.message : 'unknown'}`,
      );
      handler.onEnd({ type: 'failed', failure, delivered: 'nothing', usage: NO_USAGE });
    }
  }

  #orderOf(attempt: Attempt, limits: AttemptLimits): AttemptOrder {
    const { model, resume } = attempt;
    const { text } = textToGoOnWith(this.#text);
    const continues = { text, way: resume?.way ?? 'prompt', writtenTokens: this.#writtenTokens };
    const goesOn = resume?.how === 'continue' && text !== '';
    return { model, number: attempt.id + 1, limits, ...(goesOn && { continues }) };
  }

  #askToResume(attempt: Attempt, resume: Resume, order: AttemptOrder, handler: AttemptHandler): RunningAttempt {
    const { text, half } = textToGoOnWith(this.#text);
    const isAfresh = !order.continues;
    const stream = new ContinuedStream({
      text: isAfresh ? null : text,
      half,
      isAsked: resume.way === 'prompt',
      mustProve: resume.mustProve && resume.way === 'prompt',
      id: this.#streamId ?? null,
      fallback: { from: resume.from.model, to: attempt.model, reason: resume.from.reason },
      tokensBefore: this.#writtenTokens,
    });
    const { clock } = this.#deps;
    const continued = new ContinuedAttempt({ stream, isAfresh, holdMs: order.limits.answerMs, clock, handler });
    return continued.start((inner) => this.#request.ask(order, inner));
  }

  #handlerOf(attempt: Attempt): AttemptHandler {
    return {
      onFirstToken: (held) => {
        if (attempt.record) return;
        const nowMs = this.#deps.clock.nowMs();
        attempt.ttftMs ??= nowMs - attempt.startedAtMs;
        if (attempt.claim) this.#deps.board.noteFirstToken(attempt.claim, nowMs);
        this.#context.runInAsyncScope(() => this.#take({ type: 'first-token', attempt: attempt.id, held }));
        if (!held || this.#hasCommitted || this.#isFinished) return;
        this.#held = attempt;
        this.#request.sink.onHeld?.();
      },
      onBytes: (bytes) => {
        if (this.#committed === attempt && !this.#isFinished) this.#request.sink.onBytes(bytes);
      },
      onEnd: (end) => {
        if (!attempt.record) this.#context.runInAsyncScope(() => this.#endAttempt(attempt, end));
      },
    };
  }

  #endAttempt(attempt: Attempt, end: AttemptEnd): void {
    if (this.#held === attempt) this.#held = undefined;
    if (end.type === 'completed') {
      attempt.end = end;
      this.#book(attempt, end.outcome, end.usage, end.status);
      this.#take({ type: 'completed', attempt: attempt.id });
      return;
    }
    const judged = this.#judge(attempt, end);
    this.#book(attempt, judged.failure.class, end.usage, end.failure.status, judged);
    if (this.#committed === attempt) this.#keep(end);
    this.#take({ type: 'failed', attempt: attempt.id, failure: judged.failure, delivered: end.delivered });
  }

  /** A caller's fault in a storm of them is taken for the provider's, where another model can tell. */
  #judge(attempt: Attempt, end: FailedEnd): FailedEnd & { isStormy: boolean } {
    const { board, clock } = this.#deps;
    if (attempt.drilled || this.#request.plan.models.length < 2) return { ...end, isStormy: false };
    const { failure, isStormy } = board.judge(attempt.model, end.failure, clock.nowMs());
    if (isStormy) this.#stormy.push({ model: attempt.model, code: end.failure.error.code });
    return { ...end, failure, isStormy };
  }

  /** The next model has shown whose fault it was. */
  #settleStorms(verdict: Verdict, nowMs: number): void {
    const { board } = this.#deps;
    for (const { model, code } of this.#stormy) {
      if (verdict.type === 'rejected' && verdict.failure.error.code === code) board.endStorm(model);
      else board.countStormy(model, nowMs);
    }
  }

  /** What the caller holds now, for whoever goes on with it. */
  #keep(end: FailedEnd): void {
    this.#committed = undefined;
    this.#brokeAtMs = this.#deps.clock.nowMs();
    this.#text += end.text ?? '';
    this.#writtenTokens += end.usage.outputTokens;
    this.#streamId ??= end.streamId;
  }

  #cancelAttempt(id: AttemptId, as: FailureClass, beaten: boolean, nowMs: number): void {
    const attempt = this.#attempts[id];
    if (!attempt || attempt.record) return;
    const usage = attempt.running?.spent?.() ?? NO_USAGE;
    attempt.running?.cancel();
    const byHedge = beaten && this.#isBesideHedge(attempt);
    attempt.beaten = beaten && !byHedge;
    attempt.hedged = byHedge && attempt.kind !== 'hedge';
    const why = beaten ? 'another model was faster' : 'the caller left';
    const failure = ownFailure(as, as === 'cancelled' ? why : 'the deadline of the request has passed');
    const end = { type: 'failed', failure, delivered: 'nothing', usage } as const;
    this.#book(attempt, as, usage, undefined, end, nowMs);
  }

  #isBesideHedge(attempt: Attempt): boolean {
    const rival = this.#attempts.findLast((each) => each !== attempt && (!each.record || each.record.class === 'ok'));
    return attempt.kind === 'hedge' || rival?.kind === 'hedge';
  }

  /** The board hears of it before the machine does; drilled attempts never touch it. */
  #book(
    attempt: Attempt,
    outcome: AttemptOutcome,
    usage: TokenUsage,
    status: number | undefined,
    failed?: FailedEnd & { isStormy?: boolean },
    nowMs = this.#deps.clock.nowMs(),
  ): void {
    const { board, events } = this.#deps;
    const { plan, requestId } = this.#request;
    const latencyMs = nowMs - attempt.startedAtMs;
    const { model, ttftMs } = attempt;
    const record = { model, class: outcome, ...(status !== undefined && { status }), ms: Math.round(latencyMs) };
    attempt.record = record;
    const details = { ...(ttftMs !== undefined && { ttftMs }), ...(failed && { failure: failed.failure }), usage };
    if (attempt.claim) {
      const { claim, startedAtMs, beaten = false, hedged = false } = attempt;
      const { streaming } = plan;
      const isStormy = failed?.isStormy ?? false;
      const usedUp = attempt.end?.usedUpForMs;
      board.record(
        {
          model,
          outcome,
          beaten,
          hedged,
          streaming,
          isStormy,
          startedAtMs,
          latencyMs,
          ...details,
          ...(usedUp !== undefined && { usedUpForMs: usedUp }),
        },
        claim,
        nowMs,
      );
      if (refusedToContinue(attempt, outcome)) board.noteRefusal(model);
      board.release(claim, nowMs);
    }
    events.emit('attempt.finished', {
      ...record,
      ...details,
      requestId,
      chain: plan.chain,
      kind: attempt.kind,
      streaming: plan.streaming,
      drilled: attempt.drilled,
    });
  }

  #commit(id: AttemptId, nowMs: number): void {
    const attempt = this.#attempts[id];
    if (!attempt) return;
    this.#committed = attempt;
    if (this.#isPaused) attempt.running?.pause();
    const { sink, plan, requestId } = this.#request;
    const soFar = this.#soFar(attempt, nowMs);
    if (!this.#hasCommitted) {
      this.#hasCommitted = true;
      this.#firstTokenAtMs = attempt.startedAtMs + (attempt.ttftMs ?? 0);
      sink.onCommit(soFar);
      return;
    }
    sink.onResume?.(soFar);
    if (!attempt.resume) return;
    const { model: from, reason } = attempt.resume.from;
    const { drilled } = attempt;
    this.#deps.events.emit('stream.continued', {
      requestId,
      chain: plan.chain,
      from,
      to: attempt.model,
      reason,
      sentChars: this.#text.length,
      ms: Math.round(nowMs - this.#brokeAtMs),
      drilled,
    });
  }

  #finish(verdict: Verdict, nowMs: number): void {
    this.#isFinished = true;
    this.#onEnd();
    this.#settleStorms(verdict, nowMs);
    const answered = verdict.type === 'answered' ? this.#attempts[verdict.attempt] : undefined;
    const { plan, requestId, sink } = this.#request;
    const soFar = this.#soFar(answered, nowMs);
    const latencyMs = nowMs - this.#startedAtMs;
    sink.onFinish({
      ...soFar,
      verdict,
      latencyMs,
      ...(answered?.end && { end: answered.end }),
      ...streamIdOf(this.#streamId ?? answered?.end?.streamId),
      sentChars: this.#text.length,
    });
    const firstTokenAtMs = this.#firstTokenAtMs;
    this.#deps.events.emit('request.finished', {
      requestId,
      chain: plan.chain,
      outcome: verdict.type === 'answered' ? 'ok' : verdict.type === 'cancelled' ? 'cancelled' : 'failed',
      ...(soFar.model !== undefined && { model: soFar.model }),
      attempts: soFar.attempts,
      latencyMs,
      streaming: plan.streaming,
      drilled: this.#attempts.some((attempt) => attempt.drilled),
      deadlineExceeded: isTooLate(verdict, latencyMs, plan.deadlineMs),
      ...(firstTokenAtMs !== undefined && { ttftMs: firstTokenAtMs - this.#startedAtMs }),
    });
  }

  #soFar(answering: Attempt | undefined, nowMs: number): RequestSoFar {
    const { models } = this.#request.plan;
    const attempts = this.#attempts.map((a): AttemptRecord => {
      return a.record ?? { model: a.model, class: 'ok', ms: Math.round(nowMs - a.startedAtMs) };
    });
    const asked = answering ? [answering] : this.#attempts;
    const isFirst = (model: string) => models.find((m) => m.name === model)?.entry === models[0]?.entry;
    return {
      ...(answering && { model: answering.model }),
      fallbackUsed: asked.some((attempt) => !isFirst(attempt.model)),
      attempts,
    };
  }

  #tellSwitch(from: { readonly model: string; readonly reason: FailureClass }, to: Attempt): void {
    if (from.model === to.model) return;
    const left = this.#attempts.findLast((attempt) => attempt !== to && attempt.model === from.model);
    const { plan, requestId } = this.#request;
    this.#deps.events.emit('model.switched', {
      requestId,
      chain: plan.chain,
      from: from.model,
      to: to.model,
      reason: from.reason,
      kind: to.kind,
      ms: left?.record?.ms ?? Math.round(to.startedAtMs - (left?.startedAtMs ?? to.startedAtMs)),
      drilled: left?.drilled ?? false,
    });
  }
}

/** Every attempt may have timed out long before; and the last moment before the deadline is not waited for. */
function isTooLate(verdict: Verdict, latencyMs: number, deadlineMs: number): boolean {
  return verdict.type === 'exhausted' && verdict.because === 'timed_out' && latencyMs >= deadlineMs * LATE_SHARE;
}

const LATE_SHARE = 0.99;

function streamIdOf(streamId: string | undefined): { streamId?: string } {
  return streamId === undefined ? {} : { streamId };
}

/** A trailing assistant message that the model does not take: it is asked in another way from now on. */
function refusedToContinue(attempt: Attempt, outcome: AttemptOutcome): boolean {
  const isOwnWay = attempt.resume?.how === 'continue' && attempt.resume.way !== 'prompt';
  return isOwnWay && (outcome === 'invalid_request' || outcome === 'unsupported');
}

/** A drilled fault of the operator's concerns the whole provider, as a real one would. */
function failsAtOnce(drill: FailureClass, handler: AttemptHandler): void {
  const restScope = traitsOf(drill).fallBack === 'other-provider' ? 'provider' : 'none';
  const failure = { ...ownFailure(drill, `made to fail by a drill (${drill})`), restScope } as const;
  handler.onEnd({ type: 'failed', failure, delivered: 'nothing', usage: NO_USAGE });
}
