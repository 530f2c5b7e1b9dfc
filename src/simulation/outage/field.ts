/**
 * The models of a simulation with their weather: whoever asks one is dealt the same luck for the same request, whatever
 * policy asks, so that policies are compared and not their luck. On a real clock, they are the models of the bench that
 * puts the running app beside the simulator.
 */
import type { Clock } from '../../chain/clock.js';
import type { AttemptHandler, AttemptLimits, RunningAttempt } from '../../upstream/upstream.js';
import type { ContinuationRequest } from '../../stream/continuation.js';
import { drawTtftMs, type LatencyProfile, seededRandom } from '../latency-profile.js';
import { isDown, NO_TROUBLE, type Spell, type Trouble, Weather } from './trouble.js';
import { type Fate, playFate } from './virtual-model.js';

/** What a model is like on any day. */
export interface ModelNature {
  readonly name: string;
  readonly latency: LatencyProfile;
  /** Part of the attempts that fail on an ordinary day, 0 to 1. */
  readonly everydayErrorRatio: number;
  /** So many attempts at a time. */
  readonly capacity?: number;
  /** What more of them bring about. `refuses`: they are told that it is overloaded; `slows`: all new ones take longer. */
  readonly beyondCapacity?: 'refuses' | 'slows';
  readonly price?: { readonly inputPerMTok: number; readonly outputPerMTok: number };
  readonly spells: readonly Spell[];
}

/** One request of a caller. */
export interface Call {
  /** Counts from 0. */
  readonly index: number;
  readonly streaming: boolean;
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** Attempts on each model, in the field's order. */
  readonly asked: number[];
}

export interface FieldOrder {
  readonly model: string;
  readonly limits: AttemptLimits;
  readonly continues?: ContinuationRequest;
}

/** Hears of every attempt. */
export interface FieldWatch {
  begins(model: number, isDown: boolean, isRetry: boolean): void;
  ends(model: number, costUsd: number): void;
}

interface Player {
  readonly at: number;
  readonly nature: ModelNature;
  readonly weather: Weather;
  live: number;
}

/** Told to whoever comes when there is no room: a provider knows at once. */
const OVERLOADED_MS = 20;
/** How unevenly errors take their time: half to one and a half times the usual. */
const UNEVEN = 0.5;

export class Field {
  readonly clock: Clock;
  readonly weathers: readonly Weather[];
  readonly #players = new Map<string, Player>();
  readonly #watch: FieldWatch;
  readonly #seed: number;

  constructor(natures: readonly ModelNature[], clock: Clock, seed: number, watch: FieldWatch) {
    this.clock = clock;
    this.#seed = seed;
    this.#watch = watch;
    this.weathers = natures.map((nature, at) => {
      const usual = { ...NO_TROUBLE, errorRatio: nature.everydayErrorRatio };
      const weather = new Weather(nature.spells, usual);
      this.#players.set(nature.name, { at, nature, weather, live: 0 });
      return weather;
    });
  }

  /** One attempt at a model. */
  ask(call: Call, order: FieldOrder, handler: AttemptHandler): RunningAttempt {
    const player = this.#players.get(order.model);
    if (!player) throw new Error(`no model ${order.model} in the simulation`);
    const { at, weather, nature } = player;
    const trouble = weather.at(this.clock.nowMs());
    const nth = call.asked[at]!++;
    this.#watch.begins(at, isDown(trouble), nth > 0);
    const fate = fateOf(nature, trouble, player.live, call, seededRandom(mix(this.#seed, call.index, at * 64 + nth)));
    const usage = { inputTokens: call.inputTokens, outputTokens: call.outputTokens, reported: true };
    const { limits, continues } = order;
    player.live++;
    const virtual = { limits, streaming: call.streaming, usage, ...(continues && { continues }) };
    return playFate(fate, virtual, this.clock, handler, (used) => {
      player.live--;
      const { price } = nature;
      const costUsd = price
        ? (used.inputTokens * price.inputPerMTok + used.outputTokens * price.outputPerMTok) / 1e6
        : 0;
      this.#watch.ends(at, costUsd);
    });
  }
}

function fateOf(nature: ModelNature, trouble: Trouble, live: number, call: Call, random: () => number): Fate {
  if (trouble.hangs) return { what: 'hangs' };
  const { capacity = Infinity, beyondCapacity = 'refuses' } = nature;
  if (live >= capacity && beyondCapacity === 'refuses') {
    return { what: 'fails', afterMs: OVERLOADED_MS, failsWith: 'overloaded' };
  }
  if (random() < trouble.errorRatio) {
    const { failsWith, retryAfterMs } = trouble;
    const afterMs = trouble.errorMs * (UNEVEN + random());
    return { what: 'fails', afterMs, failsWith, ...(retryAfterMs !== undefined && { retryAfterMs }) };
  }
  const slowBy = trouble.slowBy * Math.max(1, (live + 1) / capacity);
  const ttftMs = drawTtftMs(nature.latency, random) * slowBy;
  const writingMs = (call.outputTokens * 1_000 * slowBy) / nature.latency.tokensPerSecond;
  return { what: 'answers', ttftMs, totalMs: ttftMs + writingMs };
}

/** A seed of its own for each attempt of each request. */
function mix(seed: number, request: number, attempt: number): number {
  let mixed = Math.imul(seed ^ Math.imul(request + 1, 0x9e3779b1), 0x85ebca6b);
  mixed ^= mixed >>> 13;
  return Math.imul(mixed ^ Math.imul(attempt + 1, 0xc2b2ae35), 0x27d4eb2f) >>> 0;
}
