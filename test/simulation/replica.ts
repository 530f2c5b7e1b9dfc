/** One replica of a random world: a board and a driver of its own, and a configuration that may be loaded anew. */
import { ChainRunner } from '../../src/chain/chain-runner.js';
import { ChainEvents } from '../../src/chain/events.js';
import { Routes } from '../../src/chain/routes.js';
import type { ModelSettings } from '../../src/config/settings.js';
import type { Draw } from './draw.js';
import { settingsOf, type WorldShape } from './draw-settings.js';
import type { RestlessClock } from './restless-clock.js';
import { WatchedBoard } from './watched-board.js';

export interface ReplicaSetup {
  readonly index: number;
  readonly shape: WorldShape;
  readonly draw: Draw;
  readonly clock: RestlessClock;
  readonly say: (line: string) => void;
  readonly complain: (what: string) => void;
}

export class Replica {
  readonly index: number;
  readonly board: WatchedBoard;
  readonly runner: ChainRunner;
  shape: WorldShape;
  routes: Routes;
  readonly #setup: ReplicaSetup;

  constructor(setup: ReplicaSetup) {
    const { index, shape, draw, clock, say } = setup;
    const events = new ChainEvents();
    const { random } = draw;
    this.#setup = setup;
    this.index = index;
    this.board = new WatchedBoard(events, random, (what) => setup.complain(`replica ${index}: ${what}`));
    this.runner = new ChainRunner({ board: this.board, events, clock, random });
    events.on('breaker.changed', ({ model, state }) => say(`${index} breaker ${model} ${state}`));
    events.on('model.rested', ({ model, reason, restMs }) => say(`${index} rest ${model} ${reason} ${restMs}`));
    this.shape = shape;
    this.routes = this.#load(shape);
  }

  reload(shape: WorldShape): void {
    this.#setup.say(`replica ${this.index} reloads`);
    this.shape = shape;
    this.routes = this.#load(shape);
  }

  /** So many answers of each model are known, of streams and plain calls. */
  know(answers: number, usualMs: (model: string) => number): void {
    const { draw, clock } = this.#setup;
    const nowMs = clock.nowMs();
    for (const { name } of this.shape.models) {
      for (let i = 0; i < answers; i++) {
        const [streaming, tookMs] = [i % 2 === 0, draw.about(usualMs(name))];
        const order = { model: name, chain: 'default', unlikely: false, costs: false, isHedge: false };
        const state = this.board.availability(name, nowMs).state;
        if (state !== 'usable' && state !== 'ramping') break;
        const claim = this.board.begin(order, nowMs);
        const usage = { inputTokens: 10, outputTokens: 5, reported: true };
        const ended = {
          model: name,
          outcome: 'ok',
          streaming,
          startedAtMs: nowMs,
          latencyMs: tookMs * 2,
          usage,
        } as const;
        this.board.record({ ...ended, ...(streaming && { ttftMs: tookMs }) }, claim, nowMs);
        this.board.release(claim, nowMs);
      }
    }
    this.board.lastBegun = undefined;
  }

  /** The models of the default chain's first entry. */
  get firsts(): readonly ModelSettings[] {
    return settingsOf(this.shape).chains.get('default')?.entries[0] ?? [];
  }

  #load(shape: WorldShape): Routes {
    const settings = settingsOf(shape);
    this.board.reload(settings);
    return new Routes(settings);
  }
}
