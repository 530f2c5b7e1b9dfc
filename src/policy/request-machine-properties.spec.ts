import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { failure, Play, plan, play } from '../../test/policy/play.js';
import { backoffBoundMs } from './backoff.js';
import { type Delivered, FAILURE_CLASSES } from './failure.js';
import type { Command } from './request-commands.js';

const FAILABLE = FAILURE_CLASSES.filter((c) => c !== 'cancelled');

const happening = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constant('fail' as const),
      class: fc.constantFrom(...FAILABLE),
      neverRetry: fc.boolean(),
      restMs: fc.constantFrom(0, 500, 2_000, 90_000),
      named: fc.boolean(),
      delivered: fc.constantFrom<Delivered>('reasoning', 'text', 'unresumable'),
    }),
  },
  { weight: 4, arbitrary: fc.constant({ type: 'wake' as const }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constant('speak' as const), held: fc.boolean() }) },
  { weight: 1, arbitrary: fc.constant({ type: 'complete' as const }) },
  { weight: 1, arbitrary: fc.constant({ type: 'cancel' as const }) },
  { weight: 1, arbitrary: fc.nat(5).map((attempt) => ({ type: 'stale' as const, attempt })) },
);

const scenarios = fc.record({
  models: fc.array(
    fc.record({
      provider: fc.constantFrom('p', 'q'),
      contextWindow: fc.constantFrom(undefined, 8, 16),
      continuation: fc.constantFrom('prompt' as const, 'prefix' as const, 'none' as const),
    }),
    { minLength: 1, maxLength: 4 },
  ),
  maxRetries: fc.nat(10),
  sameModel: fc.nat(2),
  deadlineMs: fc.integer({ min: 1, max: 40_000 }),
  ttftMs: fc.constantFrom(100, 10_000),
  streaming: fc.boolean(),
  isContinuable: fc.boolean(),
  restingAtStart: fc.array(fc.nat(3), { maxLength: 4 }),
  fullAtStart: fc.array(fc.tuple(fc.nat(3), fc.boolean()), { maxLength: 2 }),
  rampingAtStart: fc.array(fc.nat(3), { maxLength: 2 }),
  grouped: fc.boolean(),
  hedging: fc.boolean(),
  budget: fc.nat(12),
  steps: fc.array(fc.tuple(happening, fc.nat(4_000), fc.boolean()), { maxLength: 50 }),
  chance: fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), { minLength: 1, maxLength: 5 }),
});
type Scenario = typeof scenarios extends fc.Arbitrary<infer T> ? T : never;

/** Plays a scenario and holds every step against what must always be true. */
class Watched {
  readonly play: Play;
  finishes = 0;
  streaming: number | undefined;
  hasSpoken = new Set<number>();
  deadlineAtMs: number;
  refusals = 0;

  constructor(readonly scenario: Scenario) {
    const { models, maxRetries, sameModel, deadlineMs, ttftMs, streaming, isContinuable, chance } = scenario;
    const shapes = models.map(({ contextWindow, ...m }, i) => ({
      name: `m${i}`,
      entry: scenario.grouped ? Math.floor(i / 2) : i,
      ...m,
      ...(contextWindow !== undefined && { contextWindow }),
    }));
    const options = {
      maxRetries,
      deadlineMs,
      retrySameModel: { attempts: sameModel },
      stream: { ttftMs },
      hedge: { enabled: scenario.hedging },
    };
    let draw = 0;
    const planned = { ...plan(shapes, options, streaming), isContinuable };
    this.play = new Play(planned, () => chance[draw++ % chance.length]!);
    this.play.budget = scenario.budget;
    this.play.hedgeAfterMs = 600;
    for (const i of scenario.restingAtStart) this.play.rest(`m${i}`, 1_500);
    for (const [i, hasRoom] of scenario.fullAtStart) this.play.full.set(`m${i}`, hasRoom);
    for (const i of scenario.rampingAtStart) this.play.shares.set(`m${i}`, 0.4);
    this.deadlineAtMs = this.play.nowMs + deadlineMs;
  }

  take(commands: readonly Command[]): void {
    const { play: p } = this;
    for (const command of commands) {
      expect(this.finishes, 'nothing after the finish').toBe(0);
      if (command.type === 'finish') this.finishes++;
      if (command.type === 'commit') this.streaming = command.attempt;
      if (command.type !== 'attempt') continue;
      expect(p.nowMs, 'no attempt at or after the deadline').toBeLessThan(this.deadlineAtMs);
      expect(p.live.size, 'at most two at once').toBeLessThanOrEqual(2);
      expect(this.streaming, 'nobody is asked while another streams').toBeUndefined();
      if (command.kind === 'hedge') expect(this.scenario.hedging).toBe(true);
      expect(p.budget, 'the budget is never overdrawn').toBeGreaterThanOrEqual(0);
      if (command.resume?.how === 'continue') expect(this.scenario.isContinuable).toBe(true);
    }
    const isFree = this.finishes > 0 || this.streaming !== undefined || [...p.live].some((a) => this.hasSpoken.has(a));
    if (!isFree) expect(p.wakeAtMs, 'never asleep past the deadline').toBeLessThanOrEqual(this.deadlineAtMs);
    if (this.finishes > 0) expect(p.live.size, 'nothing runs on after the finish').toBe(0);
  }

