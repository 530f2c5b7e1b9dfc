import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { anchorOf, Seam } from './seam.js';

/** @returns what a caller would hold in the end, and whether the place was proven. */
function joined(text: string, answer: string, pieceChars = 3, isAsked = true): { whole: string; isProven: boolean } {
  const seam = new Seam(text, isAsked);
  for (let at = 0; at < answer.length; at += pieceChars) {
    const found = seam.push(answer.slice(at, at + pieceChars));
    if (found) return { whole: text + found.rest + answer.slice(at + pieceChars), isProven: found.isProven };
  }
  const { rest, isProven } = seam.end();
  return { whole: text + rest, isProven };
}

const LONG =
  'The circuit breaker opens after five failures in a row, and one trial at a time decides whether it closes again.';

describe('the last words', () => {
  it('begin with a whole word where one is near, and are the whole of a short text', () => {
    expect(anchorOf(LONG)).toBe('at a time decides whether it closes again.');
    expect(anchorOf('One two')).toBe('One two');
    expect(anchorOf('x'.repeat(100))).toBe('x'.repeat(40));
  });

  it('never begin in the middle of a surrogate pair', () => {
    expect(anchorOf('🙂'.repeat(50) + 'x')).toBe('🙂'.repeat(20) + 'x');
  });
});

describe('the seam', () => {
  it.each([
    { why: 'the last words', text: LONG, answer: `${anchorOf(LONG)} So be it.`, rest: ' So be it.' },
    { why: 'the whole text', text: LONG, answer: `${LONG} So be it.`, rest: ' So be it.' },
    { why: 'more than the last words', text: LONG, answer: `${LONG.slice(20)} So.`, rest: ' So.' },
    { why: 'the last word alone', text: 'One two', answer: 'two three', rest: ' three' },
    {
      why: 'the last words, blanks changed',
      text: 'a list:\n\n  one\n  two',
      answer: 'a list: one two\n  three',
      rest: '\n  three',
    },
    {
      why: 'the last words, quotes changed',
      text: 'she said “go on, please',
      answer: 'she said "go on, please”',
      rest: '”',
    },
    {
      why: 'the last words, few as they are between their blanks',
      text: `the${' '.repeat(37)}!`,
      answer: 'he !?',
      rest: '?',
    },
    { why: 'a blank before them', text: 'One two', answer: '\n One two three', rest: ' three' },
    { why: 'a blank at the end that the repeat leaves out', text: 'One two ', answer: 'One two three', rest: 'three' },
    {
      why: 'line ends at the end that the repeat changes',
      text: 'One two:\n\n',
      answer: 'One two: three',
      rest: 'three',
    },
    { why: 'a word that broke in its middle', text: 'One tw', answer: 'One two three', rest: 'o three' },
    { why: 'a number that broke in its middle', text: 'Pi is 3.14', answer: 'Pi is 3.14159', rest: '159' },
    { why: 'and has no more to say', text: 'One two', answer: 'One two', rest: '' },
  ])('is proven by a model that repeats $why', ({ text, answer, rest }) => {
    for (const pieceChars of [1, 2, 5, 1_000]) {
      expect(joined(text, answer, pieceChars)).toEqual({ whole: text + rest, isProven: true });
    }
  });

  it.each([
    { why: 'it goes on at once', text: 'One two', answer: ' three' },
    { why: 'one letter is the same by accident', text: 'One two', answer: 'of three' },
    { why: 'a short end is the same inside a word', text: 'the cat in the that', answer: 'hat trick' },
    { why: 'it begins like the text and leaves it', text: LONG, answer: 'The circuit is open.' },
    { why: 'it says something else', text: LONG, answer: 'I am sorry, I cannot continue.' },
  ])('is not proven where $why, and all of it is kept', ({ text, answer }) => {
    for (const pieceChars of [1, 3, 1_000]) {
      expect(joined(text, answer, pieceChars)).toEqual({ whole: text + answer, isProven: false });
    }
  });

  it.each([
    { why: 'of the whole text', answer: 'The circuit' },
    { why: 'of the last words', answer: 'at a time dec' },
  ])('is not proven where the model ends in the middle of the repeat $why, of which nothing is kept', ({ answer }) => {
    for (const pieceChars of [1, 3, 1_000]) {
      expect(joined(LONG, answer, pieceChars)).toEqual({ whole: LONG, isProven: false });
    }
  });

  it('is told at once where nothing can match any more', () => {
    expect(new Seam(LONG, true).push(' zzz')).toEqual({ isProven: false, rest: ' zzz' });
  });

  it('of a model that was not asked to repeat is where the text ends, unless it repeats all or the last words', () => {
    expect(joined('ha ha', ' ha ha', 1, false).whole).toBe('ha ha ha ha');
    expect(joined(LONG, `${LONG} More.`, 4, false)).toEqual({ whole: `${LONG} More.`, isProven: true });
    expect(joined(LONG, ' More.', 4, false)).toEqual({ whole: `${LONG} More.`, isProven: false });
  });

  it('costs no more per piece for a long text', () => {
    const text = Array.from({ length: 40_000 }, (_, i) => `${i} `).join('');
    const seam = new Seam(text, true);
    const startedMs = performance.now();
    for (let at = 0; at < text.length - 500; at += 5) expect(seam.push(text.slice(at, at + 5))).toBeUndefined();
    expect(performance.now() - startedMs).toBeLessThan(2_000);
  });
});

