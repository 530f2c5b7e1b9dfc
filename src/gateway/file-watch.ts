/**
 * Notices that a file's content has changed, however it was changed: written in place, replaced by an editor, swapped
 * under a symbolic link by Kubernetes. Looks at it now and then, since no kind of notification sees all three.
 */
import { stat } from 'node:fs/promises';

const LOOK_EVERY_MS = 500;

export class FileWatch {
  readonly #path: string;
  readonly #onChange: () => void;
  readonly #lookEveryMs: number;
  #timer: NodeJS.Timeout | undefined;
  /** What it looked like when it was last told of. */
  #told: string | undefined;
  /** What it looked like last time: a file that is still being written looks different each time. */
  #seen: string | undefined;

  constructor(path: string, onChange: () => void, lookEveryMs = LOOK_EVERY_MS) {
    this.#path = path;
    this.#onChange = onChange;
    this.#lookEveryMs = lookEveryMs;
  }

  async start(): Promise<this> {
    this.#told = await this.#look();
    this.#seen = this.#told;
    this.#schedule();
    return this;
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #schedule(): void {
    this.#timer = setTimeout(() => void this.#check(), this.#lookEveryMs).unref();
  }

  async #check(): Promise<void> {
    const now = await this.#look();
    if (this.#timer === undefined) return;
    const isSettled = now === this.#seen;
    this.#seen = now;
    if (isSettled && now !== this.#told) {
      this.#told = now;
      this.#onChange();
    }
    this.#schedule();
  }

  async #look(): Promise<string> {
    try {
      const { ino, size, mtimeMs } = await stat(this.#path);
      return `${ino} ${size} ${mtimeMs}`;
    } catch {
      return 'absent';
    }
  }
}
