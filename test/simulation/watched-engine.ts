/**
 * The app's own engine, with a clock and a chance of the test's and somebody who watches: which request began, what each
 * attempt was asked and heard. Nothing in it decides or behaves otherwise.
 */
import { Engine, type ChatCall, type EngineDeps } from '../../src/chain/engine.js';
import type { RequestSink, RunningRequest } from '../../src/chain/chain-request.js';
import { HttpUpstream } from '../../src/upstream/http-upstream.js';
import type {
  AttemptHandler,
  AttemptLimits,
  RunningAttempt,
  UpstreamClock,
  UpstreamRequest,
} from '../../src/upstream/upstream.js';

export interface AttemptWatch {
  /** @returns what hears of the attempt. */
  asks(request: UpstreamRequest, limits: AttemptLimits): { spoke(): void; isOver(): void };
}

export class WatchedUpstream extends HttpUpstream {
  readonly #watch: AttemptWatch;

  constructor(clock: UpstreamClock, watch: AttemptWatch) {
    super(clock);
    this.#watch = watch;
  }

  override start(request: UpstreamRequest, limits: AttemptLimits, handler: AttemptHandler): RunningAttempt {
    const seen = this.#watch.asks(request, limits);
    const running = super.start(request, limits, {
      onFirstToken: (held) => {
        handler.onFirstToken(held);
        seen.spoke();
      },
      onBytes: (bytes) => handler.onBytes(bytes),
      onEnd: (end) => {
        seen.isOver();
        handler.onEnd(end);
      },
    });
    return {
      cancel: () => {
        seen.isOver();
        running.cancel();
      },
      pause: () => running.pause(),
      resume: () => running.resume(),
      spent: () => running.spent?.() ?? { inputTokens: 0, outputTokens: 0, reported: false },
    };
  }
}

export class WatchedEngine extends Engine {
  readonly #onStart: (requestId: string) => void;

  constructor(deps: EngineDeps, onStart: (requestId: string) => void) {
    super(deps);
    this.#onStart = onStart;
  }

  override startChat(call: ChatCall, sink: RequestSink): RunningRequest {
    const running = super.startChat(call, sink);
    this.#onStart(call.requestId);
    return running;
  }
}
