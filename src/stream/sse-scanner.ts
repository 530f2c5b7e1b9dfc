/**
 * Where one server-sent event ends and the next begins, on bytes, however they were cut into packets.
 *
 * Finds boundaries only: what an event says is read on demand (`readSseEvent`), because most events of a healthy
 * stream need no reading at all. An event that lies whole in a piece is handed out as a range of that piece; only one
 * that straddles two pieces is copied. Knows nothing of chat.
 * Source: WHATWG HTML, 9.2.6 "Interpreting an event stream".
 */

/** Longest event that is kept while its end is awaited: as long as a whole answer may be (inline images and audio). */
const MAX_EVENT_BYTES = 16 * 1024 * 1024;

/** `next` found no further whole event in the piece; what is left of it is kept. */
export const NEED_MORE = -1;
/** `next` met an event longer than `MAX_EVENT_BYTES`; the scanner is of no use any more. */
export const TOO_LARGE = -2;

const LF = 0x0a;
const CR = 0x0d;
const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf] as const;
const NOTHING = new Uint8Array(0);
const LEAST_CARRY_BYTES = 1024;

export class SseScanner {
  /** The event that `next` or `flush` found: the bytes from `start` to `end` in `bytes`, its blank line included. */
  bytes: Uint8Array = NOTHING;
  start = 0;
  end = 0;

  readonly #maxEventBytes: number;
  #carry: Uint8Array = NOTHING;
  #carryLength = 0;
  /** How much of a byte order mark has been seen; once it cannot come any more: all of it. */
  #markSeen = 0;
  #atLineStart = true;
  /** The byte before was a CR that ended a line: an LF now belongs to it. */
  #afterCr = false;
  /** The stream ends its lines with CRLF, so that a blank line's CR is not its end yet. */
  #usesCrLf = false;
  #awaitsLf = false;

  constructor(maxEventBytes: number = MAX_EVENT_BYTES) {
    this.#maxEventBytes = maxEventBytes;
  }

  /** No part of an event is kept: the next byte begins one. */
  get atBoundary(): boolean {
    return this.#carryLength === 0 && this.#markSeen === BYTE_ORDER_MARK.length;
  }

