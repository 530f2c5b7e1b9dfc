/** How far a long command is, in one line of a terminal that is drawn again and again. Elsewhere it draws nothing. */
const BAR_WIDTH = 30;
const DRAW_EVERY_MS = 100;

export interface Terminal {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

export class ProgressBar {
  readonly #terminal: Terminal;
  readonly #total: number;
  #done = 0;
  #drawnAtMs = 0;

  constructor(terminal: Terminal, total: number) {
    this.#terminal = terminal;
    this.#total = total;
    this.#draw();
  }

  step(): void {
    this.#done += 1;
    if (performance.now() - this.#drawnAtMs >= DRAW_EVERY_MS || this.#done >= this.#total) this.#draw();
  }

  /** Takes the line away. */
  end(): void {
    if (this.#terminal.isTTY) this.#terminal.write('\r\u001b[K');
  }

  #draw(): void {
    if (!this.#terminal.isTTY) return;
    this.#drawnAtMs = performance.now();
    this.#terminal.write(`\r${progressText(this.#done, this.#total)}\u001b[K`);
  }
}

/** `[███████░░░] 70/100`. */
export function progressText(done: number, total: number): string {
  const filled = total === 0 ? BAR_WIDTH : Math.round((Math.min(done, total) / total) * BAR_WIDTH);
  return `[${'█'.repeat(filled)}${'░'.repeat(BAR_WIDTH - filled)}] ${done}/${total}`;
}
