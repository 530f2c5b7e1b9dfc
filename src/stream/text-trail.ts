/**
 * What of an answer's text has been delivered, kept for the case that the stream breaks: next to nothing per chunk.
 *
 * The text lies in an ordinary chunk as the body of a JSON string. Such bodies, one behind the other, are the body of
 * one JSON string again, so they are copied as they stand, and decoded only where somebody asks; a surrogate pair that
 * was split over two chunks comes together by itself. Knows nothing of events.
 */
import { GrowingBytes } from './growing-bytes.js';

/**
 * Most that is kept, escapes included: a million tokens, more than any model writes or could be asked to go on with.
 * A stream that is longer is no answer, and must not fill the memory.
 */
export const MAX_TRAIL_BYTES = 4 * 1024 * 1024;

/** As it is, the body of a JSON string: ASCII without a quote, a backslash or a control character. */
const PLAIN = /^[ !#-[\]-~]*$/;

export class TextTrail {
  readonly #bodies = new GrowingBytes();
  #isComplete = true;

  /** False once there was more than is kept: the text can no longer be told. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** @param bytes hold the body of a valid JSON string from `from` to `to`. */
  appendEscaped(bytes: Uint8Array, from: number, to: number): void {
    if (to === from || !this.#hasRoom(to - from)) return;
    // A character whose bytes came in two chunks is none to any client; next to each other, they would become one.
    if (isContinuation(bytes[from])) this.#append(Buffer.from(decode(bytes, from, to)));
    else this.#bodies.append(bytes, from, to);
  }

  appendText(text: string): void {
    if (!PLAIN.test(text)) this.#append(Buffer.from(JSON.stringify(text).slice(1, -1)));
    else if (this.#hasRoom(text.length)) this.#bodies.appendAscii(text);
  }

  /** @returns what was appended, as far as it was kept. */
  text(): string {
    const text: string = JSON.parse(`"${this.#bodies.view().toString('utf8')}"`);
    return text;
  }

  #append(body: Uint8Array): void {
    if (this.#hasRoom(body.length)) this.#bodies.append(body);
  }

  #hasRoom(byteLength: number): boolean {
    if (this.#bodies.length + byteLength > MAX_TRAIL_BYTES) this.#isComplete = false;
    return this.#isComplete;
  }
}

/** A byte that cannot begin a character of UTF-8. */
function isContinuation(byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0xc0) === 0x80;
}

function decode(bytes: Uint8Array, from: number, to: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString('utf8');
}
