/**
 * A random world, played from its seed: replicas with boards and drivers of their own, the same models with moods,
 * callers who come and leave, clocks that leap, reloads in between; at last everything is well again. Whatever happens,
 * everyone who watches must be content.
 */
import { createHash } from 'node:crypto';
import type { RunningRequest } from '../../src/chain/chain-request.js';
import { FAILURE_CLASSES, type FailureClass } from '../../src/policy/failure.js';
import type { RequestPlan } from '../../src/policy/plan.js';
import { VirtualClock } from '../../src/simulation/virtual-clock.js';
import { Draw } from './draw.js';
import { drawReload, drawShape } from './draw-settings.js';
import { FickleModels } from './fickle-models.js';
import { drawMood } from './fickle-script.js';
import { Recovery } from './recovery.js';
import { Replica } from './replica.js';
import { RestlessClock } from './restless-clock.js';
import { CALM, HARSH, type Temper } from './temper.js';
import { WatchedRequest } from './watched-request.js';

export interface WorldStory {
  readonly seed: number;
  /** What was wrong, the first first; empty: nothing. */
  readonly complaints: readonly string[];
  readonly log: readonly string[];
  /** Of the log. */
  readonly hash: string;
  readonly requests: number;
  readonly attempts: number;
}

interface Caller {
  readonly request: WatchedRequest;
  readonly running: RunningRequest;
  readonly replica: Replica;
}

/** More steps than any request can need in one moment: whoever takes them turns in a circle. */
const MOST_STEPS_A_MOMENT = 5_000;
const HOUR_MS = 3_600_000;
const STORMY_REQUESTS = [40, 120] as const;

export function playWorld(seed: number): WorldStory {
  return new World(seed).play();
}

class World {
  readonly #seed: number;
  readonly #draw: Draw;
  readonly #virtual = new VirtualClock();
  readonly #clock: RestlessClock;
  readonly #lateMs: number;
  readonly #complaints: string[] = [];
  readonly #log: string[] = [];
  readonly #models: FickleModels;
  readonly #usualMs: ReadonlyMap<string, number>;
  readonly #replicas: readonly Replica[];
  readonly #callers = new Set<Caller>();
  readonly #temper: Temper;
  readonly #isStormy: boolean;
  #requests = 0;
  #attempts = 0;
  #steps = { atMs: -1, count: 0 };
  #leaptAtMs = 0;
  /** Timers of this world itself. */
  #ownTimers = 0;

