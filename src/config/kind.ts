/**
 * Kinds of values: what is allowed, in the words that a fault says and the docs print, and how a text (a variable) or
 * a value (a file, an option) is read. Every key of the configuration has one, in `ranges.ts` or `variables.ts`.
 */
import { isIP } from 'node:net';

import { SECRET_SHOWN, withoutCredentials } from './secrets.js';

interface KindParts<T> {
  readonly meaning: string;
  /** Follows "expected": `a whole number from 0 to 10`. */
  readonly expected: string;
  readonly isSecret?: boolean;
  readonly isAddress?: boolean;
  /** From a variable or a `${NAME}`; trimmed, never empty. `undefined`: not allowed. */
  readonly fromText: (written: string) => T | undefined;
  /** From a file or an option. Left out: a string is read as text, anything else is not allowed. */
  readonly fromValue?: (value: unknown) => T | undefined;
}

export class Kind<T> {
  readonly meaning: string;
  readonly expected: string;
  readonly isSecret: boolean;
  readonly #parts: KindParts<T>;

  constructor(parts: KindParts<T>) {
    this.meaning = parts.meaning;
    this.expected = parts.expected;
    this.isSecret = parts.isSecret ?? false;
    this.#parts = parts;
  }

  fromText(written: string): T | undefined {
    return this.#parts.fromText(written);
  }

