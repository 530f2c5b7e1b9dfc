/**
 * The policies that a simulation compares: how callers and other gateways meet a failing model, and ours, which is the
 * very code that serves requests. All see the same requests, the same weather and the same luck.
 *
 * The three others get our limit of 30 s for an attempt: their own (600 s and more) would only make them look worse.
 */
import { boardModels, retryBudgets } from '../../chain/board-models.js';
import { ChainRunner } from '../../chain/chain-runner.js';
import { ChainEvents } from '../../chain/events.js';
import { ModelBoard } from '../../chain/model-board.js';
import { Routes } from '../../chain/routes.js';
import type { Settings } from '../../config/settings.js';
import { DEFAULT_POLICY } from '../../policy/policy.js';
import type { AttemptHandler, AttemptLimits, RunningAttempt } from '../../upstream/upstream.js';
import type { PolicyName } from './report.js';
import type { Call, Field } from './field.js';

/** How a request ended, at the moment at which `done` is called. */
export interface CallOutcome {
  /** Who answered; absent: nobody. */
  readonly model?: string;
  /** When the answer was there, or the stream's first token. */
  readonly answeredAtMs?: number;
}

export interface Contestant {
  readonly name: PolicyName;
  start(call: Call, done: (outcome: CallOutcome) => void): void;
}

const { timeoutMs, stream } = DEFAULT_POLICY;
const LIMITS: AttemptLimits = { answerMs: timeoutMs, idleMs: stream.idleMs, totalMs: stream.totalMs };

/** One attempt, outside of the driver. A stream that breaks in the caller's hands is no answer. */
function askOnce(field: Field, call: Call, model: string, done: (answeredAtMs: number | undefined) => void): void {
  let spokenAtMs: number | undefined;
  const handler: AttemptHandler = {
    onFirstToken: () => (spokenAtMs = field.clock.nowMs()),
    onBytes: () => {},
    onEnd: (end) => done(end.type === 'completed' ? (spokenAtMs ?? field.clock.nowMs()) : undefined),
  };
  field.ask(call, { model, limits: LIMITS }, handler);
}

export function firstOnly(field: Field, models: readonly string[]): Contestant {
  const [model = ''] = models;
  return {
    name: 'first only',
    start: (call, done) => askOnce(field, call, model, (atMs) => done(outcomeOf(model, atMs))),
  };
}

const LOOP_TRIES = 3;
const LOOP_SLEEP_MS = 1_000;

/** What a small recipe does: three tries, at each failure on to the next model, for everyone, and a second's sleep. */
export function plainLoop(field: Field, models: readonly string[]): Contestant {
  let current = 0;
  const attempt = (call: Call, triesLeft: number, done: (outcome: CallOutcome) => void): void => {
    const model = models[current]!;
    askOnce(field, call, model, (atMs) => {
      if (atMs !== undefined || triesLeft <= 1) return done(outcomeOf(model, atMs));
      current = (current + 1) % models.length;
      field.clock.setTimer(LOOP_SLEEP_MS, () => attempt(call, triesLeft - 1, done));
    });
  };
  return { name: 'plain loop', start: (call, done) => attempt(call, LOOP_TRIES, done) };
}

/**
 * As LiteLLM has it where nothing is set (1.104, constants.py): two retries on the same model; where more than half of at
 * least five calls of a minute failed, the model is left alone for 5 s; where all are, an error at once. Waits between
 * retries as openai's client has them: 0.5 s, doubled, up to 8 s, less up to a quarter by chance.
 */
const RETRIES = 2;
const FAILED_SHARE = 0.5;
const LEAST_CALLS = 5;
const COUNTED_MS = 60_000;
const COOLDOWN_MS = 5_000;
const FIRST_WAIT_MS = 500;
const MOST_WAIT_MS = 8_000;

export function fixedCooldown(field: Field, models: readonly string[], random: () => number): Contestant {
  const known = models.map(() => ({ minute: -1, calls: 0, failures: 0, coolUntilMs: -Infinity }));
  const note = (at: number, hasFailed: boolean, nowMs: number): void => {
    const one = known[at]!;
    const minute = Math.floor(nowMs / COUNTED_MS);
    if (minute !== one.minute) Object.assign(one, { minute, calls: 0, failures: 0 });
    one.calls++;
    if (!hasFailed) return;
    one.failures++;
    if (one.calls >= LEAST_CALLS && one.failures > one.calls * FAILED_SHARE) one.coolUntilMs = nowMs + COOLDOWN_MS;
  };
  const attempt = (call: Call, from: number, retry: number, done: (outcome: CallOutcome) => void): void => {
    const { clock } = field;
    const at = known.findIndex((one, i) => i >= from && one.coolUntilMs <= clock.nowMs());
    if (at < 0) return done({});
    const isRetry = at === from && retry > 0;
    const model = models[at]!;
    askOnce(field, call, model, (atMs) => {
      note(at, atMs === undefined, clock.nowMs());
      if (atMs !== undefined) return done(outcomeOf(model, atMs));
      const retries = isRetry ? retry : 0;
      if (retries >= RETRIES) return attempt(call, at + 1, 0, done);
      const waitMs = Math.min(MOST_WAIT_MS, FIRST_WAIT_MS * 2 ** retries) * (1 - random() / 4);
      clock.setTimer(waitMs, () => attempt(call, at, retries + 1, done));
    });
  };
  return {
    name: 'fixed cooldown',
    start: (call, done) => attempt(call, 0, 0, done),
  };
}

export interface OurRules {
  /** The chain `default` of it is asked. */
  readonly settings: Settings;
  readonly replicas: number;
  /** Replicas know what any of them learnt, at once: the best that a shared store could do. */
  readonly sharedState: boolean;
  /** Another board, in experiments. */
  readonly Board?: typeof ModelBoard;
}

export function ours(field: Field, rules: OurRules, random: () => number): Contestant {
  const { settings, replicas, sharedState, Board = ModelBoard } = rules;
  const routes = new Routes(settings);
  const request = { isContinuable: true, fallback: true, overHttp: false };
  const plans = [false, true].map((streaming) => routes.plan({}, { ...request, streaming }));
  const boards: ModelBoard[] = [];
  const runners = Array.from({ length: replicas }, (_, replica) => {
    const events = new ChainEvents();
    const board = (sharedState && boards[0]) || new Board(boardModels(settings), events, random);
    board.setBudgets(retryBudgets(settings));
    boards[replica] = board;
    return new ChainRunner({ board, events, clock: field.clock, random });
  });
  return {
    name: 'ours',
    start: (call, done) => {
      let answeredAtMs: number | undefined;
      const ask = (order: { model: string; limits: AttemptLimits }, handler: AttemptHandler): RunningAttempt =>
        field.ask(call, order, handler);
      runners[call.index % replicas]!.start({
        requestId: 'simulated',
        plan: plans[call.streaming ? 1 : 0]!,
        ask,
        sink: {
          onCommit: () => (answeredAtMs = field.clock.nowMs()),
          onBytes: () => {},
          onFinish: ({ verdict, model }) => {
            const isAnswered = verdict.type === 'answered' && model !== undefined;
            done(isAnswered ? outcomeOf(model, answeredAtMs ?? field.clock.nowMs()) : {});
          },
        },
      });
    },
  };
}

function outcomeOf(model: string, answeredAtMs: number | undefined): CallOutcome {
  return answeredAtMs === undefined ? {} : { model, answeredAtMs };
}
