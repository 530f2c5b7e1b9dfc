/**
 * Models with moods, in virtual time. They keep the promises of the port (time limits, one end, nothing after a cancel)
 * until they are told to blather: to go on with what nobody listens to any more.
 */
import type { Clock } from '../../src/chain/clock.js';
import type { AttemptOrder } from '../../src/chain/chain-request.js';
import { ownFailure } from '../../src/upstream/classify.js';
import type { FailureClass } from '../../src/policy/failure.js';
import type { AttemptEnd, AttemptHandler, RunningAttempt, TokenUsage } from '../../src/upstream/upstream.js';
import type { Draw } from './draw.js';
import { drawScript, type Mood, type Step } from './fickle-script.js';

const NO_USAGE: TokenUsage = { inputTokens: 0, outputTokens: 0, reported: false };
const USAGE: TokenUsage = { inputTokens: 10, outputTokens: 5, reported: true };
/** Ended attempts that may still blather. */
const REMEMBERED = 8;

export class FickleModels {
  readonly live = new Set<FickleAttempt>();
  readonly #over: FickleAttempt[] = [];
  readonly #moods = new Map<string, Mood>();
  readonly #usualMs: ReadonlyMap<string, number>;
  readonly #clock: Clock;
  readonly #draw: Draw;

  /** @param usualMs about how long each model takes to say something. */
  constructor(clock: Clock, draw: Draw, usualMs: ReadonlyMap<string, number>) {
    this.#clock = clock;
    this.#draw = draw;
    this.#usualMs = usualMs;
  }

  setMood(model: string, mood: Mood): void {
    this.#moods.set(model, mood);
  }

