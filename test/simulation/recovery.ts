/**
 * Nobody is starved: once a model is well and traffic goes on, it is used again within its rests, its open time and its
 * slow start; and a breaker that has seen enough good answers is closed.
 */
import type { PlannedModel, RequestPlan } from '../../src/policy/plan.js';
import type { Replica } from './replica.js';
import type { WatchedRequest } from './watched-request.js';

export interface RecoverySetup {
  readonly replica: Replica;
  /** Of each request from now on. */
  readonly plan: RequestPlan;
  readonly usualMs: ReadonlyMap<string, number>;
  /** How late a timer may fire. */
  readonly lateMs: number;
  readonly nowMs: number;
}

/** Requests while the bound has not passed, and after it. */
const BEFORE = 8;
const AFTER = 4;
/** A well model has said all within so many times of what it usually takes; see `drawScript`. */
const MOST_TIMES_USUAL = 8;

export class Recovery {
  readonly #setup: RecoverySetup;
  readonly #first: PlannedModel;
  readonly #boundMs: number;
  readonly #asked = new Map<string, number[]>();

  constructor(setup: RecoverySetup) {
    const { replica, plan, nowMs } = setup;
    this.#setup = setup;
    this.#first = plan.models[0]!;
    const firsts = plan.models.filter((model) => model.entry === this.#first.entry);
    const lengths = firsts.map(({ name, provider }) => {
      const { openMs, openMaxMs, slowStartMs } = replica.board.breakerPolicy(name);
      const restMs = Math.max(0, replica.board.rests.untilMs(name, provider).softMs - nowMs);
      return restMs + Math.max(openMs, openMaxMs) + slowStartMs;
    });
    this.#boundMs = Math.max(...lengths);
  }

  *gapsMs(): Generator<number> {
    const gapMs = this.#boundMs / BEFORE;
    for (let i = 0; i < BEFORE; i++) yield gapMs;
    for (let i = 0; i < AFTER; i++) yield Math.max(gapMs, 1_000);
  }

  note(request: WatchedRequest, atMs: number): void {
    for (const model of request.askedModels) this.#asked.set(model, [...(this.#asked.get(model) ?? []), atMs]);
  }

  /** @returns what is wrong. */
  *judge(nowMs: number): Generator<string> {
    const { plan, replica } = this.#setup;
    const firsts = plan.models.filter((model) => model.entry === this.#first.entry);
    if (!firsts.every((model) => this.#isAble(model))) return;
    const asked = firsts.flatMap(({ name }) => this.#asked.get(name) ?? []);
    if (asked.length === 0)
      yield `${firsts.map((m) => m.name).join()} is well again, and is not asked within ${this.#boundMs}`;
    if (plan.policy.hedge.enabled) return;
    for (const { name } of firsts) {
      const state = replica.board.breakerState(name, nowMs);
      const { closeAfter } = replica.board.breakerPolicy(name);
      const times = this.#asked.get(name)?.length ?? 0;
      if (times > closeAfter && state !== 'closed')
        yield `${name} is well again, was asked ${times} times, and is ${state}`;
    }
  }

  /** It can answer in time, and is not slow by its own rules. */
  #isAble({ name, policy }: PlannedModel): boolean {
    const { usualMs, lateMs } = this.#setup;
    const mostMs = ((usualMs.get(name) ?? 0) + lateMs) * MOST_TIMES_USUAL;
    const { models, deadlineMs: allMs } = this.#setup.plan;
    // Of models that are not known yet, each gets an equal part.
    const deadlineMs = Math.min(allMs, policy.deadlineMs) / models.length;
    const { ttftMs, idleMs, totalMs } = policy.stream;
    const boardPolicy = this.#setup.replica.board.policyOf(name);
    const limits = [deadlineMs, policy.timeoutMs * 0.75, ttftMs, idleMs, totalMs];
    return mostMs < Math.min(...limits, boardPolicy.timeoutMs * 0.75, boardPolicy.stream.ttftMs);
  }
}
