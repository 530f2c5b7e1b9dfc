/** Plays one request of the policy core in virtual time: the test is the models, the clock and the board. */
import { type Delivered, type Failure, type FailureClass, traitsOf } from '../../src/policy/failure.js';
import type { Availability, HealthView } from '../../src/policy/health-view.js';
import type { PlannedModel, RequestPlan } from '../../src/policy/plan.js';
import { type PolicyOptions, resolvePolicy } from '../../src/policy/policy.js';
import type { Command, Input, Resume } from '../../src/policy/request-commands.js';
import { RequestMachine } from '../../src/policy/request-machine.js';
import type { Verdict } from '../../src/policy/verdict.js';

export type PlannedShape = Partial<Omit<PlannedModel, 'policy'>> & { name: string; options?: PolicyOptions };

export function plan(models: (string | PlannedShape)[], options: PolicyOptions = {}, streaming = false): RequestPlan {
  const policy = resolvePolicy(options);
  return {
    chain: 'default',
    streaming,
    isContinuable: true,
    policy,
    deadlineMs: policy.deadlineMs,
    models: models.map((m, entry) => {
      const { options: own, ...shape }: PlannedShape = typeof m === 'string' ? { name: m } : m;
      return {
        provider: `${shape.name}-provider`,
        entry,
        continuation: 'prompt',
        ...shape,
        policy: resolvePolicy(options, own),
      };
    }),
  };
}

export function failure(failureClass: FailureClass, more: Partial<Failure> = {}): Failure {
  const error = { message: failureClass, type: null, code: null, param: null };
  const isOperators = traitsOf(failureClass).fallBack === 'other-provider';
  return { class: failureClass, error, restScope: isOperators ? 'provider' : 'none', ...more };
}

export interface Asked {
  readonly attempt: number;
  readonly model: string;
  readonly kind: string;
  readonly atMs: number;
  readonly answerMs: number;
  readonly resume?: Resume;
  /** `MODEL REASON`. */
  readonly from?: string;
}

/** `rests` and `usualTtftMs` stand for the board. */
export class Play {
  nowMs = 1_000;
  wakeAtMs: number | undefined;
  readonly rests = new Map<string, Extract<Availability, { state: 'resting' | 'open' }>>();
  readonly asked: Asked[] = [];
  /** Ids of the attempts under way. */
  readonly live = new Set<number>();
  readonly cancelled: string[] = [];
  readonly usualTtftMs = new Map<string, number>();
  readonly refusing = new Set<string>();
  readonly committed: number[] = [];
  verdict: Verdict | undefined;
  unlikelyTries = true;
  budget = 100;
  mayHedge = true;
  hedgeAfterMs: number | undefined;
  lastTurnMs = -Infinity;
  turnGapMs = 0;
  readonly loads = new Map<string, number>();
  readonly usualAnswerMs = new Map<string, number>();
  readonly leastAnswerMs = new Map<string, number>();
  /** Shares of models that are ramping. */
  readonly shares = new Map<string, number>();
  readonly full = new Map<string, boolean>();
  readonly queued: string[] = [];
  readonly #machine: RequestMachine;

  constructor(
    readonly planned: RequestPlan,
    random: () => number = () => 0.5,
  ) {
    this.#machine = new RequestMachine(planned, random);
  }

  readonly #health: HealthView = {
    availability: (model, nowMs, lot) => {
      const rest = this.rests.get(model);
      if (rest && nowMs < rest.untilMs) return rest;
      const hasRoom = this.full.get(model);
      if (hasRoom !== undefined) return { state: 'full', hasRoom, untilMs: nowMs + 1_000 };
      return { state: lot < (this.shares.get(model) ?? 1) ? 'usable' : 'ramping' };
    },
    mayTryUnlikely: () => this.unlikelyTries,
    canPayRetry: () => this.budget >= 1,
    mayHedge: () => this.mayHedge,
    nextTurnMs: (_model, _chain, fromMs) => Math.max(fromMs, this.lastTurnMs + this.turnGapMs),
    load: (model) => this.loads.get(model) ?? 0,
    usualAnswerMs: (model) => this.usualAnswerMs.get(model),
    leastAnswerMs: (model) => this.leastAnswerMs.get(model),
    hedgeAfterMs: () => this.hedgeAfterMs,
    usualTtftMs: (model) => this.usualTtftMs.get(model),
    refusesToContinue: (model) => this.refusing.has(model),
  };

  rest(model: string, ms: number, reason: FailureClass = 'overloaded', named = false): this {
    this.rests.set(model, { state: 'resting', untilMs: this.nowMs + ms, reason, named });
    return this;
  }

  feed(input: Input): readonly Command[] {
    if (input.type === 'failed' || input.type === 'completed') this.live.delete(input.attempt);
    const { commands, wakeAtMs } = this.#machine.next(input, this.#health, this.nowMs);
    this.wakeAtMs = wakeAtMs;
    for (const command of commands) {
      if (command.type === 'attempt') {
        const { attempt, model, kind, limits, resume, from } = command;
        if (command.costs) this.budget--;
        this.live.add(command.attempt);
        const how = { ...(resume && { resume }), ...(from && { from: `${from.model} ${from.reason}` }) };
        this.asked.push({ attempt, model, kind, atMs: this.nowMs, answerMs: limits.answerMs, ...how });
      }
      if (command.type === 'cancel') {
        this.live.delete(command.attempt);
        this.cancelled.push(`${command.attempt}:${command.as}${command.beaten ? ' beaten' : ''}`);
      }
      if (command.type === 'take turn') this.lastTurnMs = command.turnMs;
      if (command.type === 'queue') this.queued.push(...command.models);
      if (command.type === 'commit') this.committed.push(command.attempt);
      if (command.type === 'finish') this.verdict = command.verdict;
    }
    return commands;
  }

  start(): this {
    this.feed({ type: 'started' });
    return this;
  }

  speak(attempt = this.asked.length - 1, held = false): this {
    this.feed({ type: 'first-token', attempt, held });
    return this;
  }

  /** The attempt that was started last fails after some time. */
  fail(what: FailureClass | Failure, afterMs = 10, delivered: Delivered = 'nothing'): this {
    this.nowMs += afterMs;
    const value = typeof what === 'string' ? failure(what) : what;
    this.feed({ type: 'failed', attempt: this.asked.length - 1, failure: value, delivered });
    return this;
  }

  complete(afterMs = 10): this {
    this.nowMs += afterMs;
    this.feed({ type: 'completed', attempt: this.asked.length - 1 });
    return this;
  }

  /** The clock goes on to the moment that was asked for, where nothing runs. */
  wake(): this {
    return this.live.size > 0 ? this : this.wakeAnyhow();
  }

  wakeAnyhow(): this {
    this.nowMs = Math.max(this.nowMs, this.wakeAtMs ?? this.nowMs);
    this.feed({ type: 'woke' });
    return this;
  }

  get models(): string {
    return this.asked.map((a) => a.model).join(' ');
  }
}

export const play = (...args: Parameters<typeof plan>): Play => new Play(plan(...args)).start();