  /**
   * Looks for the end of the event that begins at `from`, or that began in an earlier piece.
   * @returns the offset behind it, the event itself in `bytes`, `start` and `end`; or `NEED_MORE`, or `TOO_LARGE`.
   */
  next(piece: Uint8Array, from: number): number {
    let begin = from;
    while (this.#markSeen < BYTE_ORDER_MARK.length && begin < piece.length) {
      if (piece[begin] !== BYTE_ORDER_MARK[this.#markSeen]) this.#markSeen = BYTE_ORDER_MARK.length;
      else {
        this.#markSeen += 1;
        begin += 1;
      }
    }
    const end = this.#endOfEvent(piece, begin);
    if (end === NEED_MORE) return this.#keep(piece, begin, piece.length);
    if (this.#carryLength === 0) {
      this.bytes = piece;
      this.start = begin;
      this.end = end;
      return end;
    }
    if (this.#keep(piece, begin, end) === TOO_LARGE) return TOO_LARGE;
    this.#handOutCarry();
    return end;
  }

  /**
   * The body has ended: what is kept becomes an event, ended as it should have been.
   * @returns false where nothing is kept.
   */
  flush(): boolean {
    if (this.#carryLength === 0) return false;
    if (!this.#awaitsLf) {
      const missing = this.#atLineStart ? [LF] : [LF, LF];
      this.#keep(Uint8Array.from(missing), 0, missing.length);
    }
    this.#handOutCarry();
    return true;
  }

  #endOfEvent(piece: Uint8Array, from: number): number {
    for (let at = from; at < piece.length; at++) {
      const byte = piece[at];
      if (this.#awaitsLf) {
        this.#awaitsLf = false;
        return byte === LF ? at + 1 : at;
      }
      if (byte === LF) {
        if (this.#afterCr) {
          this.#afterCr = false;
          this.#usesCrLf = true;
        } else if (this.#atLineStart) {
          return at + 1;
        } else {
          this.#atLineStart = true;
          this.#usesCrLf = false;
        }
      } else if (byte === CR) {
        if (this.#afterCr) this.#usesCrLf = false;
        this.#afterCr = !this.#atLineStart;
        if (this.#atLineStart) {
          if (!this.#usesCrLf) return at + 1;
          this.#awaitsLf = true;
        }
        this.#atLineStart = true;
      } else {
        this.#atLineStart = false;
        this.#afterCr = false;
        at = endOfLine(piece, at + 1, piece.length) - 1;
      }
    }
    return NEED_MORE;
  }

  #keep(piece: Uint8Array, from: number, to: number): typeof NEED_MORE | typeof TOO_LARGE {
    const length = this.#carryLength + to - from;
    if (length > this.#maxEventBytes) return TOO_LARGE;
    if (length > this.#carry.length) {
      // Doubled, so that an event that comes byte by byte is not copied once per byte.
      const larger = Buffer.allocUnsafe(Math.max(LEAST_CARRY_BYTES, length, this.#carry.length * 2));
      larger.set(this.#carry.subarray(0, this.#carryLength));
      this.#carry = larger;
    }
    this.#carry.set(piece.subarray(from, to), this.#carryLength);
    this.#carryLength = length;
    return NEED_MORE;
  }

  #handOutCarry(): void {
    this.bytes = this.#carry;
    this.start = 0;
    this.end = this.#carryLength;
    this.#carry = NOTHING;
    this.#carryLength = 0;
  }
}

export interface SseEvent {
  /** The `event` field; empty where there was none. */
  readonly name: string;
  /** The `data` lines, joined by line feeds; null where there was none (a comment, an `id` or `retry` alone). */
  readonly data: string | null;
  /** The first line that is no field of the format (an error page, an error without `data:`); null where all are. */
  readonly stray: string | null;
}

const LINE_END = /\r\n|\r|\n/;

/** Reads one whole event. Bytes that are no UTF-8 become replacement characters. Never throws. */
export function readSseEvent(bytes: Uint8Array, start: number, end: number): SseEvent {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const dataAt = startOfData(bytes, start);
  if (dataAt > 0) {
    const lineEnd = endOfLine(bytes, dataAt, end);
    if (isBlank(bytes, lineEnd, end)) {
      return { name: '', data: view.toString('utf8', dataAt, lineEnd), stray: null };
    }
  }
  let name = '';
  let data: string | null = null;
  let stray: string | null = null;
  for (const line of view.toString('utf8', start, end).split(LINE_END)) {
    if (line === '' || line.startsWith(':')) continue;
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (field === 'event') name = value;
    else if (field === 'data') data = data === null ? value : `${data}\n${value}`;
    else if (field !== 'id' && field !== 'retry') stray ??= line;
  }
  return { name, data, stray };
}

/** Where the value of a `data` field that begins at `start` begins; 0 where none does. */
function startOfData(bytes: Uint8Array, start: number): number {
  const isData =
    bytes[start] === 0x64 &&
    bytes[start + 1] === 0x61 &&
    bytes[start + 2] === 0x74 &&
    bytes[start + 3] === 0x61 &&
    bytes[start + 4] === 0x3a;
  if (!isData) return 0;
  return bytes[start + 5] === 0x20 ? start + 6 : start + 5;
}

function endOfLine(bytes: Uint8Array, from: number, end: number): number {
  let at = from;
  while (at < end && bytes[at] !== LF && bytes[at] !== CR) at += 1;
  return at;
}

/** Nothing but line ends from here on. */
function isBlank(bytes: Uint8Array, from: number, end: number): boolean {
  for (let at = from; at < end; at++) if (bytes[at] !== LF && bytes[at] !== CR) return false;
  return true;
}
