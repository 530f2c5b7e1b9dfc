/**
 * Proves an ordinary chunk well-formed without parsing it.
 *
 * The chunks of one stream differ only in a few strings: the text, sometimes random padding. After one chunk was parsed, its
 * bytes around those strings are remembered. A later event with the same bytes around strings that are valid JSON strings is
 * valid JSON of the same shape, and says the same but for those strings. Anything else is parsed: slower, never wrong.
 * Measured in bench/chunk-reading.ts beside parsing every event.
 */
import type { ChunkChoice, ChunkReading, JsonObject } from './chat-chunk.js';

/** What may differ: the two texts a model writes, and OpenAI's padding against traffic analysis. */
const HOLE = /[{,]\s*"(content|reasoning_content|reasoning|obfuscation)"\s*:\s*"/g;
const TEXT_KEYS = new Set(['role', 'content', 'reasoning_content', 'reasoning']);
const DATA_LINE = /^data:[^\r\n]*(?:\n\n|\r\n\r\n)$/;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const LOWER_U = 0x75;
/** `" \ / b f n r t`: what may follow a backslash, but for `u`. */
const SIMPLE_ESCAPES = new Set([0x22, 0x5c, 0x2f, 0x62, 0x66, 0x6e, 0x72, 0x74]);

/** A stream whose chunks differ in more gains nothing: after so many templates that no event matched, it is let be. */
const MAX_UNUSED_TEMPLATES = 16;

type HoleKind = 'content' | 'reasoning' | 'padding';

/** The template of the stream at hand, replaced as its chunks change shape (the clock ticks on, reasoning turns to text). */
export class TemplateReader {
  #template: ChunkTemplate | null = null;
  #hasMatched = false;
  #unused = 0;

  /** Of the event that `match` met last: where its text begins and ends, escapes included; both 0 where it has none. */
  get contentFrom(): number {
    return this.#template?.contentFrom ?? 0;
  }

  get contentTo(): number {
    return this.#template?.contentTo ?? 0;
  }

  /** How many bytes of reasoning it has. */
  get reasoningBytes(): number {
    return this.#template?.reasoningBytes ?? 0;
  }

  /** Which choice speaks. */
  get choice(): number {
    return this.#template?.choice ?? 0;
  }

  /**
   * @param piece the whole piece; made once per piece, since making one costs as much as matching an event.
   * @returns the offset behind an ordinary event that begins at `start`; -1: this one must be read.
   */
  match(piece: DataView, start: number): number {
    if (this.#template === null) return -1;
    const end = this.#template.match(piece, start);
    if (end > 0) this.#hasMatched = true;
    return end;
  }

  /** An event was read and passed on as it came; others may come that are like it. */
  learn(
    bytes: Uint8Array,
    start: number,
    end: number,
    payload: JsonObject,
    reading: ChunkReading & { ok: true },
  ): void {
    const [choice, ...others] = reading.choices;
    if (!choice || others.length > 0 || !isOrdinary(payload, choice)) return;
    this.#unused = this.#hasMatched ? 0 : this.#unused + 1;
    if (this.#unused > MAX_UNUSED_TEMPLATES) return;
    this.#hasMatched = false;
    this.#template = ChunkTemplate.learn(bytes, start, end, payload, choice);
  }

  /** Events that are like the last one mean something else from now on. */
  forget(): void {
    this.#template = null;
  }
}

/** Nothing but a text: whatever else it could say, it says nothing of. */
function isOrdinary(payload: JsonObject, choice: ChunkChoice): boolean {
  if (choice.finishReason !== null || (payload['usage'] ?? null) !== null) return false;
  if (choice.token !== 'content' && choice.token !== 'reasoning') return false;
  return Object.entries(choice.delta).every(([key, value]) => {
    if (value === null || (Array.isArray(value) && value.length === 0)) return true;
    return TEXT_KEYS.has(key) && typeof value === 'string';
  });
}

class ChunkTemplate {
  /** Of the event that `match` met last, escapes included. */
  contentFrom = 0;
  contentTo = 0;
  reasoningBytes = 0;

  readonly choice: number;
  readonly #segments: readonly DataView[];
  readonly #kinds: readonly HoleKind[];

  private constructor(choice: number, segments: readonly string[], kinds: readonly HoleKind[]) {
    this.choice = choice;
    this.#segments = segments.map((segment) => new DataView(Uint8Array.from(Buffer.from(segment, 'latin1')).buffer));
    this.#kinds = kinds;
  }

  /**
   * @param bytes   holds the event from `start` to `end`, which was parsed and found to be one ordinary chunk of one choice.
   * @param payload what it parsed to.
   * @param choice  its only one, whose only texts are among those that may differ.
   * @returns null where the strings cannot be told apart with certainty (a key occurs twice).
   */
  static learn(
    bytes: Uint8Array,
    start: number,
    end: number,
    payload: JsonObject,
    { delta, index: choice }: ChunkChoice,
  ): ChunkTemplate | null {
    // One character per byte, so that offsets in the text are offsets in the bytes.
    const text = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1');
    if (!DATA_LINE.test(text)) return null;
    const segments: string[] = [];
    const kinds: HoleKind[] = [];
    const met = new Set<string>();
    let segmentFrom = 0;
    for (const { 0: before, 1: key = '', index } of text.matchAll(HOLE)) {
      const from = index + before.length;
      const to = from + stringBodyLength(text, from);
      const owner = key === 'obfuscation' ? payload : delta;
      const value: unknown = JSON.parse(Buffer.from(`"${text.slice(from, to)}"`, 'latin1').toString('utf8'));
      if (occurrences(text, `"${key}"`) !== 1 || owner[key] !== value) return null;
      met.add(key);
      segments.push(text.slice(segmentFrom, from));
      kinds.push(key === 'obfuscation' ? 'padding' : key === 'content' ? 'content' : 'reasoning');
      segmentFrom = to;
    }
    // Every text must be told apart: one that is not would be taken for the same in every chunk.
    const texts = Object.keys(delta).filter((key) => key !== 'role' && typeof delta[key] === 'string');
    if (!texts.every((key) => met.has(key))) return null;
    segments.push(text.slice(segmentFrom));
    return new ChunkTemplate(choice, segments, kinds);
  }

  /**
   * @param piece the whole piece; made once per piece, since making one costs as much as matching an event.
   * @returns the offset behind an event of this shape that begins at `start`; -1 where none lies whole in `piece`.
   */
  match(piece: DataView, start: number): number {
    const segments = this.#segments;
    const last = segments.length - 1;
    this.contentFrom = 0;
    this.contentTo = 0;
    this.reasoningBytes = 0;
    let at = start;
    for (let index = 0; ; index++) {
      const segment = segments[index];
      if (segment === undefined || !hasSegment(piece, at, segment)) return -1;
      at += segment.byteLength;
      if (index === last) return at;
      const from = at;
      at = endOfStringBody(piece, at);
      if (at < 0) return -1;
      const kind = this.#kinds[index];
      if (kind === 'content') {
        this.contentFrom = from;
        this.contentTo = at;
      } else if (kind === 'reasoning') this.reasoningBytes += at - from;
    }
  }
}

/** Four bytes at a time: a quarter of the time of a byte loop, a third of Buffer.compare's. */
function hasSegment(piece: DataView, start: number, segment: DataView): boolean {
  const length = segment.byteLength;
  if (start + length > piece.byteLength) return false;
  let offset = 0;
  for (; offset + 4 <= length; offset += 4) {
    if (piece.getInt32(start + offset) !== segment.getInt32(offset)) return false;
  }
  for (; offset < length; offset++) if (piece.getUint8(start + offset) !== segment.getUint8(offset)) return false;
  return true;
}

/** @returns where the closing quote of the string stands whose body begins at `from`; -1: no valid string ends here. */
function endOfStringBody(piece: DataView, from: number): number {
  const length = piece.byteLength;
  for (let at = from; at < length; at++) {
    const byte = piece.getUint8(at);
    if (byte === QUOTE) return at;
    if (byte < 0x20) return -1;
    if (byte !== BACKSLASH) continue;
    at += 1;
    if (at >= length) return -1;
    const escaped = piece.getUint8(at);
    if (escaped !== LOWER_U) {
      if (!SIMPLE_ESCAPES.has(escaped)) return -1;
    } else {
      if (!hasHexDigits(piece, at + 1)) return -1;
      at += 4;
    }
  }
  return -1;
}

function hasHexDigits(piece: DataView, from: number): boolean {
  if (from + 4 > piece.byteLength) return false;
  for (let at = from; at < from + 4; at++) {
    const byte = piece.getUint8(at);
    const lower = byte | 0x20;
    if (!((byte >= 0x30 && byte <= 0x39) || (lower >= 0x61 && lower <= 0x66))) return false;
  }
  return true;
}

function stringBodyLength(text: string, from: number): number {
  let at = from;
  while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return at - from;
}

function occurrences(text: string, part: string): number {
  return text.split(part).length - 1;
}
