import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { backoffBoundMs } from './backoff.js';
import { FAILURE_CLASSES, type Failure, type FailureClass, traitsOf } from './failure.js';
import type { Availability, HealthView } from './health-view.js';
import type { PlannedModel, RequestPlan } from './plan.js';
import { type PolicyOptions, resolvePolicy } from './policy.js';
import { type Command, type Input, RequestMachine, type Verdict } from './request-machine.js';

type PlannedShape = Partial<Omit<PlannedModel, 'policy'>> & { name: string; options?: PolicyOptions };

function plan(models: (string | PlannedShape)[], options: PolicyOptions = {}, streaming = false): RequestPlan {
  const policy = resolvePolicy(options);
  return {
    chain: 'default',
    streaming,
    policy,
    deadlineMs: policy.deadlineMs,
    models: models.map((m, entry) => {
      const { options: own, ...shape }: PlannedShape = typeof m === 'string' ? { name: m } : m;
      return { provider: `${shape.name}-provider`, entry, ...shape, policy: resolvePolicy(options, own) };
    }),
  };
}

function failure(failureClass: FailureClass, more: Partial<Failure> = {}): Failure {
  const error = { message: failureClass, type: null, code: null, param: null };
  const isOperators = traitsOf(failureClass).fallBack === 'other-provider';
  return { class: failureClass, error, restScope: isOperators ? 'provider' : 'none', ...more };
}

/** Plays one request in virtual time; `rests` stands for the board. */
class Play {
  nowMs = 1_000;
  wakeAtMs: number | undefined;
  readonly rests = new Map<string, Extract<Availability, { state: 'resting' }>>();
  readonly asked: { model: string; kind: string; atMs: number; answerMs: number }[] = [];
  readonly cancelled: string[] = [];
  verdict: Verdict | undefined;
  restingTries = true;
  #isLive = false;
  readonly #machine: RequestMachine;

  constructor(
    readonly plan: RequestPlan,
    random: () => number = () => 0.5,
  ) {
    this.#machine = new RequestMachine(plan, random);
  }

