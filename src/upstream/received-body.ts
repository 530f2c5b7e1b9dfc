/**
 * What is kept of a response while it comes: its headers as one text each, its body up to a bound.
 */
import type { IncomingHttpHeaders } from 'node:http';

/** @returns lower-case names; what came several times, joined by commas. */
export function flattenHeaders(headers: IncomingHttpHeaders): Record<string, string> {
  const flat: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) flat[name] = Array.isArray(value) ? value.join(', ') : value;
  }
  return flat;
}

export class ReceivedBody {
  readonly #maxBytes: number;
  readonly #pieces: Uint8Array[] = [];
  #length = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** @returns false where it has become longer than the bound; what is beyond that is not kept. */
  add(piece: Uint8Array): boolean {
    const room = this.#maxBytes - this.#length;
    const kept = piece.length > room ? piece.subarray(0, room) : piece;
    this.#pieces.push(kept);
    this.#length += kept.length;
    return kept.length === piece.length;
  }

  get bytes(): Uint8Array {
    const [first] = this.#pieces;
    return this.#pieces.length === 1 && first ? first : Buffer.concat(this.#pieces, this.#length);
  }

  /** UTF-8; what is none becomes replacement characters. */
  get text(): string {
    return new TextDecoder().decode(this.bytes);
  }
}
