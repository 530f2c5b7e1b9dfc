/**
 * Comments that keep a stream's connection alive while there is nothing to say: official clients and proxies ignore them,
 * and nobody takes the silence for the end.
 */
import type { ServerResponse } from 'node:http';

/** The contract says at least every 5 s. */
export const HEARTBEAT_MS = 4_000;

const COMMENT = ': waiting\n\n';

export class Heartbeat {
  readonly #response: ServerResponse;
  #timer: NodeJS.Timeout | undefined;

  constructor(response: ServerResponse) {
    this.#response = response;
  }

  /**
   * The first comment goes out after `firstMs`, the next ones every few seconds. Does nothing while one is running.
   * @param begin called before the first one: what has to stand before it.
   */
  start(firstMs: number, begin?: () => void): void {
    if (this.#timer) return;
    this.#timer = setTimeout(() => {
      begin?.();
      this.#beat();
      this.#timer = setInterval(() => this.#beat(), HEARTBEAT_MS);
    }, firstMs);
  }

  stop(): void {
    if (!this.#timer) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #beat(): void {
    if (this.#response.headersSent && !this.#response.writableEnded) this.#response.write(COMMENT);
  }
}
