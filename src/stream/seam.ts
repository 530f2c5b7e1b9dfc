/**
 * Where one model's text ends and the next one's begins: finds out what the next model repeats of the text so far, and
 * cuts it away, so that nothing stands there twice and nothing is lost.
 *
 * The next model was asked to repeat the last words exactly (`anchorOf`). It is held back until that shows: the exact
 * last words, or the whole text from its start; failing that, the same with other white space or quotes, or another
 * piece of the end, long enough to be no accident. Models that are asked only to "continue" drop the blank between two
 * words; the repeat proves where they are. Pure: text in, text out, by UTF-16 code units; what is held never exceeds
 * what may still match.
 */

/** The words that a model is asked to repeat: long enough to be found, short enough not to be rewritten. */
const ANCHOR_CHARS = 40;
/** Looked for backwards from there, so that the words begin with a whole one. */
const ANCHOR_SLACK_CHARS = 24;
/** Other ends than the one asked for are looked for in so much of the text. */
const TAIL_CHARS = 600;
/** A repeat as long as this is none by accident, wherever it begins; a shorter one must begin with a whole word. */
const SURE_CHARS = 12;
const LEAST_CHARS = 3;
/** White space alone proves nothing, and is not waited for without end. */
const MAX_BLANKS = 4_096;

export interface SeamFound {
  /** Something of the text was repeated, so the place is known. */
  readonly isProven: boolean;
  /** What goes on after the text so far. */
  readonly rest: string;
}

/** @returns the last words of a text, as a model is asked to repeat them; empty only for an empty text. */
export function anchorOf(text: string): string {
  const from = Math.max(0, text.length - ANCHOR_CHARS);
  if (from === 0) return text;
  const earliest = Math.max(0, from - ANCHOR_SLACK_CHARS);
  for (let at = from; at > earliest; at--) if (isBlank(text[at - 1]) && !isBlank(text[at])) return text.slice(at);
  return text.slice(isLowSurrogate(text, from) ? from - 1 : from);
}

/** Whether what comes repeats a text exactly, piece by piece. */
class ExactRepeat {
  readonly #whole: string;
  #at = 0;
  state: 'open' | 'complete' | 'over' = 'open';

  constructor(whole: string) {
    this.#whole = whole;
  }

  take(piece: string): void {
    if (this.state !== 'open') return;
    const left = this.#whole.length - this.#at;
    const isMet =
      piece.length < left ? this.#whole.startsWith(piece, this.#at) : this.#whole.endsWith(piece.slice(0, left));
    this.#at += piece.length;
    if (!isMet) this.state = 'over';
    else if (piece.length >= left) this.state = 'complete';
  }
}

/** A repeat, in plain form, from one place of the text to its end. */
interface Candidate {
  readonly from: number;
  /** What is to be met next. */
  at: number;
}

export class Seam {
  readonly #text: string;
  readonly #anchor: string;
  readonly #isAsked: boolean;
  /** The text in plain form, without blanks at its end. */
  readonly #plain: string;
  /** So long is what the model was asked for, in plain form. */
  readonly #askedChars: number;
  /** The blanks at the end of the text, as they stand there. */
  readonly #trailing: string;
  readonly #pieces: string[] = [];
  #receivedChars = 0;
  readonly #reader = new PlainReader();
  readonly #exactAnchor: ExactRepeat;
  readonly #exactText: ExactRepeat;
  #candidates: Candidate[];
  /** The longest plain repeat that is complete, and where it ends in what was received. */
  #best: { readonly from: number; readonly end: number } | undefined;
  #isOver = false;