  readonly #health: HealthView = {
    availability: (model, nowMs) => {
      const rest = this.rests.get(model);
      return rest && nowMs < rest.untilMs ? rest : { state: 'usable' };
    },
    mayTryResting: () => this.restingTries,
  };

  rest(model: string, ms: number, reason: FailureClass = 'overloaded', named = false): this {
    this.rests.set(model, { state: 'resting', untilMs: this.nowMs + ms, reason, named });
    return this;
  }

  feed(input: Input): readonly Command[] {
    const { commands, wakeAtMs } = this.#machine.next(input, this.#health, this.nowMs);
    if (commands.length > 0 || wakeAtMs !== undefined) this.wakeAtMs = wakeAtMs;
    for (const command of commands) {
      if (command.type === 'attempt') {
        const { model, kind, limits } = command;
        this.#isLive = true;
        this.asked.push({ model, kind, atMs: this.nowMs, answerMs: limits.answerMs });
      }
      if (command.type === 'cancel') this.cancelled.push(`${command.attempt}:${command.as}`);
      if (command.type === 'finish') this.verdict = command.verdict;
    }
    return commands;
  }

  start(): this {
    this.feed({ type: 'started' });
    return this;
  }

  /** The attempt that runs fails after some time. */
  fail(what: FailureClass | Failure, afterMs = 10): this {
    this.nowMs += afterMs;
    this.#isLive = false;
    const value = typeof what === 'string' ? failure(what) : what;
    this.feed({ type: 'failed', attempt: this.asked.length - 1, failure: value });
    return this;
  }

  complete(afterMs = 10): this {
    this.nowMs += afterMs;
    this.feed({ type: 'completed', attempt: this.asked.length - 1 });
    return this;
  }

  /** The clock goes on to the moment that was asked for, where nothing runs. */
  wake(): this {
    return this.#isLive ? this : this.wakeAnyhow();
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

const play = (...args: Parameters<typeof plan>) => new Play(plan(...args)).start();

describe('a request', () => {
  it('asks the first model, and is answered when it completes', () => {
    const p = play(['a', 'b']).complete();
    expect(p.models).toBe('a');
    expect(p.verdict).toEqual({ type: 'answered', attempt: 0 });
  });

  it('starts at the first usable model', () => {
    expect(new Play(plan(['a', 'b'])).rest('a', 5_000).start().models).toBe('b');
  });

  it('falls back at once, in the order of the chain, skipping what rests', () => {
    const p = play(['a', 'b', 'c']).rest('b', 5_000).fail('server_error');
    expect(p.asked.map((a) => [a.model, a.kind, a.atMs])).toEqual([
      ['a', 'first', 1_000],
      ['c', 'fallback', 1_010],
    ]);
  });

  it('rotates its retries through the models once every model was tried', () => {
    const p = play(['a', 'b'], { maxRetries: 3 });
    for (let i = 0; i < 5; i++) p.fail('server_error').wake();
    expect(p.models).toBe('a b a b a');
    expect(p.verdict).toEqual({ type: 'exhausted', because: 'failed' });
  });

  it('waits between the bounds of its jitter before a retry: factor 1.5', () => {
    const p = play(['a'], { backoff: { baseMs: 1_000, factor: 1.5 } });
    for (const boundMs of [1_000, 1_500, 2_250]) {
      p.fail('network', 0);
      expect(p.wakeAtMs! - p.nowMs).toBe(boundMs * 0.5);
      p.wake();
    }
  });

  it('does not come back to a model that forbade it', () => {
    expect(play(['a']).fail(failure('server_error', { neverRetry: true })).verdict).toMatchObject({
      because: 'failed',
    });
  });

  it('bounds the retries on one model by its own maxRetries', () => {
    const p = play([{ name: 'a', maxRetries: 0 }, 'b']);
    for (let i = 0; i < 5; i++) p.fail('server_error').wake();
    expect(p.models).toBe('a b b b b');
  });

  it('hears nothing of an attempt that it cancelled, and nothing after its verdict', () => {
    const p = play(['a', 'b']);
    p.feed({ type: 'cancelled' });
    expect(p.cancelled).toEqual(['0:cancelled']);
    expect(p.verdict).toEqual({ type: 'cancelled' });
    expect(p.feed({ type: 'failed', attempt: 0, failure: failure('network') })).toEqual([]);
    expect(p.feed({ type: 'completed', attempt: 0 })).toEqual([]);
    expect(p.feed({ type: 'woke' })).toEqual([]);
  });
});

describe('what each failure class leads to', () => {
  const cases: { class: FailureClass; more?: Partial<Failure>; then: string; why: string }[] = [
    { class: 'invalid_request', then: 'a', why: 'asking others multiplies the mistake' },
    { class: 'content_filter', then: 'a', why: 'a laxer model is the operator’s decision' },
    { class: 'unsupported', then: 'a b c', why: 'a fault of this model' },
    { class: 'invalid_output', then: 'a b c', why: 'another model may obey' },
    { class: 'empty_answer', then: 'a b c', why: 'never the same model again' },
    { class: 'auth', then: 'a c', why: 'b shares the key' },
    { class: 'quota', then: 'a c', why: 'b shares the account' },
    { class: 'permission', more: { restScope: 'model' }, then: 'a b c', why: 'the body named the model' },
    { class: 'not_found', more: { restScope: 'model' }, then: 'a b c', why: 'only that model is gone' },
  ];
  it.each(cases)('$class: $then ($why)', ({ class: c, more, then }) => {
    const models = [
      { name: 'a', provider: 'p' },
      { name: 'b', provider: 'p' },
      { name: 'c', provider: 'q' },
    ];
    const p = play(models);
    for (let i = 0; i < 8; i++) p.fail(failure(c, more)).wake();
    expect(p.models).toBe(then);
  });

  it('asks only larger or unknown windows after context_length', () => {
    const p = play([
      { name: 'a', contextWindow: 8 },
      { name: 'b', contextWindow: 8 },
      'c',
      { name: 'd', contextWindow: 9 },
    ]);
    expect(p.fail('context_length').fail('context_length').models).toBe('a c d');
  });

  it('asks the next model after content_filter where the operator said so', () => {
    expect(play(['a', 'b'], { onContentFilter: 'next' }).fail('content_filter').models).toBe('a b');
  });
});

describe('retrySameModel', () => {
  const options = { retrySameModel: { attempts: 2, maxWaitMs: 2_500 } };

  it('comes back to the same model before the next one is asked', () => {
    const p = play(['a', 'b'], options);
    p.fail('server_error').wake().fail('server_error').wake().fail('server_error');
    expect(p.models).toBe('a a a b');
  });

  it('never for a timeout: a silent model stays silent', () => {
    expect(play(['a', 'b'], options).fail('timeout_ttft').models).toBe('a b');
  });

  it.each([
    { why: 'waited for exactly', restMs: 2_000, then: 'a a' },
    { why: 'too long: the next model at once', restMs: 3_000, then: 'a b' },
  ])('rate_limited with a named time, $why', ({ restMs, then }) => {
    const p = new Play(plan(['a', 'b'], options)).start().rest('a', restMs, 'rate_limited', true);
    p.fail('rate_limited', 0);
    if (then === 'a a') expect(p.wakeAtMs).toBe(p.nowMs + restMs);
    p.wake();
    expect(p.models).toBe(then);
  });
});

describe('when every model rests', () => {
  it('tries the one whose rest ends first, where no one else does', () => {
    const p = new Play(plan(['a', 'b'])).rest('a', 9_000).rest('b', 4_000).start();
    expect(p.models).toBe('b');
  });

  it('answers at once with the soonest end where another request is trying already', () => {
    const p = new Play(plan(['a', 'b'])).rest('a', 9_000).rest('b', 4_000);
    p.restingTries = false;
    expect(p.start().verdict).toEqual({ type: 'exhausted', because: 'down', retryAfterMs: 4_000 });
  });

  it('waits for a time that a provider named, where it fits the deadline', () => {
    const p = new Play(plan(['a'])).rest('a', 3_000, 'rate_limited', true).start();
    expect(p.asked).toEqual([]);
    expect(p.wake().asked).toMatchObject([{ model: 'a', kind: 'first', atMs: 4_000 }]);
  });

  it('says 429 at once where that time is longer than the deadline', () => {
    const p = new Play(plan(['a'])).rest('a', 90_000, 'rate_limited', true).start();
    expect(p.verdict).toEqual({ type: 'exhausted', because: 'rate_limited', retryAfterMs: 90_000 });
  });

  it('never tries one that rests for a wrong key', () => {
    const p = new Play(plan(['a'])).rest('a', 300_000, 'auth').start();
    expect(p.verdict).toMatchObject({ because: 'down', retryAfterMs: 300_000 });
  });

  it('waits for the rest of the only model it could retry', () => {
    const p = play(['a']).rest('a', 2_000, 'rate_limited', true).fail('rate_limited', 0);
    expect(p.wakeAtMs).toBe(3_000);
    expect(p.wake().complete().verdict).toEqual({ type: 'answered', attempt: 1 });
  });
});

describe('the deadline', () => {
  it('cuts the time of an attempt to what is left', () => {
    const p = play(['a', 'b'], { timeoutMs: 30_000, deadlineMs: 40_000 }).fail('timeout_total', 30_000);
    expect(p.asked.map((a) => a.answerMs)).toEqual([30_000, 10_000]);
  });

  it('ends the attempt that runs, and the request, with timed_out', () => {
    const p = play(['a'], { deadlineMs: 5_000, timeoutMs: 60_000 }).wakeAnyhow();
    expect(p.nowMs).toBe(6_000);
    expect(p.cancelled).toEqual(['0:timeout_total']);
    expect(p.verdict).toEqual({ type: 'exhausted', because: 'timed_out' });
  });

  it('is no reason to sleep past it: a wait that does not fit ends the request at once', () => {
    const p = play(['a'], { deadlineMs: 1_000, backoff: { baseMs: 10_000 } }).fail('server_error');
    expect(p.verdict).toEqual({ type: 'exhausted', because: 'failed' });
  });
});

describe('verdicts', () => {
  it.each<{ why: string; classes: FailureClass[]; verdict: object }>([
    { why: 'the caller’s own fault', classes: ['server_error', 'invalid_request'], verdict: { type: 'rejected' } },
    { why: 'nothing else failed', classes: ['unsupported', 'unsupported'], verdict: { type: 'rejected' } },
    { why: 'something else failed too', classes: ['unsupported', 'network'], verdict: { because: 'failed' } },
    { why: 'all rate limited', classes: ['rate_limited', 'rate_limited'], verdict: { because: 'rate_limited' } },
    { why: 'all timed out', classes: ['timeout_total', 'timeout_total'], verdict: { because: 'timed_out' } },
    { why: 'mixed', classes: ['rate_limited', 'timeout_total'], verdict: { because: 'failed' } },
  ])('$why: $classes', ({ classes, verdict }) => {
    const p = play(['a', 'b'], { maxRetries: 0 });
    for (const c of classes) p.fail(c);
    expect(p.verdict).toMatchObject(verdict);
  });
});

describe('a stream', () => {
  it('is committed by its first token, and a break after it ends it', () => {
    const p = play(['a', 'b'], {}, true);
    expect(p.feed({ type: 'first-token', attempt: 0 })).toEqual([{ type: 'commit', attempt: 0 }]);
    expect(p.wakeAtMs).toBeUndefined();
    expect(p.fail('stream_cut').verdict).toMatchObject({ type: 'broken' });
  });
});

describe('whatever happens', () => {
  const failureArb = fc.record({
    class: fc.constantFrom(...FAILURE_CLASSES.filter((c) => c !== 'cancelled')),
    neverRetry: fc.boolean(),
    restMs: fc.constantFrom(0, 500, 2_000, 90_000),
    named: fc.boolean(),
  });
  const happening = fc.oneof(
    { weight: 6, arbitrary: failureArb.map((f) => ({ type: 'fail' as const, ...f })) },
    { weight: 2, arbitrary: fc.constant({ type: 'wake' as const }) },
    { weight: 1, arbitrary: fc.constant({ type: 'complete' as const }) },
    { weight: 1, arbitrary: fc.constant({ type: 'first-token' as const }) },
    { weight: 1, arbitrary: fc.constant({ type: 'cancel' as const }) },
    { weight: 1, arbitrary: fc.nat(3).map((attempt) => ({ type: 'stale' as const, attempt })) },
  );
  const scenario = fc.record({
    models: fc.array(fc.record({ provider: fc.constantFrom('p', 'q'), window: fc.constantFrom(undefined, 8, 16) }), {
      minLength: 1,
      maxLength: 4,
    }),
    maxRetries: fc.nat(10),
    sameModel: fc.nat(2),
    deadlineMs: fc.integer({ min: 1, max: 20_000 }),
    streaming: fc.boolean(),
    restingAtStart: fc.array(fc.nat(3), { maxLength: 4 }),
    steps: fc.array(fc.tuple(happening, fc.nat(4_000)), { maxLength: 40 }),
    chance: fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), { minLength: 1, maxLength: 5 }),
  });

  it('keeps its promises', () => {
    fc.assert(
      fc.property(scenario, (s) => {
        const models = s.models.map((m, i) => ({
          name: `m${i}`,
          provider: m.provider,
          ...(m.window !== undefined && { contextWindow: m.window }),
        }));
        const options = {
          maxRetries: s.maxRetries,
          deadlineMs: s.deadlineMs,
          retrySameModel: { attempts: s.sameModel },
        };
        let draw = 0;
        const p = new Play(plan(models, options, s.streaming), () => s.chance[draw++ % s.chance.length]!);
        for (const i of s.restingAtStart) p.rest(`m${i}`, 1_500);
        const deadlineAtMs = p.nowMs + s.deadlineMs;
        let finishes = 0;
        let live: number | undefined;
        let isCommitted = false;
        const check = (commands: readonly Command[]) => {
          for (const command of commands) {
            expect(finishes, 'nothing after the finish').toBe(0);
            if (command.type === 'finish') finishes++;
            if (command.type === 'attempt') {
              expect(p.nowMs, 'no attempt at or after the deadline').toBeLessThan(deadlineAtMs);
              expect(live, 'one attempt at a time').toBeUndefined();
              live = command.attempt;
            }
            if (command.type === 'cancel') live = undefined;
            if (command.type === 'commit') isCommitted = true;
          }
          if (finishes === 0 && !isCommitted) {
            expect(p.wakeAtMs, 'never asleep past the deadline').toBeLessThanOrEqual(deadlineAtMs);
          }
        };
        check(p.feed({ type: 'started' }));
        for (const [step, afterMs] of s.steps) {
          const isWaiting = live === undefined && finishes === 0;
          const atMs = p.nowMs + afterMs;
          if (isWaiting || (p.wakeAtMs !== undefined && p.wakeAtMs <= atMs)) {
            p.nowMs = Math.max(p.nowMs, p.wakeAtMs ?? p.nowMs);
            check(p.feed({ type: 'woke' }));
            continue;
          }
          p.nowMs = atMs;
          const running = live ?? 0;
          if (step.type === 'fail') {
            live = undefined;
            if (step.restMs > 0) p.rest(p.asked.at(-1)?.model ?? 'm0', step.restMs, step.class, step.named);
            const value = failure(step.class, step.neverRetry ? { neverRetry: true } : {});
            const retriesBefore = p.asked.filter((a) => a.kind === 'retry').length;
            const commands = p.feed({ type: 'failed', attempt: running, failure: value });
            check(commands);
            if (commands.length === 0 && finishes === 0 && p.wakeAtMs !== undefined) {
              const waitMs = p.wakeAtMs - p.nowMs;
              const restMs = Math.max(0, ...[...p.rests.values()].map((r) => r.untilMs - p.nowMs));
              const boundMs = backoffBoundMs(p.plan.policy.backoff, retriesBefore);
              expect(waitMs, 'a retry waits within its jitter, or for a rest').toBeLessThanOrEqual(
                Math.max(boundMs, restMs),
              );
            }
          }
          if (step.type === 'wake') check(p.feed({ type: 'woke' }));
          if (step.type === 'complete') check(p.feed({ type: 'completed', attempt: running }));
          if (step.type === 'first-token' && s.streaming) {
            check(p.feed({ type: 'first-token', attempt: running }));
          }
          if (step.type === 'cancel') check(p.feed({ type: 'cancelled' }));
          if (step.type === 'stale' && step.attempt !== live) {
            const value = failure('server_error');
            expect(p.feed({ type: 'failed', attempt: step.attempt, failure: value }), 'stale inputs').toEqual([]);
          }
        }
        const retries = p.asked.filter((a) => a.kind === 'retry').length;
        expect(retries).toBeLessThanOrEqual(s.maxRetries);
        expect(p.asked.length).toBeLessThanOrEqual(models.length + s.maxRetries);
        const order = p.asked.filter((a) => a.kind !== 'retry').map((a) => a.model);
        expect(new Set(order).size, 'a model is asked for the first time once').toBe(order.length);
      }),
      { numRuns: 2_000 },
    );
  });

  it('falls back without a wait, in the order of the chain, while none rests', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 6 }),
        fc.array(fc.constantFrom('server_error', 'network', 'stream_cut', 'not_found', 'empty_answer'), {
          minLength: 6,
          maxLength: 6,
        }),
        (count, classes) => {
          const names = Array.from({ length: count }, (_, i) => `m${i}`);
          const p = play(names, { maxRetries: 0 });
          for (const c of classes) p.fail(failure(c as FailureClass, { restScope: 'model' }));
          expect(p.models).toBe(names.join(' '));
        },
      ),
    );
  });
});
