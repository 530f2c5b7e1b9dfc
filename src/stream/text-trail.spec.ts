import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_TRAIL_BYTES, TextTrail } from './text-trail.js';

const escape = (c: string) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** The body of a JSON string, as some write it: with every character that may be escaped, or with none that need not. */
function bodyOf(text: string, isEscaped: boolean): string {
  const body = JSON.stringify(text).slice(1, -1);
  return isEscaped ? body.replaceAll(/[^\x20-\x7e]/g, escape) : body;
}

function appendBody(trail: TextTrail, body: Uint8Array): void {
  const around = Buffer.concat([Buffer.from('"content":"'), body, Buffer.from('"}')]);
  trail.appendEscaped(around, 11, 11 + body.length);
}

describe('the text that was delivered', () => {
  it('is what all chunks say together, whether they were parsed or copied, and however they were escaped', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 60 }),
      fc.string({ unit: 'grapheme', maxLength: 12 }),
      fc.constantFrom('', '"', '\\', '\\u0041', '\n', '\u2028', '\ufeff', 'a'.repeat(3_000)),
    );
    const chunks = fc.array(fc.record({ text, way: fc.constantFrom('parsed', 'copied', 'escaped') }), {
      maxLength: 20,
    });
    fc.assert(
      fc.property(chunks, (said) => {
        const trail = new TextTrail();
        for (const { text: piece, way } of said) {
          if (way === 'parsed') trail.appendText(piece);
          else appendBody(trail, Buffer.from(bodyOf(piece, way === 'escaped')));
        }
        expect(trail.text()).toBe(said.map(({ text: piece }) => piece).join(''));
        expect(trail.isComplete).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it('has a surrogate pair whole that was split over two chunks', () => {
    const trail = new TextTrail();
    trail.appendText('a\ud83d');
    appendBody(trail, Buffer.from('\\ude42b'));
    appendBody(trail, Buffer.from('\\ud83d'));
    trail.appendText('\ude42');
    expect(trail.text()).toBe('a🙂b🙂');
  });

  it('says of bytes that are no UTF-8 what a client reads, though the bytes of two chunks would make a character', () => {
    const smile = Buffer.from('🙂');
    for (let at = 1; at < smile.length; at++) {
      const halves = [smile.subarray(0, at), smile.subarray(at)];
      const trail = new TextTrail();
      for (const half of halves) appendBody(trail, half);
      expect(trail.text()).toBe(halves.map((half) => half.toString()).join(''));
    }
  });

  it('is not complete once it was more than is kept', () => {
    const trail = new TextTrail();
    trail.appendText('x'.repeat(MAX_TRAIL_BYTES - 1));
    appendBody(trail, Buffer.from('y'));
    expect([trail.isComplete, trail.text().length]).toEqual([true, MAX_TRAIL_BYTES]);
    trail.appendText('z');
    trail.appendText('');
    expect(trail.isComplete).toBe(false);
    expect(trail.text().at(-1)).toBe('y');
  });
});
