import { createParser } from 'eventsource-parser';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NEED_MORE, readSseEvent, SseScanner, TOO_LARGE } from './sse-scanner.js';

/** Cuts `bytes` at the given places (in any order, beyond the end ignored). */
function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const sorted = [...new Set(places)].filter((place) => place > 0 && place < bytes.length).toSorted((a, b) => a - b);
  return [0, ...sorted].map((from, index) => bytes.subarray(from, sorted[index] ?? bytes.length));
}

function scan(pieces: readonly Uint8Array[]): { events: { name: string; data: string }[]; bytes: Buffer } {
  const scanner = new SseScanner();
  const events: { name: string; data: string }[] = [];
  const ranges: Uint8Array[] = [];
  const take = (): void => {
    ranges.push(scanner.bytes.subarray(scanner.start, scanner.end));
    const { name, data } = readSseEvent(scanner.bytes, scanner.start, scanner.end);
    if (data !== null) events.push({ name, data });
  };
  for (const piece of pieces) {
    let at = 0;
    while (at < piece.length) {
      at = scanner.next(piece, at);
      if (at < 0) break;
      take();
    }
  }
  if (scanner.flush()) take();
  return { events, bytes: Buffer.concat(ranges) };
}

function oracle(text: string): { name: string; data: string }[] {
  const events: { name: string; data: string }[] = [];
  const parser = createParser({ onEvent: ({ event, data }) => events.push({ name: event ?? '', data }) });
  parser.feed(text);
  return events;
}

const line = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 12 }).map((text) => `data: ${text.replaceAll(/[\r\n]/g, ' ')}`),
  fc.constantFrom(
    'data:no space',
    'data',
    'data:',
    ': a comment',
    'event: error',
    'id: 7',
    'retry: 3000',
    'unknown: x',
  ),
);
const lineEnd = fc.constantFrom('\n', '\r\n', '\r');
const stream = fc
  .tuple(fc.array(fc.array(line, { minLength: 1, maxLength: 4 }), { maxLength: 6 }), lineEnd, fc.boolean())
  .map(
    ([blocks, eol, hasMark]) => (hasMark ? '\uFEFF' : '') + blocks.map((lines) => lines.join(eol) + eol + eol).join(''),
  );

describe('the scanner for server-sent events', () => {
  it('finds the same events as a full parser, wherever the bytes are cut', () => {
    fc.assert(
      fc.property(stream, fc.array(fc.nat(200)), (text, places) => {
        // eventsource-parser tells of an event as soon as it has a `data` line, even an empty one; so do we.
        expect(scan(cut(Buffer.from(text), places)).events).toEqual(oracle(text));
      }),
      { numRuns: 500 },
    );
  });

  it('finds the same events byte by byte as in one piece', () => {
    fc.assert(
      fc.property(stream, (text) => {
        const bytes = Buffer.from(text);
        const whole = scan([bytes]);
        const single = scan(cut(bytes, Array.from(bytes.keys())));
        expect(single).toEqual(whole);
      }),
    );
  });

  it('hands out every byte once, in order, but for a byte order mark', () => {
    fc.assert(
      fc.property(stream, fc.array(fc.nat(200)), (text, places) => {
        expect(scan(cut(Buffer.from(text), places)).bytes.toString()).toBe(text.replace('\uFEFF', ''));
      }),
    );
  });

  it('hands out an event that lies whole in a piece as a range of that piece, not as a copy', () => {
    const scanner = new SseScanner();
    const piece = Buffer.from('data: 1\n\ndata: 2\n\ndata: 3');
    expect(scanner.next(piece, 0)).toBe(9);
    expect(scanner.bytes).toBe(piece);
    expect(scanner.next(piece, 9)).toBe(18);
    expect([scanner.bytes, scanner.start, scanner.end]).toEqual([piece, 9, 18]);
    expect(scanner.next(piece, 18)).toBe(NEED_MORE);
    expect(scanner.atBoundary).toBe(false);
  });

  it('does not wait for a line feed that may follow a carriage return, where the stream uses none', () => {
    const scanner = new SseScanner();
    expect(scanner.next(Buffer.from('data: 1\r\r'), 0)).toBe(9);
  });

  it('keeps a CRLF that was cut in two with its event', () => {
    const scanner = new SseScanner();
    expect(scanner.next(Buffer.from('data: 1\r\n\r'), 0)).toBe(NEED_MORE);
    expect(scanner.next(Buffer.from('\ndata: 2'), 0)).toBe(1);
    expect(Buffer.from(scanner.bytes.subarray(scanner.start, scanner.end)).toString()).toBe('data: 1\r\n\r\n');
  });

  it('keeps a character whole that was cut between its bytes', () => {
    const bytes = Buffer.from('data: 日本語 🙂\n\n');
    for (let place = 1; place < bytes.length; place++) {
      expect(scan(cut(bytes, [place])).events).toEqual([{ name: '', data: '日本語 🙂' }]);
    }
  });

  it('tells of a line that is no field, since it may be text that lost its frame', () => {
    const bytes = Buffer.from(': x\nid: 1\nretry: 2\ndata: y\n{"error":"z"}\n\n');
    expect(readSseEvent(bytes, 0, bytes.length)).toEqual({ name: '', data: 'y', stray: '{"error":"z"}' });
  });

  it('gives up on an event that never ends, rather than keep it all', () => {
    const scanner = new SseScanner(100);
    const piece = Buffer.from('data: 0123456789');
    let result = 0;
    let pieces = 0;
    while (result !== TOO_LARGE && pieces < 100) {
      result = scanner.next(piece, 0);
      pieces += 1;
    }
    expect(pieces).toBe(7);
  });
});
