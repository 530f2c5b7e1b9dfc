/**
 * An attempt that goes on with a stream that broke: between the upstream, which streams an answer of its own, and the
 * driver, which sees the part of it that goes on where the caller's text ends.
 */
import { ownFailure } from '../upstream/classify.js';
import type { AttemptEnd, AttemptHandler, RunningAttempt, TokenUsage } from '../upstream/upstream.js';
import type { ContinuedStream } from '../stream/continued-stream.js';
import type { Clock } from './clock.js';

const NO_USAGE: TokenUsage = { inputTokens: 0, outputTokens: 0, reported: false };

export interface ContinuedAttemptSetup {
  readonly stream: ContinuedStream;
  /** Only reasoning was delivered: there is no seam to find. */
  readonly isAfresh: boolean;
  /** How long a seam may take to show, ms from now. */
  readonly holdMs: number;
  readonly clock: Clock;
  readonly handler: AttemptHandler;
}

export class ContinuedAttempt implements AttemptHandler, RunningAttempt {
  readonly #setup: ContinuedAttemptSetup;
  readonly #holdUntilMs: number;
  #running: RunningAttempt | undefined;
  #stopHolding: (() => void) | undefined;
  #hasSpoken = false;
  #isOpen = false;
  #isOver = false;

  constructor(setup: ContinuedAttemptSetup) {
    this.#setup = setup;
    this.#holdUntilMs = setup.clock.nowMs() + setup.holdMs;
  }

  start(ask: (handler: AttemptHandler) => RunningAttempt): this {
    this.#running = ask(this);
    return this;
  }

  cancel(): void {
    this.#close();
    this.#running?.cancel();
  }

  pause(): void {
    this.#running?.pause();
  }

  resume(): void {
    this.#running?.resume();
  }

  /** The words that it repeats are paid for, too. */
  spent(): TokenUsage {
    return this.#running?.spent?.() ?? NO_USAGE;
  }

  onFirstToken(held: boolean): void {
    if (this.#isOver) return;
    const { clock, handler, isAfresh } = this.#setup;
    if (isAfresh) {
      if (held) handler.onFirstToken(true);
      return;
    }
    if (this.#hasSpoken) return;
    this.#hasSpoken = true;
    this.#stopHolding = clock.setTimer(Math.max(0, this.#holdUntilMs - clock.nowMs()), () =>
      this.#giveUp('did not come to the end of what it repeats in time'),
    );
    handler.onFirstToken(true);
  }

  onBytes(bytes: Uint8Array): void {
    if (this.#isOver) return;
    const out = this.#setup.stream.take(bytes);
    if (this.#setup.stream.state === 'unproven')
      this.#giveUp('did not repeat the last words, so its place is not known');
    else if (out.length > 0) this.#deliver(out);
  }

  onEnd(end: AttemptEnd): void {
    if (this.#isOver) return;
    this.#close();
    const { handler, stream, isAfresh } = this.#setup;
    if (end.type === 'completed') {
      handler.onEnd(end);
      return;
    }
    const isUnresumable = end.delivered === 'unresumable';
    const delivered = isAfresh || isUnresumable ? end.delivered : 'text';
    handler.onEnd({ ...end, delivered: this.#isOpen ? delivered : 'nothing', text: stream.deliveredText });
  }

  #deliver(out: Uint8Array): void {
    const { handler } = this.#setup;
    if (!this.#isOpen) {
      this.#isOpen = true;
      this.#stopHolding?.();
      handler.onFirstToken(false);
    }
    handler.onBytes(out);
  }

  #giveUp(why: string): void {
    const usage = this.spent();
    this.cancel();
    const failure = ownFailure('bad_response', why, 200);
    this.#setup.handler.onEnd({ type: 'failed', failure, delivered: 'nothing', usage });
  }

  #close(): void {
    this.#isOver = true;
    this.#stopHolding?.();
  }
}