  step(step: Scenario['steps'][number]): void {
    const { play: p } = this;
    const [what, afterMs, second] = step;
    const atMs = p.nowMs + afterMs;
    if (this.finishes === 0 && p.wakeAtMs !== undefined && (p.live.size === 0 || p.wakeAtMs <= atMs)) {
      p.nowMs = Math.max(p.nowMs, p.wakeAtMs);
      this.take(p.feed({ type: 'woke' }));
      return;
    }
    p.nowMs = atMs;
    const attempt = [...p.live][second ? 1 : 0] ?? [...p.live][0];
    if (what.type === 'wake') this.take(p.feed({ type: 'woke' }));
    if (what.type === 'cancel') this.take(p.feed({ type: 'cancelled' }));
    if (what.type === 'stale' && !p.live.has(what.attempt)) {
      const gone = { attempt: what.attempt, failure: failure('server_error'), delivered: 'nothing' } as const;
      expect(p.feed({ type: 'failed', ...gone }), 'a stale input changes nothing').toEqual([]);
      expect(p.feed({ type: 'first-token', attempt: what.attempt, held: false })).toEqual([]);
      expect(p.feed({ type: 'completed', attempt: what.attempt })).toEqual([]);
    }
    if (attempt === undefined) return;
    if (what.type === 'complete') this.take(p.feed({ type: 'completed', attempt }));
    if (what.type === 'speak' && this.scenario.streaming && attempt !== this.streaming) {
      this.hasSpoken.add(attempt);
      this.take(p.feed({ type: 'first-token', attempt, held: what.held }));
    }
    if (what.type === 'fail') this.#fail(attempt, what);
  }

  #fail(attempt: number, what: Extract<Scenario['steps'][number][0], { type: 'fail' }>): void {
    const { play: p } = this;
    const asked = p.asked[attempt]!;
    if (what.restMs > 0) p.rest(asked.model, what.restMs, what.class, what.named);
    const wasStreaming = this.streaming === attempt;
    if (wasStreaming) this.streaming = undefined;
    // The clock starts anew where the caller, or a hold, already had a token.
    if (wasStreaming || this.hasSpoken.has(attempt)) this.deadlineAtMs = p.nowMs + this.scenario.deadlineMs;
    const isRefusal = what.class === 'invalid_request' || what.class === 'unsupported';
    if (isRefusal && asked.resume?.way === 'prefix') this.refusals++;
    const retriesBefore = p.asked.filter((a, i) => p.asked.findIndex((b) => b.model === a.model) < i).length;
    const commands = p.feed({
      type: 'failed',
      attempt,
      failure: failure(what.class, what.neverRetry ? { neverRetry: true } : {}),
      delivered: wasStreaming ? what.delivered : 'nothing',
    });
    this.take(commands);
    const isWaiting = commands.every((command) => command.type === 'take turn');
    if (!isWaiting || this.finishes > 0 || p.live.size > 0 || p.wakeAtMs === undefined) return;
    const restMs = Math.max(0, ...[...p.rests.values()].map((r) => r.untilMs - p.nowMs));
    const boundMs = backoffBoundMs(p.planned.policy.backoff, retriesBefore);
    expect(p.wakeAtMs - p.nowMs, 'a retry waits within its jitter, or for a rest').toBeLessThanOrEqual(
      // A tenth of a rest may follow it, by chance.
      Math.max(boundMs, restMs * 1.1 + 1e-6),
    );
  }
}

describe('whatever happens', () => {
  it('the core keeps its promises', () => {
    fc.assert(
      fc.property(scenarios, (s) => {
        const watched = new Watched(s);
        const { play: p } = watched;
        watched.take(p.feed({ type: 'started' }));
        for (const step of s.steps) watched.step(step);
        expect(p.asked.length).toBeLessThanOrEqual(s.models.length + s.maxRetries + watched.refusals);
        expect(s.budget - p.budget, 'retries and hedges alone are paid for').toBeLessThanOrEqual(s.budget);
        const firsts = p.asked.filter((a, i) => p.asked.findIndex((b) => b.model === a.model) === i);
        expect(p.asked.length - firsts.length).toBeLessThanOrEqual(s.maxRetries + watched.refusals);
      }),
      { numRuns: 4_000 },
    );
  });

  it('falls back without a wait, in the order of the chain, while none rests', () => {
    const classes = fc.array(fc.constantFrom('server_error', 'network', 'stream_cut', 'not_found', 'empty_answer'), {
      minLength: 6,
      maxLength: 6,
    });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 6 }), classes, (count, fails) => {
        const names = Array.from({ length: count }, (_, i) => `m${i}`);
        const p = play(names, { maxRetries: 0 });
        for (const c of fails) p.fail(failure(c, { restScope: 'model' }));
        expect(p.models).toBe(names.join(' '));
        expect(p.asked.map((a) => a.atMs)).toEqual(names.map((_, i) => 1_000 + 10 * i));
      }),
    );
  });
});
