/**
 * Bytes that are added to piece by piece, in one buffer that doubles: what is kept of a stream costs a copy, not an
 * object per chunk.
 */
const LEAST_BYTES = 1024;
/** Below it, a loop is faster than making the view that a block copy needs. */
const SHORT_BYTES = 48;
const NOTHING = new Uint8Array(0);

export class GrowingBytes {
  #bytes = NOTHING;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  append(piece: Uint8Array, from = 0, to = piece.length): void {
    const at = this.#extend(to - from);
    const bytes = this.#bytes;
    if (to - from < SHORT_BYTES) for (let i = from, j = at; i < to; i++, j++) bytes[j] = piece[i] ?? 0;
    else bytes.set(piece.subarray(from, to), at);
  }

  /** @param text one byte per character. */
  appendAscii(text: string): void {
    const at = this.#extend(text.length);
    const bytes = this.#bytes;
    for (let i = 0; i < text.length; i++) bytes[at + i] = text.charCodeAt(i);
  }

  /** All of it, as a view: good until the next piece is added. */
  view(): Buffer {
    return Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset, this.#length);
  }

  /** @returns where what is added begins. */
  #extend(byteLength: number): number {
    const at = this.#length;
    this.#length = at + byteLength;
    if (this.#length > this.#bytes.length) this.#grow(at);
    return at;
  }

  #grow(kept: number): void {
    const larger = new Uint8Array(Math.max(LEAST_BYTES, this.#length, this.#bytes.length * 2));
    larger.set(this.#bytes.subarray(0, kept));
    this.#bytes = larger;
  }
}
