/**
 * Models without sockets: their bytes go through the real attempt (exchange, limits, stream reader) in virtual time, so
 * that thousands of broken streams take seconds. What only a socket can show, the specs beside this one show on sockets.
 */
import type { Dispatcher } from 'undici';
import { Engine } from '../../src/chain/engine.js';
import { ChainEvents } from '../../src/chain/events.js';
import { loadSettings } from '../../src/config/load-settings.js';
import type { FallbackOptions } from '../../src/config/options.js';
import { parseJsonObject } from '../../src/simulation/json-value.js';
import type { JsonObject } from '../../src/simulation/json-value.js';
import { VirtualClock } from '../../src/simulation/virtual-clock.js';
import { ChatAttempt } from '../../src/upstream/chat-attempt.js';
import { ConnectionPool } from '../../src/upstream/connection-pool.js';
import type { PooledHandler } from '../../src/upstream/connection-pool.js';
import { HttpUpstream } from '../../src/upstream/http-upstream.js';
import { chatRoutes } from '../../src/upstream/provider.js';
import type { AttemptHandler, AttemptLimits, RunningAttempt, UpstreamRequest } from '../../src/upstream/upstream.js';

/** What one call is answered. */
export interface Played {
  readonly status?: number;
  readonly pieces: readonly Uint8Array[];
  readonly end: 'close' | 'reset' | 'hang';
}

/** @param model by name. */
export type PlayModel = (model: string, body: JsonObject) => Played;

export interface MemoryStage {
  readonly clock: VirtualClock;
  readonly events: ChainEvents;
  readonly engine: Engine;
}

/** An engine whose models are played by `play`. */
export function stageInMemory(options: FallbackOptions, play: PlayModel): MemoryStage {
  const clock = new VirtualClock();
  const events = new ChainEvents();
  const settings = loadSettings({ options, readVariable: () => undefined });
  const upstream = new ModelsInMemory(clock, play);
  return { clock, events, engine: new Engine({ settings, upstream, events, clock, random: () => 0.5 }) };
}

class ModelsInMemory extends HttpUpstream {
  readonly #clock: VirtualClock;
  readonly #play: PlayModel;

  constructor(clock: VirtualClock, play: PlayModel) {
    super(clock);
    this.#clock = clock;
    this.#play = play;
  }

  override start(request: UpstreamRequest, limits: AttemptLimits, handler: AttemptHandler): RunningAttempt {
    const pool = new MemoryPool(this.#clock, (body) => this.#play(request.target.name, body));
    const route = chatRoutes(request.target).streamed;
    return new ChatAttempt({ pool, route, request, limits, handler, clock: this.#clock }).start();
  }
}

class MemoryPool extends ConnectionPool {
  readonly #clock: VirtualClock;
  readonly #answer: (body: JsonObject) => Played;

  constructor(clock: VirtualClock, answer: (body: JsonObject) => Played) {
    super();
    this.#clock = clock;
    this.#answer = answer;
  }

  override dispatch({ body }: Dispatcher.DispatchOptions, handler: PooledHandler): void {
    const asked = parseJsonObject(Buffer.from(body as Uint8Array)) ?? {};
    new MemoryWire(this.#clock, this.#answer(asked), handler).begin();
  }
}

/** Between two pieces, virtual: a whole text that is repeated byte by byte still comes within its limits. */
const PACE_MS = 0.02;

/** One response on its way, none of it while its reader holds it back. */
class MemoryWire implements Dispatcher.DispatchController {
  aborted = false;
  paused = false;
  readonly reason = null;
  readonly rawHeaders = null;
  readonly rawTrailers = null;
  readonly #clock: VirtualClock;
  readonly #played: Played;
  readonly #handler: PooledHandler;
  #next = 0;
  #isScheduled = false;

  constructor(clock: VirtualClock, played: Played, handler: PooledHandler) {
    this.#clock = clock;
    this.#played = played;
    this.#handler = handler;
  }

  begin(): void {
    this.#after(() => {
      const { status = 200 } = this.#played;
      const type = status === 200 ? 'text/event-stream' : 'application/json';
      this.#handler.onRequestStart?.(this, undefined);
      this.#handler.onResponseStarted?.();
      this.#handler.onResponseStart?.(this, status, { 'content-type': type }, '');
      this.#schedule();
    });
  }

  abort(): void {
    this.aborted = true;
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#after(() => {
      this.#isScheduled = false;
      if (!this.paused) this.#send();
    });
  }

  #send(): void {
    const { pieces, end } = this.#played;
    const piece = pieces[this.#next++];
    if (piece) {
      this.#handler.onResponseData?.(this, Buffer.from(piece));
      this.#schedule();
    } else if (end === 'close') this.#handler.onResponseEnd?.(this, {});
    else if (end === 'reset') this.#handler.onResponseError?.(this, resetError());
  }

  #after(run: () => void): void {
    this.#clock.setTimer(PACE_MS, () => {
      if (!this.aborted) run();
    });
  }
}

function resetError(): Error {
  return Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
}