/** Texts as models write them: words, code, JSON, other scripts, emoji, long runs of one letter. */
const texts = fc
  .array(
    fc.oneof(
      { weight: 6, arbitrary: fc.stringMatching(/^[a-z]{1,9}$/).map((word) => `${word} `) },
      fc.constantFrom(
        '\n\n',
        '```ts\nconst x = {"a": [1, 2]};\n```\n',
        '“Ja”, ',
        '日本語の',
        '🙂👩‍👩‍👧',
        ' \t',
        '{"k":"v\\n"}',
        '3.14159',
      ),
      fc.integer({ min: 2, max: 60 }).map((n) => 'a'.repeat(n)),
      fc.string({ unit: 'grapheme', maxLength: 12 }),
    ),
    { minLength: 2, maxLength: 40 },
  )
  .map((parts) => parts.join(''));

/** How often a text stands in another, counted with overlaps. */
function count(text: string, part: string): number {
  let found = 0;
  for (let at = text.indexOf(part); at >= 0; at = text.indexOf(part, at + 1)) found++;
  return found;
}

describe('whatever the text, wherever it broke, however it comes', () => {
  it('nothing is lost and nothing stands there twice, where the last words are repeated exactly', () => {
    fc.assert(
      fc.property(texts, fc.nat(1_000), fc.integer({ min: 1, max: 50 }), (whole, share, n) => {
        const at = Math.max(1, Math.floor((whole.length * share) / 1_000));
        const text = whole.slice(0, at);
        const answer = anchorOf(text) + whole.slice(at);
        expect(joined(text, answer, n).whole).toBe(whole);
      }),
      { numRuns: 2_000 },
    );
  });

  it('nor where the whole text is repeated from its start, if that can be read in one way only', () => {
    fc.assert(
      fc.property(texts, fc.nat(1_000), fc.integer({ min: 1, max: 50 }), (whole, share, n) => {
        const at = Math.max(1, Math.floor((whole.length * share) / 1_000));
        const text = whole.slice(0, at);
        // A text that begins with its own last words can be read in two ways.
        fc.pre(text === anchorOf(text) || !text.startsWith(anchorOf(text)));
        expect(joined(text, whole, n).whole).toBe(whole);
      }),
      { numRuns: 2_000 },
    );
  });

  it('nor where the repeat changes white space and quotes', () => {
    const words = fc.array(fc.stringMatching(/^[a-z]{2,9}$/), { minLength: 8, maxLength: 40 });
    fc.assert(
      fc.property(words, fc.constantFrom(' ', '\n', '  ', ' “'), fc.integer({ min: 1, max: 9 }), (all, blank, n) => {
        const text = all.slice(0, -2).join(blank);
        const rest = ` ${all.slice(-2).join(' ')}`;
        const anchor = anchorOf(text);
        fc.pre(count(text, anchor) === 1);
        const changed = anchor.replaceAll('“', '"').replaceAll(/\s+/g, blank === ' ' ? '\n' : ' ');
        expect(joined(text, changed + rest, n)).toEqual({ whole: text + rest, isProven: true });
      }),
    );
  });
});
