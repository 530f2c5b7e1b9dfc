/**
 * The one error that a wrong configuration ends in, and the list in which its faults are gathered, so that whoever
 * fixes a configuration sees everything that is wrong with it at once.
 */
import { blotOut } from './secrets.js';

/** Wrong options, variables or file: one line per fault, and no secret in any. */
export class FallbackConfigError extends Error {
  override readonly name = 'FallbackConfigError';
  readonly faults: readonly string[];

  constructor(faults: readonly string[]) {
    super(faults.join('\n'));
    this.faults = Object.freeze([...faults]);
  }
}

/** Gathers faults. Secrets may become known after a line that holds them was added: lines are blotted at the end. */
export class FaultList {
  readonly #lines = new Set<string>();
  readonly #secrets = new Set<string>();

  /** @param line what is wrong, where, and what is allowed: `FALLBACK_MAX_RETRIES=many: expected …`. */
  add(line: string): void {
    this.#lines.add(line);
  }

  /** Whatever the faults say, this text will not stand in them. */
  hide(secret: unknown): void {
    if (typeof secret === 'string' && secret.trim() !== '') this.#secrets.add(secret.trim());
  }

  /** @throws FallbackConfigError with every fault so far, if there is one. */
  throwIfAny(): void {
    if (this.#lines.size === 0) return;
    throw new FallbackConfigError([...this.#lines].map((line) => oneLine(blotOut(line, this.#secrets))));
  }
}

/** A name with a line break in it must not look like two faults, nor reach a terminal as a control sequence. */
function oneLine(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, (character) => JSON.stringify(character).slice(1, -1));
}
