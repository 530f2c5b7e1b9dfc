/**
 * One HTTP request and its response, as callbacks: decoded bytes, pause and resume, an abort that closes the socket at once.
 *
 * A request that meets a connection dead which had served before is repeated once on a fresh one, and nobody hears of it.
 * Knows nothing of chat, and sets no limit but to how long a finished body may take to end.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { errors } from 'undici';
import type { Dispatcher } from 'undici';
import { createBodyDecoder } from './body-decoder.js';
import type { BodyDecoder } from './body-decoder.js';
import type { Connection, ConnectionPool, PooledHandler } from './connection-pool.js';

/** A used connection that fails within this time of the request, without a byte of response, was dead before it. */
const DEAD_CONNECTION_MS = 1_000;
const DEAD_CONNECTION_CODES = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']);

/** How long the rest of a body may take that nobody needs any more, so that its connection can be used again. */
const DRAIN_MS = 250;

/** Shared: nobody reads its stack, and making one costs more than the abort. */
const ABORTED = new Error('aborted by us');

/** The transport failed, as it tells; what came is no HTTP; the body's content-encoding is unknown or broken. */
export type ExchangeFault = 'wire' | 'protocol' | 'coding';

export interface ExchangeClock {
  nowMs(): number;
  setTimer(delayMs: number, fire: () => void): () => void;
}

/** One `onHead`, then `onPiece`, then `onBodyEnd`; or `onError`, last, instead of what had not come. Nothing after an abort. */
export interface ExchangeListener {
  /** The final head (no 1xx). Header names are lower-case. */
  onHead(status: number, headers: IncomingHttpHeaders): void;
  onPiece(bytes: Uint8Array): void;
  onBodyEnd(): void;
  onError(error: unknown, cause: ExchangeFault): void;
}

export class HttpExchange implements PooledHandler {
  readonly #pool: ConnectionPool;
  readonly #request: Dispatcher.DispatchOptions & { origin: string };
  readonly #listener: ExchangeListener;
  readonly #clock: ExchangeClock;
  #state: 'open' | 'draining' | 'closed' = 'open';
  #connection: Connection | null = null;
  #controller: Dispatcher.DispatchController | null = null;
  #isReused = false;
  #isRepeated = false;
  #writtenAtMs = 0;
  #hasResponse = false;
  #decoder: BodyDecoder | null = null;
  #isDecoderFull = false;
  #isPaused = false;
  #stopDraining: (() => void) | null = null;

  constructor(
    pool: ConnectionPool,
    request: Dispatcher.DispatchOptions & { origin: string },
    listener: ExchangeListener,
    clock: ExchangeClock,
  ) {
    this.#pool = pool;
    this.#request = request;
    this.#listener = listener;
    this.#clock = clock;
  }

  /** May call the listener before it returns, where the transport refuses the request. */
  start(): void {
    this.#pool.dispatch(this.#request, this);
  }

  /** Closes the socket at once, whatever state it is in; nothing more is told. */
  abort(): void {
    if (this.#state === 'closed') return;
    this.#close();
    if (this.#controller) this.#controller.abort(ABORTED);
    else this.#connection?.abandon();
  }

  /** Nothing more is needed; what is left of the body gets a moment to end, so that the connection can be used again. */
  release(): void {
    if (this.#state !== 'open') return;
    this.#state = 'draining';
    this.#stopDraining = this.#clock.setTimer(DRAIN_MS, () => this.abort());
    this.resume();
  }

  pause(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.#decoder?.output.pause();
    this.#controller?.pause();
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    // Not at once: the transport's parser may be at work for another connection, which it does not bear.
    queueMicrotask(() => this.#readOn());
  }

  onConnection(connection: Connection): void {
    this.#connection = connection;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    if (this.#state === 'closed') {
      controller.abort(ABORTED);
      return;
    }
    this.#controller = controller;
    this.#isReused = this.#connection?.claimSocket() ?? false;
    this.#writtenAtMs = this.#clock.nowMs();
    if (this.#isPaused) controller.pause();
  }

  onResponseStarted(): void {
    this.#hasResponse = true;
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    if (this.#state === 'closed' || status < 200) return;
    this.#listener.onHead(status, headers);
    if (!this.#isOpen()) return;
    const decoder = createBodyDecoder(headers['content-encoding']);
    if (decoder === null) this.#fail(new TypeError('unknown content-encoding'), 'coding');
    else if (decoder) this.#decode(decoder);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#state !== 'open') return;
    if (this.#decoder === null) this.#listener.onPiece(chunk);
    else if (!this.#decoder.input.write(chunk)) {
      this.#isDecoderFull = true;
      controller.pause();
    }
  }

  onResponseEnd(): void {
    const decoder = this.#decoder;
    if (this.#state === 'open' && decoder !== null) {
      // Its last pieces are still on their way, and a pause still holds them back.
      this.#controller = null;
      this.#connection = null;
      decoder.input.end();
    } else this.#end();
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
    if (this.#state === 'closed') return;
    if (this.#canRepeat(error)) {
      this.#isRepeated = true;
      this.#controller = null;
      this.#pool.dispatchFresh(this.#request, this);
    } else this.#fail(error, error instanceof errors.HTTPParserError ? 'protocol' : 'wire');
  }

  #canRepeat(error: Error): boolean {
    if (this.#state !== 'open' || !this.#isReused || this.#isRepeated || this.#hasResponse) return false;
    const code = 'code' in error ? error.code : undefined;
    const isDeadConnection = typeof code === 'string' && DEAD_CONNECTION_CODES.has(code);
    return isDeadConnection && this.#clock.nowMs() - this.#writtenAtMs < DEAD_CONNECTION_MS;
  }

  #decode(decoder: BodyDecoder): void {
    this.#decoder = decoder;
    decoder.output.on('data', (piece: Buffer) => {
      if (this.#state === 'open') this.#listener.onPiece(piece);
    });
    decoder.output.on('end', () => this.#end());
    decoder.output.on('error', (error) => this.#fail(error, 'coding'));
    decoder.input.on('drain', () => {
      this.#isDecoderFull = false;
      this.#readOn();
    });
    if (this.#isPaused) decoder.output.pause();
  }

  #readOn(): void {
    if (this.#state === 'closed' || this.#isPaused) return;
    this.#decoder?.output.resume();
    if (!this.#isDecoderFull || this.#state === 'draining') this.#controller?.resume();
  }

  #end(): void {
    const wasOpen = this.#state === 'open';
    if (this.#state === 'closed') return;
    this.#close();
    if (wasOpen) this.#listener.onBodyEnd();
  }

  #fail(error: unknown, cause: ExchangeFault): void {
    const wasOpen = this.#state === 'open';
    this.abort();
    if (wasOpen) this.#listener.onError(error, cause);
  }

  #close(): void {
    this.#state = 'closed';
    this.#stopDraining?.();
    this.#decoder?.input.destroy();
    this.#decoder?.output.destroy();
  }

  #isOpen(): boolean {
    return this.#state !== 'closed';
  }
}
