/**
 * Comments that keep a stream's connection alive while there is nothing to say (a model is switched, tool calls are held,
 * a model thinks): official clients and proxies ignore them, and nobody takes the silence for the end.
 */
import type { ServerResponse } from 'node:http';

/** The contract says at least every 5 s, and a silence may begin right after a look: two of them are within that. */
const LOOK_MS = 2_400;

const COMMENT = ': waiting\n\n';

export class Heartbeat {
  /** Set by whoever writes: it costs a chunk less than a timer. */
  hasWritten = true;
  readonly #response: ServerResponse;
  #timer: NodeJS.Timeout | undefined;

  constructor(response: ServerResponse) {
    this.#response = response;
  }

  /** From the headers on. */
  start(): void {
    this.#timer ??= setInterval(() => this.#look(), LOOK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  beat(): void {
    const { writableEnded, writableNeedDrain } = this.#response;
    // Who does not read is not waiting for us.
    if (!writableEnded && !writableNeedDrain) this.#response.write(COMMENT);
  }

  #look(): void {
    if (!this.hasWritten) this.beat();
    this.hasWritten = false;
  }
}
