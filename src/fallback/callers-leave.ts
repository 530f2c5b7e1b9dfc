/** The caller's signal for as long as its request runs: an abort cancels the request, and nothing is left of us on it. */
export class CallersLeave {
  readonly #signal: AbortSignal | undefined;
  #running: { cancel(): void } | undefined;
  #isOver = false;

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
  }

  /** A request may have ended before whoever started it gets it back. */
  cancels(running: { cancel(): void }): void {
    if (this.#isOver) return;
    this.#running = running;
    if (this.#signal?.aborted) running.cancel();
    else this.#signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  /** The request has ended. */
  end(): void {
    this.#isOver = true;
    this.#signal?.removeEventListener('abort', this.#onAbort);
  }

  get reason(): unknown {
    return this.#signal?.reason;
  }

  readonly #onAbort = (): void => this.#running?.cancel();
}