  fromValue(value: unknown): T | undefined {
    if (this.#parts.fromValue) return this.#parts.fromValue(value);
    return typeof value === 'string' && value.trim() !== '' ? this.#parts.fromText(value.trim()) : undefined;
  }

  /** A wrong value as a fault may show it; a string from a file or an option is quoted, so that `"3"` is not `3`. */
  show(value: unknown, quoted: boolean): string {
    if (this.isSecret) return SECRET_SHOWN;
    return shown(this.#parts.isAddress && typeof value === 'string' ? withoutCredentials(value) : value, quoted);
  }
}

/** Enough to recognise a value by; the rest of a long one only hides what the fault says. */
const LONGEST_SHOWN = 80;

/** Never what is inside an object or a list: there may be keys in it. */
export function shown(value: unknown, quoted: boolean): string {
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'an object';
  if (typeof value === 'function' || typeof value === 'symbol') return `a ${typeof value}`;
  const whatever = String(value);
  const short = whatever.length > LONGEST_SHOWN ? `${whatever.slice(0, LONGEST_SHOWN)}…` : whatever;
  return quoted && typeof value === 'string' ? JSON.stringify(short) : short;
}

/** 30000, not 3e4, 0x7530 or 30_000: one way to write a number. */
export function whole(meaning: string, min: number, max: number): Kind<number> {
  const check = (value: unknown): number | undefined =>
    typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max ? value : undefined;
  return new Kind({
    meaning,
    expected: `a whole number from ${min} to ${max}`,
    fromText: (written) => (/^\d+$/.test(written) ? check(Number(written)) : undefined),
    fromValue: check,
  });
}

export function decimal(meaning: string, min: number, max: number): Kind<number> {
  const check = (value: unknown): number | undefined =>
    typeof value === 'number' && value >= min && value <= max ? value : undefined;
  return new Kind({
    meaning,
    expected: `a number from ${min} to ${max}`,
    fromText: (written) => (/^\d+(\.\d+)?$/.test(written) ? check(Number(written)) : undefined),
    fromValue: check,
  });
}

/** `yes`, `1` and `on` are refused rather than guessed at: of a switch, one must be sure which way it stands. */
export function flag(meaning: string): Kind<boolean> {
  return new Kind({
    meaning,
    expected: 'true or false',
    fromText: (written) =>
      new Map([
        ['true', true],
        ['false', false],
      ]).get(written.toLowerCase()),
    fromValue: (value) => (typeof value === 'boolean' ? value : undefined),
  });
}

export function oneOf<const T extends string>(meaning: string, ...allowed: readonly T[]): Kind<T> {
  const list = [allowed.slice(0, -1).join(', '), allowed.at(-1)].filter(Boolean).join(' or ');
  return new Kind({ meaning, expected: list, fromText: (written) => allowed.find((each) => each === written) });
}

const LONGEST_TEXT = 256;

export function text(meaning: string): Kind<string> {
  return new Kind({
    meaning,
    expected: `a text of 1 to ${LONGEST_TEXT} printable characters`,
    fromText: (value) => (value.length <= LONGEST_TEXT && !/\p{Cc}/u.test(value) ? value : undefined),
  });
}

/** A header carries it: no space, no control character, nothing beyond ASCII. */
export function secret(meaning: string): Kind<string> {
  return new Kind({
    meaning,
    expected: 'a key of printable ASCII characters without spaces',
    isSecret: true,
    fromText: (value) => (/^[\x21-\x7e]+$/.test(value) ? value : undefined),
  });
}

/** Trailing slashes are cut, so that paths can simply be added. */
export function httpUrl(meaning: string): Kind<string> {
  return new Kind({
    meaning,
    expected: 'an http:// or https:// URL without credentials, query or fragment',
    isAddress: true,
    fromText: (value) => {
      if (!/^https?:\/\/[^\s/?#@\\][^\s?#@\\]*$/i.test(value) || !URL.canParse(value)) return undefined;
      return value.replace(/\/+$/, '');
    },
  });
}

export function redisUrl(meaning: string): Kind<string> {
  return new Kind({
    meaning,
    expected: 'a redis:// or rediss:// URL with a host',
    isAddress: true,
    fromText: (value) =>
      /^rediss?:\/\/\S+$/i.test(value) && URL.canParse(value) && new URL(value).hostname !== '' ? value : undefined,
  });
}

export const NAME_EXPECTED = 'a name of 1 to 64 letters, digits and . _ : / @ -';

/** Names stand in headers, labels and log lines. `__proto__` is no name: to JavaScript it is something else. */
export function isName(value: unknown): value is string {
  return typeof value === 'string' && /^[A-Za-z0-9._:/@-]{1,64}$/.test(value) && value !== '__proto__';
}

export function modelName(meaning: string): Kind<string> {
  return new Kind({ meaning, expected: NAME_EXPECTED, fromText: (value) => (isName(value) ? value : undefined) });
}

/** As `listen()` takes it: an IPv6 address without the brackets that it has in a URL. */
export function hostName(meaning: string): Kind<string> {
  return new Kind({
    meaning,
    expected: 'a host name or an IP address',
    fromText: (written) => {
      const bare = written.replace(/^\[(.*)\]$/, '$1');
      return isIP(bare) !== 0 || /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})$/.test(bare) ? bare : undefined;
    },
  });
}

/** Comma-separated; what a host's configuration gives as a list is one too. Blanks between commas say nothing. */
export function modelNames(meaning: string): Kind<readonly string[]> {
  return new Kind({
    meaning,
    expected: `names of models, comma-separated, each ${NAME_EXPECTED}`,
    fromText: (written) => namesOnly(partsOf(written)),
    fromValue: (value) => (Array.isArray(value) ? namesOnly(value) : undefined),
  });
}

export function secrets(meaning: string): Kind<readonly string[]> {
  return new Kind({
    meaning,
    expected: 'one or more comma-separated keys of printable ASCII characters without spaces',
    isSecret: true,
    fromText: (written) => {
      const keys = partsOf(written);
      return keys.length > 0 && keys.every((key) => /^[\x21-\x7e]+$/.test(key)) ? [...new Set(keys)] : undefined;
    },
  });
}

function namesOnly(names: readonly unknown[]): readonly string[] | undefined {
  const valid = names.filter((name) => isName(name));
  return valid.length > 0 && valid.length === names.length ? valid : undefined;
}

function partsOf(list: string): readonly string[] {
  return list
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}
