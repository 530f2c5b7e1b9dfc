/**
 * What keeps keys out of messages about the configuration. The rule is structural (the value of a secret is never
 * shown); blotting is the second guard, for keys that stand where none belongs.
 */

export const SECRET_SHOWN = '[secret]';

/** Shorter ones (`ollama`, `test`: what local servers are given) would blot out ordinary words instead. */
const SHORTEST_BLOTTED = 8;

/** How keys of well-known providers look, and any long run of letters and digits, which no name or number is. */
const SECRET_SHAPES = [
  /\b(?:sk|pk|rk|gsk|xai|pplx|tgp|hf)[-_][A-Za-z0-9_-]{3,}/g,
  /\bAIza[A-Za-z0-9_-]{8,}/g,
  /\bBearer\s+\S+/gi,
  /\b(?=[A-Za-z]*\d)[A-Za-z0-9]{32,}/g,
];

/** The text without any of the secrets, and without anything that is shaped like one. */
export function blotOut(text: string, secrets: Iterable<string>): string {
  const longestFirst = [...secrets]
    .filter((secret) => secret.length >= SHORTEST_BLOTTED)
    .toSorted((a, b) => b.length - a.length);
  const known = longestFirst.reduce((blotted, secret) => {
    // A value is shown as JSON, so a quote or backslash in a key would hide it from a plain search.
    const quoted = JSON.stringify(secret).slice(1, -1);
    return blotted.replaceAll(secret, SECRET_SHOWN).replaceAll(quoted, SECRET_SHOWN);
  }, text);
  return SECRET_SHAPES.reduce((blotted, shape) => blotted.replaceAll(shape, SECRET_SHOWN), known);
}

/** An address as it may be shown: what stands before an `@` or behind `?` and `#` can be a password or a key. */
export function withoutCredentials(address: string): string {
  return address
    .replace(/^([a-z][a-z0-9+.-]*:\/\/)?.*@/is, `$1${SECRET_SHOWN}@`)
    .replace(/([?#]).*$/s, `$1${SECRET_SHOWN}`);
}
