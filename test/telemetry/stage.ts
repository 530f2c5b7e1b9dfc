/**
 * The real driver, board, routes and events in virtual time, with attempts that end as a test says: what telemetry
 * hears here is what it hears in the running app.
 */
import { boardModels, retryBudgets } from '../../src/chain/board-models.js';
import type { AttemptOrder, RequestSink, RunningRequest } from '../../src/chain/chain-request.js';
import { ChainRunner } from '../../src/chain/chain-runner.js';
import type { Clock } from '../../src/chain/clock.js';
import { ChainEvents } from '../../src/chain/events.js';
import { ModelBoard } from '../../src/chain/model-board.js';
import { type Route, Routes } from '../../src/chain/routes.js';
import type { Settings } from '../../src/config/settings.js';
import type { AttemptOutcome, Failure, FailureClass } from '../../src/policy/failure.js';
import { ownFailure } from '../../src/upstream/classify.js';
import type { AttemptHandler, TokenUsage } from '../../src/upstream/upstream.js';
import { load } from '../config/given.js';

export interface Ending {
  readonly outcome: AttemptOutcome;
  /** Default 100. */
  readonly afterMs?: number;
  /** Streamed: when it spoke. */
  readonly ttftMs?: number;
  /** What it said then; a stream that failed after it broke in the caller's hands. */
  readonly text?: string;
  /** What the upstream said of its failure. */
  readonly message?: string;
  readonly status?: number;
  readonly retryAfterMs?: number;
  readonly restScope?: Failure['restScope'];
  readonly usage?: { readonly inputTokens: number; readonly outputTokens: number };
}

export interface StagedRequest {
  readonly requestId?: string;
  readonly route?: Route;
  readonly streaming?: boolean;
  readonly drills?: ReadonlyMap<string, FailureClass>;
}

const NO_USAGE: TokenUsage = { inputTokens: 0, outputTokens: 0, reported: false };

export class Stage {
  readonly clock = new TurnedClock();
  readonly listenerErrors: unknown[] = [];
  readonly events = new ChainEvents((error) => this.listenerErrors.push(error));
  readonly results: Parameters<RequestSink['onFinish']>[0][] = [];
  readonly board: ModelBoard;
  settings: Settings;
  readonly #runner: ChainRunner;

  constructor(options: object, env: Record<string, unknown> = {}) {
    this.settings = load({ options, env });
    this.board = new ModelBoard(boardModels(this.settings), this.events, () => 0);
    this.board.setBudgets(retryBudgets(this.settings));
    this.#runner = new ChainRunner({ board: this.board, events: this.events, clock: this.clock, random: () => 0 });
  }

  /** Starts a request whose attempts end so, in order; the last ending counts for every further one. */
  start(endings: readonly Ending[], request: StagedRequest = {}): RunningRequest {
    const { requestId = 'r-1', route = {}, streaming = false, drills } = request;
    const plan = new Routes(this.settings).plan(route, {
      streaming,
      isContinuable: true,
      fallback: true,
      overHttp: true,
    });
    const left = [...endings];
    const sink: RequestSink = {
      onCommit() {},
      onBytes() {},
      onFinish: (result) => this.results.push(result),
    };
    const ask = (_order: AttemptOrder, handler: AttemptHandler) => {
      const ending = (left.length > 1 ? left.shift() : left[0]) ?? { outcome: 'ok' as const };
      return this.#attempt(ending, handler);
    };
    return this.#runner.start({ requestId, plan, ask, sink, ...(drills && { drills }) });
  }

  /** Starts one and turns the clock until it has come to its verdict. */
  run(endings: readonly Ending[], request: StagedRequest = {}): void {
    this.start(endings, request);
    this.clock.turnUntilIdle();
  }

  #attempt(ending: Ending, handler: AttemptHandler) {
    const { ttftMs, text } = ending;
    const stops: (() => void)[] = [];
    let hasSpoken = false;
    const speak = () => {
      hasSpoken = true;
      handler.onFirstToken(false);
      const chunk = { id: 'c1', choices: [{ index: 0, delta: { content: text }, finish_reason: null }] };
      if (text !== undefined) handler.onBytes(Buffer.from(`data: ${JSON.stringify(chunk)}\n\n`));
    };
    if (ttftMs !== undefined) stops.push(this.clock.setTimer(ttftMs, speak));
    stops.push(this.clock.setTimer(ending.afterMs ?? 100, () => handler.onEnd(endOf(ending))));
    return {
      cancel: () => {
        for (const stop of stops) stop();
      },
      pause() {},
      resume() {},
      spent: () => (hasSpoken && ending.usage ? { ...ending.usage, reported: false } : NO_USAGE),
    };
  }
}

function endOf(ending: Ending): Parameters<AttemptHandler['onEnd']>[0] {
  const { outcome, message = 'it failed', status, retryAfterMs, restScope, ttftMs, text = '' } = ending;
  const usage = ending.usage ? { ...ending.usage, reported: true } : NO_USAGE;
  if (outcome === 'ok') {
    return { type: 'completed', outcome, status: status ?? 200, finishReason: 'stop', usage };
  }
  const failure: Failure = {
    ...ownFailure(outcome, 'it failed', status),
    error: { message, type: null, code: null, param: null },
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    ...(restScope !== undefined && { restScope }),
  };
  return { type: 'failed', failure, delivered: ttftMs === undefined ? 'nothing' : 'text', text, usage };
}

/** Time that stands still until it is turned. */
export class TurnedClock implements Clock {
  #nowMs = 0;
  readonly #timers = new Set<{ readonly atMs: number; readonly fire: () => void }>();

  nowMs(): number {
    return this.#nowMs;
  }

  wallEpochMs(): number {
    return this.#nowMs;
  }

  setTimer(delayMs: number, fire: () => void): () => void {
    const timer = { atMs: this.#nowMs + delayMs, fire };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Fires what is due, in order, until nothing is left to wait for. */
  turnUntilIdle(): void {
    while (this.#timers.size > 0) this.turnOnce();
  }

  /** Fires what is due next. */
  turnOnce(): void {
    const next = this.#soonest();
    if (!next) return;
    this.#timers.delete(next);
    this.#nowMs = Math.max(this.#nowMs, next.atMs);
    next.fire();
  }

  turnBy(ms: number): void {
    this.#nowMs += ms;
  }

  #soonest() {
    return [...this.#timers].toSorted((a, b) => a.atMs - b.atMs)[0];
  }
}
