/** The driver: runs one request after another, each by itself (request-run.ts), and knows which are under way. */
import type { ChainRequest, RunningRequest } from './chain-request.js';
import { RequestRun, type RequestRunDeps } from './request-run.js';
import { Roster } from './roster.js';

export class ChainRunner {
  readonly #deps: RequestRunDeps;
  readonly #live = new Roster<RequestRun>();

  constructor(deps: RequestRunDeps) {
    this.#deps = deps;
  }

  start(request: ChainRequest): RunningRequest {
    const run = new RequestRun(request, this.#deps, () => this.#live.leave(seat));
    const seat = this.#live.enter(run);
    run.start();
    return run;
  }

  /** How many requests are under way. */
  get liveCount(): number {
    return this.#live.size;
  }

  /** Ends what is under way, and tells every caller so. */
  shutDown(): void {
    for (const run of this.#live.members()) run.shutDown();
  }
}
