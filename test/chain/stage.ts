/** The driver with a board and a clock of its own; the test plays the models. */
import type { AttemptOrder, RequestResult, RunningRequest } from '../../src/chain/chain-request.js';
import { ChainRunner } from '../../src/chain/chain-runner.js';
import { ChainEvents } from '../../src/chain/events.js';
import { type BoardModel, ModelBoard } from '../../src/chain/model-board.js';
import type { Failure, FailureClass } from '../../src/policy/failure.js';
import { makePlan, type PlannedModel } from '../../src/policy/plan.js';
import { type PolicyOptions, resolvePolicy } from '../../src/policy/policy.js';
import { VirtualClock } from '../../src/simulation/virtual-clock.js';
import { ownFailure } from '../../src/upstream/classify.js';
import type { AttemptEnd, AttemptHandler, TokenUsage } from '../../src/upstream/upstream.js';

export const USAGE: TokenUsage = { inputTokens: 10, outputTokens: 5, reported: true };

export interface Asked {
  readonly order: AttemptOrder;
  readonly handler: AttemptHandler;
  isCancelled: boolean;
  isPaused: boolean;
}

export class Stage {
  readonly clock = new VirtualClock();
  readonly events = new ChainEvents();
  readonly told: string[] = [];
  readonly board: ModelBoard;
  readonly runner: ChainRunner;
  readonly asked: Asked[] = [];
  readonly sunk: string[] = [];
  /** Of every request that has ended, in order. */
  readonly results: RequestResult[] = [];
  running!: RunningRequest;

  get result(): RequestResult | undefined {
    return this.results.at(-1);
  }

  constructor(
    readonly models: string[] = ['a', 'b'],
    more: Partial<BoardModel> = {},
  ) {
    this.board = new ModelBoard(
      models.map((name) => ({
        name,
        provider: `${name}-p`,
        price: { inputPerMTok: 100_000, outputPerMTok: 200_000 },
        ...more,
      })),
      this.events,
      () => 0,
    );
    this.runner = new ChainRunner({ board: this.board, events: this.events, clock: this.clock, random: () => 0.5 });
    this.events.on('attempt.finished', (e) =>
      this.told.push(`${e.model} ${e.class} ${e.ms}${e.drilled ? ' drilled' : ''}`),
    );
    this.events.on('model.switched', (e) => this.told.push(`${e.from}>${e.to} ${e.reason}`));
    this.events.on('model.rested', (e) => this.told.push(`${e.model} rests ${e.restMs}`));
    this.events.on('request.finished', (e) => this.told.push(`request ${e.outcome} ${e.model ?? '-'}`));
  }

  ask(more: { streaming?: boolean; policy?: PolicyOptions; drills?: [string, FailureClass][] } = {}): this {
    const policy = resolvePolicy(more.policy);
    const models = this.models.map((name, entry): PlannedModel => ({
      name,
      provider: `${name}-p`,
      policy,
      entry,
      continuation: 'prompt',
    }));
    const plan = makePlan(
      { name: 'default', models, policy },
      { streaming: more.streaming ?? false, isContinuable: true, fallback: true },
    );
    this.running = this.runner.start({
      requestId: 'r1',
      plan,
      ...(more.drills && { drills: new Map(more.drills) }),
      ask: (order, handler) => {
        const asked: Asked = { order, handler, isCancelled: false, isPaused: false };
        this.asked.push(asked);
        return {
          cancel: () => (asked.isCancelled = true),
          pause: () => (asked.isPaused = true),
          resume: () => (asked.isPaused = false),
        };
      },
      sink: {
        onCommit: (soFar) => this.sunk.push(`commit ${soFar.model} ${soFar.attempts.map((a) => a.class).join()}`),
        onBytes: (bytes) => this.sunk.push(Buffer.from(bytes).toString()),
        onFinish: (result) => {
          this.results.push(result);
          this.sunk.push(`finish ${result.verdict.type}`);
        },
      },
    });
    return this;
  }

  /** The attempt that was started last fails. */
  fail(failureClass: FailureClass, more: Partial<Failure> = {}, afterMs = 100): this {
    this.clock.advance(afterMs);
    const failure = { ...ownFailure(failureClass, failureClass), ...more };
    this.asked.at(-1)!.handler.onEnd({ type: 'failed', failure, delivered: 'nothing', usage: USAGE });
    return this;
  }

  complete(afterMs = 100): this {
    this.clock.advance(afterMs);
    const end: AttemptEnd = { type: 'completed', outcome: 'ok', status: 200, finishReason: 'stop', usage: USAGE };
    this.asked.at(-1)!.handler.onEnd(end);
    return this;
  }
}
