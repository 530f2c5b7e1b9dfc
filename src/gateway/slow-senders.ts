/**
 * Cuts clients that stop sending in the middle of a body: each holds a connection, and all together hold every one that
 * there is. Slow is allowed, silent is not. (Headers that do not come have a limit of the server's own.)
 *
 * One sweep for all, since a timer per request would cost every honest one.
 */
import type { IncomingMessage } from 'node:http';

/** The contract's limit. */
export const SILENCE_LIMIT_MS = 30_000;
const SWEEP_MS = 5_000;

interface Progress {
  bytes: number;
  atMs: number;
}

export class SlowSenders {
  readonly #sending = new Map<IncomingMessage, Progress>();
  readonly #silenceMs: number;
  #timer: NodeJS.Timeout | undefined;

  constructor(silenceMs = SILENCE_LIMIT_MS, sweepMs = SWEEP_MS) {
    this.#silenceMs = silenceMs;
    this.#timer = setInterval(() => this.#sweep(performance.now()), sweepMs).unref();
  }

  /** A request whose body is still to come. */
  watch(request: IncomingMessage): void {
    const { headers } = request;
    const hasBody = headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
    if (hasBody && !request.complete) {
      this.#sending.set(request, { bytes: request.socket.bytesRead, atMs: performance.now() });
    }
  }

  /** Its body is here. Harmless where it was not watched. */
  arrived(request: IncomingMessage): void {
    this.#sending.delete(request);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#sending.clear();
  }

  #sweep(nowMs: number): void {
    for (const [request, progress] of this.#sending) {
      const { bytesRead } = request.socket;
      if (request.complete || request.destroyed) this.#sending.delete(request);
      else if (bytesRead !== progress.bytes) Object.assign(progress, { bytes: bytesRead, atMs: nowMs });
      else if (nowMs - progress.atMs >= this.#silenceMs) {
        this.#sending.delete(request);
        request.socket.destroy();
      }
    }
  }
}