  constructor(seed: number) {
    this.#seed = seed;
    const draw = new Draw(seed);
    this.#draw = draw;
    this.#lateMs = draw.chance(0.5) ? 0 : draw.pick([1, 20, 300]);
    this.#clock = new RestlessClock(this.#virtual, draw.fork(), this.#lateMs);
    this.#temper = draw.pick([CALM, HARSH]);
    this.#isStormy = draw.chance(0.1);
    const shape = drawShape(draw, this.#temper);
    const usualMs = draw.pick(this.#temper.usualMs);
    this.#usualMs = new Map(shape.models.map(({ name }) => [name, draw.about(usualMs * draw.pick([1, 1, 10]))]));
    this.#models = new FickleModels(this.#clock, draw.fork(), this.#usualMs);
    const setup = {
      shape,
      clock: this.#clock,
      say: (line: string) => this.#say(line),
      complain: (what: string) => this.#complain(what),
    };
    this.#replicas = Array.from(
      { length: draw.pick([1, 1, 2, 3]) },
      (_, index) => new Replica({ index, draw: draw.fork(), ...setup }),
    );
  }

  play(): WorldStory {
    const draw = this.#draw;
    const { gapsMs, requests, known } = this.#temper;
    const gapMs = draw.pick(gapsMs);
    for (const replica of this.#replicas) replica.know(draw.pick(known), (model) => this.#usualMs.get(model) ?? 1);
    const [least, most] = this.#isStormy ? STORMY_REQUESTS : requests;
    for (let left = draw.whole(least, most); left > 0 && this.#isFine; left--) {
      this.#pass(draw.chance(0.2) ? 0 : draw.about(gapMs));
      this.#meddle();
      if (this.#isFine) this.#arrive(draw.pick(this.#replicas));
    }
    while (this.#isFine && this.#step());
    if (this.#isFine) this.#recover(draw.pick(this.#replicas));
    if (this.#isFine) this.#judgeEnd();
    return {
      seed: this.#seed,
      complaints: this.#complaints,
      log: this.#log,
      hash: createHash('sha1').update(this.#log.join('\n')).digest('hex'),
      requests: this.#requests,
      attempts: this.#attempts,
    };
  }

  get #isFine(): boolean {
    return this.#complaints.length === 0;
  }

  /** What happens beside the requests. */
  #meddle(): void {
    const draw = this.#draw;
    for (const { name } of this.#replicas[0]!.shape.models) if (draw.chance(this.#temper.moody)) this.#setMood(name);
    if (draw.chance(0.1)) this.#leave();
    if (draw.chance(0.03)) this.#reload(draw.pick(this.#replicas));
    if (draw.chance(0.03)) this.#leap();
    if (draw.chance(0.02)) this.#virtual.shiftWall(draw.pick([-60_000, -HOUR_MS, 60_000]));
    if (draw.chance(0.2)) this.#blather();
  }

  #setMood(model: string): void {
    const temper = { good: this.#temper.good, isStormy: this.#isStormy };
    const mood = drawMood(this.#draw, this.#virtual.nowMs(), temper);
    this.#say(`${model} is ${JSON.stringify(mood)}`);
    this.#models.setMood(model, mood);
  }

  #arrive(replica: Replica, plan = this.#drawPlan(replica), isQuiet = false): WatchedRequest {
    const draw = this.#draw;
    const index = this.#requests++;
    const name = `r${index}`;
    const request = new WatchedRequest({
      name,
      plan,
      nowMs: () => this.#virtual.nowMs(),
      log: (line) => this.#say(line),
      complain: (what) => this.#complain(what),
      takeBegun: () => replica.board.takeBegun(),
      ask: (order, handler) => {
        this.#attempts++;
        return this.#models.ask(index, order, plan.streaming, handler);
      },
    });
    const how = `${plan.streaming ? 'streaming' : 'plain'} within ${plan.deadlineMs}`;
    this.#say(`${name} comes to ${replica.index} for ${plan.models.map((m) => m.name).join()} ${how}`);
    const drills = isQuiet
      ? undefined
      : draw.maybe(0.03, () => new Map([[plan.models[0]!.name, draw.pick(DRILLABLE)]]));
    const running = replica.runner.start({
      requestId: name,
      plan,
      ask: (order, handler) => request.ask(order, handler),
      sink: request,
      ...(drills && { drills }),
    });
    if (!request.isFinished) this.#callers.add({ request, running, replica });
    if (!isQuiet && draw.chance(0.05)) {
      running.pause();
      this.#ownTimers++;
      this.#clock.setTimer(draw.about(100), () => {
        this.#ownTimers--;
        running.resume();
      });
    }
    return request;
  }

  #drawPlan({ routes, shape }: Replica): RequestPlan {
    const draw = this.#draw;
    const names = shape.models.map((model) => model.name);
    const chain = draw.pick(shape.chains).name;
    const route = draw.pick([{}, { chain }, { chain }, { model: draw.pick(names) }, { models: draw.shuffled(names) }]);
    const deadlineMs = draw.maybe(0.2, () => draw.pick(this.#temper.deadlinesMs));
    return routes.plan(route, {
      overHttp: false,
      streaming: draw.chance(0.5),
      isContinuable: draw.chance(0.8),
      fallback: draw.chance(0.95),
      ...(deadlineMs !== undefined && { deadlineMs }),
    });
  }

  #leave(): void {
    // Also nobody, now and then.
    const leaving = [...this.#callers][this.#draw.fork().whole(0, this.#callers.size)];
    if (!leaving) return;
    this.#say('a caller leaves');
    leaving.running.cancel();
    if (!leaving.request.isFinished) this.#complain('a caller left, and its request goes on');
    this.#callers.delete(leaving);
  }

  #reload(replica: Replica): void {
    replica.reload(drawReload(replica.shape, this.#draw, this.#temper));
  }

  /** The machine slept; when it wakes, the network may be heard before the timers. */
  #leap(): void {
    const ms = this.#draw.about(this.#draw.pick([1_000, 60_000, 400_000]));
    this.#say(`time leaps by ${ms}`);
    this.#virtual.leap(ms);
    this.#leaptAtMs = this.#virtual.nowMs();
    const live = [...this.#models.live];
    const draw = this.#draw.fork();
    for (const attempt of live) if (draw.chance(0.3)) attempt.hurry();
  }

  /** What is over says something all the same: nobody may hear it. */
  #blather(): void {
    const draw = this.#draw.fork();
    const attempt = this.#models.someoneOver(draw);
    if (!attempt) return;
    const before = this.#visible();
    attempt.blather(draw);
    if (this.#visible() !== before) this.#complain('what came after the end of an attempt changed something');
  }

  #visible(): string {
    const nowMs = this.#virtual.nowMs();
    const boards = this.#replicas.map(({ board }) => board.standings(nowMs));
    return JSON.stringify([boards, this.#log.length, this.#virtual.liveTimers]);
  }

  #pass(ms: number): void {
    const untilMs = this.#virtual.nowMs() + ms;
    while (this.#isFine && this.#virtual.nextTimerAtMs <= untilMs) this.#step();
    if (this.#isFine) this.#virtual.advance(Math.max(0, untilMs - this.#virtual.nowMs()));
  }

  /** @returns false where no timer is left. */
  #step(): boolean {
    const isMoving = this.#virtual.step();
    const nowMs = this.#virtual.nowMs();
    if (nowMs !== this.#steps.atMs) this.#steps = { atMs: nowMs, count: 0 };
    if (++this.#steps.count > MOST_STEPS_A_MOMENT) this.#complain('turns in a circle');
    for (const caller of this.#callers) if (caller.request.isFinished) this.#callers.delete(caller);
    // What is due is late, for now: the clock may have leapt.
    if (this.#virtual.nextTimerAtMs <= nowMs) return isMoving;
    // Whoever finds out by a leap that it is late still needs a timer to say so.
    const sinceMs = nowMs - this.#lateMs - 1;
    for (const { request } of this.#callers) {
      if (sinceMs > this.#leaptAtMs && request.isOverdue(sinceMs))
        this.#complain('a request goes on after its deadline');
    }
    for (const replica of this.#replicas) {
      const idle = [...this.#callers].filter((caller) => caller.replica === replica && caller.request.isIdle).length;
      replica.board.judgeQueues(idle);
    }
    if (this.#callers.size === 0 && this.#virtual.liveTimers > this.#ownTimers) this.#complain('timers are left');
    return isMoving;
  }

  /** All models are well again, and one request after the other comes to the default chain. */
  #recover(replica: Replica): void {
    this.#say('all is well again');
    for (const model of this.#usualMs.keys()) this.#models.setMood(model, { what: 'well' });
    const request = { overHttp: false, streaming: this.#draw.chance(0.5), isContinuable: true, fallback: true };
    const plan = replica.routes.plan({}, request);
    const recovery = new Recovery({
      replica,
      plan,
      usualMs: this.#usualMs,
      lateMs: this.#lateMs,
      nowMs: this.#virtual.nowMs(),
    });
    for (const gapMs of recovery.gapsMs()) {
      this.#pass(gapMs);
      if (!this.#isFine) return;
      recovery.note(this.#arrive(replica, plan, true), this.#virtual.nowMs());
    }
    while (this.#isFine && this.#step());
    if (!this.#isFine) return;
    for (const wrong of recovery.judge(this.#virtual.nowMs())) this.#complain(wrong);
  }

  #judgeEnd(): void {
    if (this.#virtual.liveTimers > 0) this.#complain('timers are left');
    if (this.#callers.size > 0) this.#complain(`${this.#callers.size} requests were never answered`);
    // By then every rest and every open time is over.
    this.#virtual.advance(2 * HOUR_MS);
    for (const { board, runner } of this.#replicas) {
      if (runner.liveCount > 0) this.#complain(`${runner.liveCount} requests live for ever`);
      board.judgeEnd(this.#virtual.nowMs());
    }
  }

  #say(line: string): void {
    this.#log.push(`${this.#virtual.nowMs()} ${line}`);
  }

  #complain(what: string): void {
    this.#say(`WRONG: ${what}`);
    this.#complaints.push(what);
  }
}

const DRILLABLE: readonly FailureClass[] = FAILURE_CLASSES.filter((c) => c !== 'cancelled');