  /**
   * @param text what the caller holds.
   * @param isAsked the model was asked to repeat the last words; otherwise it goes on by itself, and only an exact repeat
   * of the last words or of the whole text is taken for one.
   */
  constructor(text: string, isAsked: boolean) {
    this.#text = text;
    this.#anchor = anchorOf(text);
    this.#isAsked = isAsked;
    const core = text.trimEnd();
    this.#plain = plainOf(core);
    this.#askedChars = plainOf(this.#anchor.trimEnd()).length;
    this.#trailing = text.slice(core.length);
    this.#exactAnchor = new ExactRepeat(this.#anchor);
    this.#exactText = new ExactRepeat(text);
    // Asked for nothing, a model that goes on with a line of dashes or the next row of a table repeats none.
    if (!isAsked && (this.#anchor.length < SURE_CHARS || repeatsItself(text, this.#anchor)))
      this.#exactAnchor.state = 'over';
    if (!isAsked && text.length < LEAST_CHARS) this.#exactText.state = 'over';
    this.#candidates = this.#firstCandidates();
  }

  /** @returns undefined while more must come; once found, never asked again. */
  push(piece: string): SeamFound | undefined {
    this.#pieces.push(piece);
    this.#exactAnchor.take(piece);
    this.#exactText.take(piece);
    if (this.#candidates.length > 0) this.#match(piece);
    this.#receivedChars += piece.length;
    return this.#decide();
  }

  /** The model has said all. */
  end(): SeamFound {
    this.#isOver = true;
    // It ran into its limit while it still repeated: that proves no place, but says nothing new either.
    if (this.#isRepeating()) return { isProven: false, rest: '' };
    return this.#decide() ?? this.#unproven();
  }

  #isRepeating(): boolean {
    const mayBeExact = this.#exactAnchor.state === 'open' || this.#exactText.state === 'open';
    return mayBeExact && this.#isAsked && this.#best === undefined && this.#receivedChars >= LEAST_CHARS;
  }

  #firstCandidates(): Candidate[] {
    if (!this.#isAsked) return [];
    const froms = [0];
    const tailFrom = Math.max(1, this.#plain.length - TAIL_CHARS);
    for (let from = tailFrom; from < this.#plain.length; from++) froms.push(from);
    return froms.filter((from) => this.#plain[from] !== ' ').map((from) => ({ from, at: from }));
  }

  #match(piece: string): void {
    for (let i = 0; i < piece.length; i++) {
      for (const char of this.#reader.take(piece[i] ?? '')) this.#compare(char, this.#receivedChars + i + 1);
    }
  }

  /** @param end where this char ends in what was received. */
  #compare(char: string, end: number): void {
    this.#candidates = this.#candidates.filter((candidate) => {
      if (this.#plain[candidate.at] !== char) return false;
      candidate.at++;
      if (candidate.at < this.#plain.length) return true;
      const isLongest = candidate.from < (this.#best?.from ?? Infinity);
      if (isLongest && this.#isEnough(candidate.from)) this.#best = { from: candidate.from, end };
      return false;
    });
  }

  /** Whether a repeat from there to the end can be no accident. */
  #isEnough(from: number): boolean {
    const length = this.#plain.length - from;
    if (from === 0) return true;
    if (length >= SURE_CHARS || length === this.#askedChars) return true;
    return length >= LEAST_CHARS && this.#plain[from - 1] === ' ';
  }

  #decide(): SeamFound | undefined {
    if (this.#exactAnchor.state === 'complete') return this.#cut(this.#anchor.length);
    if (this.#exactText.state === 'complete') return this.#cut(this.#text.length);
    const mayBeExact = this.#exactAnchor.state === 'open' || this.#exactText.state === 'open';
    if (mayBeExact && !this.#isOver) return undefined;
    // Blanks alone: nobody repeats them reliably, and there is nothing to prove.
    if (this.#plain === '') return { isProven: true, rest: this.#received() };
    const best = this.#best;
    if (best && (this.#isOver || !this.#candidates.some((candidate) => candidate.from < best.from))) {
      return this.#afterBlanks(best.end);
    }
    const isWorthWaiting = this.#candidates.length > 0 && this.#receivedChars < this.#text.length + MAX_BLANKS;
    return isWorthWaiting && !this.#isOver ? undefined : this.#unproven();
  }

  /** The text ends in blanks, and the repeat may have them or others in their place: they stand there already. */
  #afterBlanks(end: number): SeamFound | undefined {
    const after = this.#received().slice(end);
    if (after.startsWith(this.#trailing)) return this.#cut(end + this.#trailing.length);
    if (this.#trailing.startsWith(after) && !this.#isOver) return undefined;
    return this.#cut(end + (after.length - after.trimStart().length));
  }

  #cut(end: number): SeamFound {
    return { isProven: true, rest: this.#received().slice(end) };
  }

  #unproven(): SeamFound {
    return { isProven: false, rest: this.#received() };
  }

  #received(): string {
    return this.#pieces.join('');
  }
}

const SINGLE_QUOTES = /[\u2018\u2019\u201a\u201b\u2032\u00b4]/;
const DOUBLE_QUOTES = /[\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb]/;
const ALL_SINGLE_QUOTES = new RegExp(SINGLE_QUOTES, 'g');
const ALL_DOUBLE_QUOTES = new RegExp(DOUBLE_QUOTES, 'g');

/** Reads a text char by char into its plain form: one blank for any white space, none at its start, straight quotes. */
class PlainReader {
  #hasStarted = false;
  #isBlank = false;

  take(char: string): string {
    if (isBlank(char)) {
      this.#isBlank = this.#hasStarted;
      return '';
    }
    this.#hasStarted = true;
    const straight = SINGLE_QUOTES.test(char) ? "'" : DOUBLE_QUOTES.test(char) ? '"' : char;
    const plain = this.#isBlank ? ` ${straight}` : straight;
    this.#isBlank = false;
    return plain;
  }
}

/** The same of a whole text at once. */
function plainOf(text: string): string {
  return text.trimStart().replace(/\s+/g, ' ').replace(ALL_SINGLE_QUOTES, "'").replace(ALL_DOUBLE_QUOTES, '"');
}

/** Whether the last words stand in the text once more. */
function repeatsItself(text: string, lastWords: string): boolean {
  return text.lastIndexOf(lastWords, text.length - lastWords.length - 1) >= 0;
}

function isBlank(char: string | undefined): boolean {
  return char !== undefined && /\s/.test(char);
}

function isLowSurrogate(text: string, at: number): boolean {
  const code = text.charCodeAt(at);
  return code >= 0xdc00 && code <= 0xdfff;
}
