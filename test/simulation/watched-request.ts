/**
 * One request of a random world: what the driver asks of the models and tells its caller, held against what the contract
 * promises of every request.
 */
import type { AttemptOrder, RequestResult, RequestSink, RequestSoFar } from '../../src/chain/chain-request.js';
import type { Failure, FailureClass } from '../../src/policy/failure.js';
import type { PlannedModel, RequestPlan } from '../../src/policy/plan.js';
import type { AttemptEnd, AttemptHandler, RunningAttempt } from '../../src/upstream/upstream.js';
import type { Begun } from './watched-board.js';

interface WatchedAttempt {
  readonly order: AttemptOrder;
  readonly model: PlannedModel;
  hasSpoken: boolean;
  isOver: boolean;
  failure?: Failure;
  hasCompleted: boolean;
}

export interface RequestSetup {
  readonly name: string;
  readonly plan: RequestPlan;
  readonly nowMs: () => number;
  readonly log: (line: string) => void;
  readonly complain: (what: string) => void;
  /** What the board was told of the attempt that begins now; undefined: nothing. */
  readonly takeBegun: () => Begun | undefined;
  readonly ask: (order: AttemptOrder, handler: AttemptHandler) => RunningAttempt;
}

const CALLERS: ReadonlySet<FailureClass> = new Set(['invalid_request', 'content_filter']);
const NEVER_AGAIN: ReadonlySet<FailureClass> = new Set<FailureClass>([
  'invalid_request',
  'unsupported',
  'context_length',
  'content_filter',
  'auth',
  'permission',
  'quota',
  'not_found',
  'empty_answer',
  'invalid_output',
]);
const AT_ANOTHER_PROVIDER: ReadonlySet<FailureClass> = new Set(['auth', 'permission', 'quota']);
const EPSILON_MS = 1e-6;

export class WatchedRequest implements RequestSink {
  isFinished = false;
  readonly #setup: RequestSetup;
  readonly #attempts: WatchedAttempt[] = [];
  /** Whose call of its handler is being carried out. */
  #speaking: WatchedAttempt | undefined;
  #committed: WatchedAttempt | undefined;
  #commits = 0;
  #clockStartMs: number;
  #retries = 0;
  #refusals = 0;

  constructor(setup: RequestSetup) {
    this.#setup = setup;
    this.#clockStartMs = setup.nowMs();
  }

  get askedModels(): readonly string[] {
    return this.#attempts.map((attempt) => attempt.model.name);
  }

  /** Under way, without any attempt. */
  get isIdle(): boolean {
    return !this.isFinished && this.#live.length === 0;
  }

  get deadlineAtMs(): number {
    return this.#clockStartMs + this.#setup.plan.deadlineMs;
  }

  /** Past its deadline, and not because of a stream that is under way. */
  isOverdue(nowMs: number): boolean {
    return !this.isFinished && nowMs > this.deadlineAtMs && !this.#live.some((attempt) => attempt.hasSpoken);
  }

  ask(order: AttemptOrder, handler: AttemptHandler): RunningAttempt {
    const { log, ask, plan } = this.#setup;
    const model = plan.models.find(({ name }) => name === order.model);
    if (!model) throw new Error(`${order.model} is none of this plan`);
    const begun = this.#setup.takeBegun();
    const attempt: WatchedAttempt = { order, model, hasSpoken: false, isOver: false, hasCompleted: false };
    this.#judgeAttempt(attempt, begun);
    this.#attempts.push(attempt);
    log(
      `${this.#setup.name} asks ${order.model} as ${order.number} within ${order.limits.answerMs}${begun?.order.unlikely ? ' though it is down' : ''}${begun?.order.isHedge ? ' as a hedge' : ''}`,
    );
    const running = this.#tryToAsk(attempt, () => ask(order, this.#watched(attempt, handler)));
    return {
      cancel: () => {
        this.#end(attempt, 'is cancelled');
        running.cancel();
      },
      pause: () => running.pause(),
      resume: () => running.resume(),
      spent: () => running.spent?.() ?? { inputTokens: 0, outputTokens: 0, reported: false },
    };
  }

  onHeld(): void {
    this.#tells('onHeld');
  }

