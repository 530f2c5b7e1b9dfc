/**
 * The connections to one provider: kept alive and used again, as many as there are requests, one request at a time on each.
 *
 * Knows what the transport does not tell: whether a request went out on a connection that had served before (those may be
 * dead without anyone having noticed), and how to stop one that is still being opened.
 */
import { Socket } from 'node:net';
import { Agent, buildConnector, Client, Pool } from 'undici';
import type { Dispatcher } from 'undici';

/** How long an idle connection is kept where the upstream names no time; most close theirs after a minute or more. */
const KEEP_ALIVE_MS = 30_000;

const CONNECTION_OPTIONS = {
  pipelining: 1,
  // An answer on HTTP/2 would share its connection with others, and an abort would not free it.
  allowH2: false,
  keepAliveTimeout: KEEP_ALIVE_MS,
  // Every time limit is the attempt's own.
  headersTimeout: 0,
  bodyTimeout: 0,
} as const satisfies Client.Options;

/** Shared: nobody reads its stack. */
const ABANDONED = new Error('given up before it was connected');

/** Whoever sends a request here is told which connection carries it, before anything is written. */
export interface PooledHandler extends Dispatcher.DispatchHandler {
  onConnection(connection: Connection): void;
}

/** One connection: a client of the transport that has at most one socket at a time. */
export class Connection extends Client {
  #requestsOnSocket = 0;
  #connecting: Socket | null = null;

  constructor(origin: string | URL, connect: buildConnector.connector) {
    super(origin, {
      ...CONNECTION_OPTIONS,
      connect: (options, callback) => {
        // The transport's connector hands out the socket at once, though its types do not say so.
        const socket: unknown = connect(options, (...result) => {
          this.#connecting = null;
          callback(...result);
        });
        this.#connecting = socket instanceof Socket ? socket : null;
      },
    });
    this.on('connect', () => {
      this.#requestsOnSocket = 0;
    });
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    if (isPooledHandler(handler)) handler.onConnection(this);
    return super.dispatch(options, handler);
  }

  /** A request is about to be written. @returns whether its socket has served another before. */
  claimSocket(): boolean {
    this.#requestsOnSocket += 1;
    return this.#requestsOnSocket > 1;
  }

  /**
   * The request it was to carry is given up. A connection that is still being opened would go on with that, unlimited; one
   * that is open is asked for nothing more: the request ends when it would be written.
   */
  abandon(): void {
    this.#connecting?.destroy(ABANDONED);
  }
}

function isPooledHandler(handler: Dispatcher.DispatchHandler): handler is PooledHandler {
  return 'onConnection' in handler;
}

export class ConnectionPool {
  readonly #connect = buildConnector({ allowH2: false, timeout: 0 });
  readonly #fresh = new Set<Connection>();
  readonly #agent = new Agent({
    ...CONNECTION_OPTIONS,
    factory: (origin) =>
      new Pool(origin, { ...CONNECTION_OPTIONS, factory: (to) => new Connection(to, this.#connect) }),
  });

  dispatch(options: Dispatcher.DispatchOptions, handler: PooledHandler): void {
    this.#agent.dispatch(options, handler);
  }

  /** On a connection of its own, closed afterwards. */
  dispatchFresh(options: Dispatcher.DispatchOptions & { origin: string }, handler: PooledHandler): void {
    const connection = new Connection(options.origin, this.#connect);
    this.#fresh.add(connection);
    connection.dispatch(options, handler);
    connection
      .close()
      .catch(() => undefined)
      .finally(() => this.#fresh.delete(connection));
  }

  /** Cuts what is under way. */
  async close(): Promise<void> {
    await Promise.all([this.#agent, ...this.#fresh].map((dispatcher) => dispatcher.destroy()));
  }
}