  /**
   * @param request counts from 0: what befalls its attempts is drawn by its number, whatever befell others.
   * @throws where the model cannot even be asked, as an upstream without an address does.
   */
  ask(request: number, order: AttemptOrder, streaming: boolean, handler: AttemptHandler): RunningAttempt {
    const draw = this.#draw.fork(request * 64 + order.number);
    const mood = this.#moods.get(order.model) ?? { what: 'well' };
    if (mood.what === 'chaos' && draw.chance(0.1)) throw new Error('no such host');
    const nowMs = this.#clock.nowMs();
    const steps = drawScript(mood, this.#usualMs.get(order.model) ?? 100, nowMs, draw);
    const attempt = new FickleAttempt(steps, { order, streaming, clock: this.#clock, handler }, () => {
      this.live.delete(attempt);
      this.#over.push(attempt);
      if (this.#over.length > REMEMBERED) this.#over.shift();
    });
    this.live.add(attempt);
    return attempt.start();
  }

  /** One that has ended, to be heard all the same. */
  someoneOver(draw: Draw): FickleAttempt | undefined {
    return this.#over.length > 0 ? draw.pick(this.#over) : undefined;
  }
}

interface FickleSetup {
  readonly order: AttemptOrder;
  readonly streaming: boolean;
  readonly clock: Clock;
  readonly handler: AttemptHandler;
}

export class FickleAttempt implements RunningAttempt {
  readonly #steps: Step[];
  readonly #setup: FickleSetup;
  readonly #onOver: () => void;
  readonly #startedAtMs: number;
  #lastSaidAtMs: number;
  #hasHeld = false;
  #hasSpoken = false;
  #text = '';
  #words = 0;
  #delivered: 'nothing' | 'reasoning' | 'text' = 'nothing';
  #cancelTimer = (): void => {};
  #isOver = false;

  constructor(steps: Step[], setup: FickleSetup, onOver: () => void) {
    this.#steps = steps;
    this.#setup = setup;
    this.#onOver = onOver;
    this.#startedAtMs = setup.clock.nowMs();
    this.#lastSaidAtMs = this.#startedAtMs;
  }

  start(): this {
    this.#setNext();
    return this;
  }

  cancel(): void {
    if (this.#isOver) return;
    this.#close();
  }

  pause(): void {}

  resume(): void {}

  spent(): TokenUsage {
    return this.#hasSpoken ? USAGE : NO_USAGE;
  }

  /** What it would have done next it does now: the network comes before the timers. */
  hurry(): void {
    if (this.#isOver || this.#steps.length === 0) return;
    this.#cancelTimer();
    this.#doNext();
  }

  /** It is over, and goes on all the same. */
  blather(draw: Draw): void {
    const { handler } = this.#setup;
    const failed: AttemptEnd = { ...failedBy('server_error', 'nobody listens'), delivered: 'text', text: 'x' };
    draw.pick([
      () => handler.onFirstToken(draw.chance(0.5)),
      () => handler.onBytes(eventOf({ content: 'nobody listens' }, null)),
      () => handler.onEnd(failed),
      () => handler.onEnd(completed(false)),
    ])();
  }

  #setNext(): void {
    const { clock, order, streaming } = this.#setup;
    const { limits } = order;
    const hasSaid = this.#hasHeld || this.#hasSpoken;
    const [next] = this.#steps;
    const nextAtMs = next ? this.#lastSaidAtMs + next.afterMs : Infinity;
    const silentAtMs = hasSaid ? this.#lastSaidAtMs + limits.idleMs : this.#startedAtMs + limits.answerMs;
    const totalAtMs = streaming ? this.#startedAtMs + limits.totalMs : Infinity;
    const limitAtMs = Math.min(silentAtMs, totalAtMs);
    const isLate = limitAtMs <= nextAtMs;
    const late: FailureClass =
      !streaming || totalAtMs < silentAtMs ? 'timeout_total' : hasSaid ? 'timeout_idle' : 'timeout_ttft';
    this.#cancelTimer = clock.setTimer(Math.max(0, Math.min(nextAtMs, limitAtMs) - clock.nowMs()), () =>
      isLate ? this.#end(this.#failedBy(late)) : this.#doNext(),
    );
  }

  #doNext(): void {
    const step = this.#steps.shift();
    if (!step) return;
    this.#lastSaidAtMs = this.#setup.clock.nowMs();
    if (this.#setup.streaming) this.#stream(step);
    else if (step.what === 'fails' || step.what === 'completes') this.#endBy(step);
    if (!this.#isOver) this.#setNext();
  }

  #stream(step: Step): void {
    const { handler } = this.#setup;
    if (step.what === 'holds' && !this.#hasHeld) {
      this.#hasHeld = true;
      handler.onFirstToken(true);
    } else if (step.what === 'writes') {
      const isFirst = !this.#hasSpoken;
      this.#hasSpoken = true;
      if (isFirst) handler.onFirstToken(false);
      if (!this.#isOver) this.#write(step, isFirst);
    } else if (step.what === 'completes') {
      if (this.#hasSpoken) handler.onBytes(eventOf({}, 'stop'));
      if (!this.#isOver) this.#endBy(step);
    } else if (step.what === 'fails') this.#endBy(step);
  }

  #write(step: Extract<Step, { what: 'writes' }>, isFirst: boolean): void {
    const { order, handler } = this.#setup;
    const repeated = isFirst && step.repeats ? (order.continues?.text ?? '') : '';
    const words = `${repeated}model ${order.model} says word ${++this.#words} of ${order.number}, `;
    const isReasoning = step.as === 'reasoning' && this.#delivered !== 'text';
    this.#delivered = isReasoning ? 'reasoning' : 'text';
    if (!isReasoning) this.#text += words;
    handler.onBytes(eventOf(isReasoning ? { reasoning_content: words } : { content: words }, null));
  }

  #endBy(step: Extract<Step, { what: 'completes' | 'fails' }>): void {
    if (step.what === 'completes') return this.#end(completed(step.filtered, step.usedUpForMs));
    const { delivered, failure } = step;
    const end = this.#failedBy(failure.class);
    this.#end({ ...end, failure, delivered: end.delivered === 'text' ? delivered : end.delivered });
  }

  #failedBy(failureClass: FailureClass): Extract<AttemptEnd, { type: 'failed' }> {
    const delivered = this.#delivered;
    const text = delivered === 'text' ? { text: this.#text } : {};
    return { ...failedBy(failureClass, 'as drawn'), delivered, ...text, usage: this.spent() };
  }

  #end(end: AttemptEnd): void {
    this.#close();
    this.#setup.handler.onEnd(end);
  }

  #close(): void {
    this.#isOver = true;
    this.#cancelTimer();
    this.#onOver();
  }
}

function failedBy(failureClass: FailureClass, message: string): Extract<AttemptEnd, { type: 'failed' }> {
  return { type: 'failed', failure: ownFailure(failureClass, message), delivered: 'nothing', usage: NO_USAGE };
}

function completed(filtered: boolean, usedUpForMs?: number): AttemptEnd {
  return {
    type: 'completed',
    outcome: filtered ? 'content_filter' : 'ok',
    status: 200,
    finishReason: 'stop',
    usage: USAGE,
    ...(usedUpForMs !== undefined && { usedUpForMs }),
  };
}

const encoder = new TextEncoder();

function eventOf(delta: object, finishReason: string | null): Uint8Array {
  const choices = [{ index: 0, delta, finish_reason: finishReason }];
  return encoder.encode(`data: ${JSON.stringify({ object: 'chat.completion.chunk', choices })}\n\n`);
}