  onCommit(soFar: RequestSoFar): void {
    this.#tells('onCommit');
    if (++this.#commits > 1) this.#wrong('commits twice');
    this.#commit(soFar);
  }

  onResume(soFar: RequestSoFar): void {
    this.#tells('onResume');
    if (this.#commits !== 1) this.#wrong('resumes what was never committed');
    this.#commit(soFar);
  }

  onBytes(bytes: Uint8Array): void {
    this.#tells('onBytes');
    if (bytes.length > 0 && (!this.#committed || this.#committed !== this.#speaking))
      this.#wrong('is given bytes of an attempt that was not committed');
  }

  onBreak(): void {
    this.#tells('onBreak');
    if (this.#commits === 0) this.#wrong('breaks before it has begun');
  }

  onFinish(result: RequestResult): void {
    this.#tells('onFinish');
    this.isFinished = true;
    const { verdict, attempts } = result;
    const because = 'because' in verdict ? ` ${verdict.because}` : 'why' in verdict ? ` ${verdict.why}` : '';
    this.#setup.log(
      `${this.#setup.name} ends ${verdict.type}${because} after ${attempts.map((a) => `${a.model} ${a.class} ${a.ms}`).join(', ')}`,
    );
    if (this.#live.length > 0) this.#wrong(`ends while ${this.#live.length} attempts run on`);
    const hasCompleted = this.#attempts.some((attempt) => attempt.hasCompleted);
    if ((verdict.type === 'answered') !== hasCompleted) this.#wrong(`ends ${verdict.type}, answer ${hasCompleted}`);
    if (this.#commits > 0 && (verdict.type === 'exhausted' || verdict.type === 'rejected'))
      this.#wrong(`ends ${verdict.type} in its caller's hands`);
    if (verdict.type === 'exhausted' && (verdict.retryAfterMs ?? 0) < 0) this.#wrong('may be repeated in the past');
  }

  #tryToAsk(attempt: WatchedAttempt, ask: () => RunningAttempt): RunningAttempt {
    try {
      return ask();
    } catch (error) {
      this.#end(attempt, 'cannot be asked');
      throw error;
    }
  }

  get #live(): WatchedAttempt[] {
    return this.#attempts.filter((attempt) => !attempt.isOver);
  }

  #watched(attempt: WatchedAttempt, handler: AttemptHandler): AttemptHandler {
    const speaking = (call: () => void): void => {
      const before = this.#speaking;
      this.#speaking = attempt;
      call();
      this.#speaking = before;
    };
    return {
      onFirstToken: (held) =>
        speaking(() => {
          if (!attempt.isOver)
            this.#setup.log(`${this.#setup.name} hears ${attempt.order.model}${held ? ' hold' : ''}`);
          // One that begins afresh is heard once its first words are out; with these models, in the same moment.
          attempt.hasSpoken = true;
          handler.onFirstToken(held);
        }),
      onBytes: (bytes) => speaking(() => handler.onBytes(bytes)),
      onEnd: (end) =>
        speaking(() => {
          const wasOver = attempt.isOver;
          if (!wasOver) {
            if (end.type === 'completed') attempt.hasCompleted = true;
            else attempt.failure = end.failure;
            this.#end(attempt, end.type === 'completed' ? 'completes' : `fails ${end.failure.class}`);
            this.#noteRefusal(attempt, end);
          }
          handler.onEnd(end);
        }),
    };
  }

  #end(attempt: WatchedAttempt, how: string): void {
    if (attempt.isOver) return;
    attempt.isOver = true;
    this.#setup.log(`${this.#setup.name} ${attempt.order.model} ${how}`);
    // The clock starts anew where its caller, or the request, had a token already.
    if (attempt.hasSpoken && !attempt.hasCompleted) this.#clockStartMs = this.#setup.nowMs();
    if (this.#committed === attempt) this.#committed = undefined;
  }

  #commit({ model }: RequestSoFar): void {
    const attempt = this.#speaking;
    if (!attempt || attempt.isOver || attempt.order.model !== model)
      this.#wrong(`is given ${model}, which does not speak`);
    if (this.#live.length > 1) this.#wrong('is given one answer while another is still waited for');
    this.#committed = attempt;
  }

  /** After the end, nothing. */
  #tells(what: string): void {
    if (this.isFinished) this.#wrong(`is told ${what} after its end`);
    if (what !== 'onBytes') this.#setup.log(`${this.#setup.name} ${what}`);
  }

  #judgeAttempt(attempt: WatchedAttempt, begun: Begun | undefined): void {
    const { plan, nowMs } = this.#setup;
    const { order, model } = attempt;
    const { answerMs } = order.limits;
    const leftMs = this.deadlineAtMs - nowMs();
    if (this.isFinished) this.#wrong(`asks ${order.model} after its end`);
    if (this.#committed) this.#wrong(`asks ${order.model} while another streams`);
    if (leftMs <= 0) this.#wrong(`asks ${order.model} ${-leftMs} ms after its deadline`);
    if (!(answerMs > 0) || answerMs > Math.min(leftMs, model.policy.timeoutMs) + EPSILON_MS)
      this.#wrong(`gives ${order.model} ${answerMs} ms of ${leftMs}`);
    if (this.#live.length > 1) this.#wrong('asks a third at once');
    if (this.#live.some((live) => live.hasSpoken)) this.#wrong('asks another beside one that has spoken');
    const earlier = this.#attempts.filter((known) => known.model === model);
    const isReasked = order.continues?.way === 'prompt' && isRefusal(earlier.at(-1));
    const isRetry = earlier.length > 0 && !isReasked;
    if (isRetry) this.#retries++;
    if (begun && begun.order.costs !== (isRetry || begun.order.isHedge))
      this.#wrong(`pays ${begun.order.costs} for ${isRetry ? 'a retry' : 'none'}`);
    if (begun?.order.isHedge && !plan.policy.hedge.enabled) this.#wrong('hedges though it is off');
    if (this.#retries > plan.policy.maxRetries) this.#wrong(`makes ${this.#retries} retries`);
    if (this.#attempts.length + 1 > plan.models.length + plan.policy.maxRetries + this.#refusals)
      this.#wrong('asks too often');
    if (model.maxRetries !== undefined && earlier.length > model.maxRetries + 1 + this.#refusals)
      this.#wrong(`asks ${order.model} too often`);
    for (const known of this.#attempts) if (known.failure) this.#judgeAfter(known, known.failure, attempt, isReasked);
  }

  /** Who may be asked after this failure: the contract's table. */
  #judgeAfter(failed: WatchedAttempt, failure: Failure, next: WatchedAttempt, isReasked: boolean): void {
    const { model } = failed;
    const { name } = next.model;
    const wrong = (why: string): void => this.#wrong(`asks ${name} though ${model.name} ${failure.class} ${why}`);
    // The same question put in another way is no retry, and a later one may follow it.
    const isAgain = model === next.model && !isReasked && !isRefusal(failed);
    // What may have been a storm of 400s.
    const isStormy = failure.class === 'invalid_request' && (failure.status === 400 || failure.status === 422);
    if (isAgain && !isStormy && NEVER_AGAIN.has(failure.class)) wrong('the same before');
    if (isAgain && failure.neverRetry) wrong('forbade it');
    if (
      AT_ANOTHER_PROVIDER.has(failure.class) &&
      failure.restScope === 'provider' &&
      model.provider === next.model.provider
    )
      wrong('holds for its provider');
    const { contextWindow } = next.model;
    if (
      failure.class === 'context_length' &&
      contextWindow !== undefined &&
      contextWindow <= (model.contextWindow ?? 0)
    )
      wrong('needs more');
    const goesOn =
      this.#commits > 0 || isStormy || (failure.class === 'content_filter' && model.policy.onContentFilter === 'next');
    if (CALLERS.has(failure.class) && !isReasked && !goesOn) wrong("was its caller's fault");
  }

  #noteRefusal(attempt: WatchedAttempt, end: AttemptEnd): void {
    if (end.type === 'failed' && isRefusal(attempt)) this.#refusals++;
  }

  #wrong(what: string): void {
    this.#setup.complain(`${this.#setup.name} ${what}`);
  }
}

/** It was asked to go on in a way that it does not take. */
function isRefusal(attempt: WatchedAttempt | undefined): boolean {
  const isOwnWay = attempt?.order.continues !== undefined && attempt.order.continues.way !== 'prompt';
  return isOwnWay && (attempt.failure?.class === 'invalid_request' || attempt.failure?.class === 'unsupported');
}
