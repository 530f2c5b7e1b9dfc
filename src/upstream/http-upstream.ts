/**
 * Models behind HTTP. Holds the connections, one pool per provider, and starts attempts on them; `chat-attempt.ts` is one.
 *
 * Nothing here retries, waits or chooses: that is the policy's.
 */
import { ChatAttempt } from './chat-attempt.js';
import { ConnectionPool } from './connection-pool.js';
import { chatRoutes, modelsRoute } from './provider.js';
import type { ChatRoutes } from './provider.js';
import { listModels } from './models-list.js';
import type { ListedModels } from './models-list.js';
import type {
  AttemptHandler,
  AttemptLimits,
  ModelTarget,
  ProviderTarget,
  RunningAttempt,
  Upstream,
  UpstreamClock,
  UpstreamRequest,
} from './upstream.js';
import { UsageQuestion } from './usage-question.js';

export class HttpUpstream implements Upstream {
  readonly #clock: UpstreamClock;
  readonly #pools = new Map<string, ConnectionPool>();
  /** By target, so that a configuration that was replaced takes its routes along. */
  readonly #routes = new WeakMap<ModelTarget, ChatRoutes>();
  /** Those that refuse to be asked for the usage of a stream. */
  readonly #refusingUsage = new WeakSet<ModelTarget>();

  #isClosed = false;

  constructor(clock: UpstreamClock) {
    this.#clock = clock;
  }

  /** The handler is never called before this has returned. */
  start(request: UpstreamRequest, limits: AttemptLimits, handler: AttemptHandler): RunningAttempt {
    const { target, bodyWithoutUsage } = request;
    if (!bodyWithoutUsage) return this.#attempt(request, limits, handler);
    if (this.#refusingUsage.has(target)) {
      return this.#attempt({ ...request, body: bodyWithoutUsage() }, limits, handler);
    }
    return new UsageQuestion({
      start: (body, left, listener) => this.#attempt({ ...request, body }, left, listener),
      request,
      limits,
      handler,
      clock: this.#clock,
      onRefused: () => this.#refusingUsage.add(target),
    });
  }

  #attempt(request: UpstreamRequest, limits: AttemptLimits, handler: AttemptHandler): RunningAttempt {
    const { target, streaming } = request;
    const { plain, streamed } = this.#routesOf(target);
    const pool = this.#poolOf(target.provider);
    return new ChatAttempt({
      pool,
      route: streaming ? streamed : plain,
      request,
      limits,
      handler,
      clock: this.#clock,
    }).start();
  }

  /** Asks a provider for its list of models. @param timeoutMs for all of it. Never rejects. */
  async getModels(provider: ProviderTarget, timeoutMs: number): Promise<ListedModels> {
    return listModels(this.#poolOf(provider), modelsRoute(provider), timeoutMs, this.#clock);
  }

  /** Cuts what is under way, idle connections too. No attempt can be started afterwards. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#pools.values()].map((pool) => pool.close()));
  }

  #routesOf(target: ModelTarget): ChatRoutes {
    let routes = this.#routes.get(target);
    if (!routes) {
      routes = chatRoutes(target);
      this.#routes.set(target, routes);
    }
    return routes;
  }

  #poolOf(provider: ProviderTarget): ConnectionPool {
    let pool = this.#pools.get(provider.name);
    if (!pool) {
      pool = new ConnectionPool();
      this.#pools.set(provider.name, pool);
      if (this.#isClosed) void pool.close();
    }
    return pool;
  }
}
