/**
 * Blots secrets out of texts that others wrote: upstreams echo keys (or their last letters) and organisation ids in
 * their error messages, and those messages reach callers and logs.
 *
 * Every pass is linear in the text, whatever the text is: it starts at a literal or takes a whole word, and never asks
 * for something after an unbounded run. Knows nothing of where the text came from.
 */

const BLOT = '***';

/** Shorter ones would blot out ordinary words (`EMPTY` and `none` are common keys of local servers). */
const SHORTEST_SECRET = 4;

/** Names of things whose value is a secret, as they stand before `=` or `:` in URLs, headers and dumps. */
const NAMED_SECRET =
  /((?:api[-_ ]?key|access[-_ ]?key|access[-_ ]?token|auth[-_ ]?token|client[-_ ]?secret|password|authorization)(?: provided)?["'`]?[ \t]{0,4}[:=][ \t]{0,4}["'`]?)([^\s"'`,;&<>()[\]{}]+)/gi;
/** Without such a name only `=` makes it a value: `key: value` is how error messages speak of anything. */
const QUERY_SECRET = /((?:^|[^A-Za-z0-9])(?:key|token|secret|sig|signature)=)([^\s"'`,;&<>()[\]{}]+)/gi;
const SCHEME_SECRET = /(\b(?:bearer|basic)[ \t]{1,4}["'`]?)([^\s"'`,;&<>()[\]{}]+)/gi;
const URL_USER_SECRET = /(:\/\/)[^\s/@"'<>]{1,256}(?=@)/g;
/** A signed token of three parts (JWT). */
const SIGNED_TOKEN = /eyJ[\w-]{8,}(?:\.[\w-]*){0,2}/g;
/** The first and the last letters of a key, the middle left out (`sk-ab...wxyz`). */
const ELIDED_KEY = /(?<![A-Za-z0-9])[spr]k-[\w-]{0,64}\.{2,3}[\w-]{1,12}/gi;
/** A whole word of the letters that keys are made of. */
const KEY_WORD = /[A-Za-z0-9_*•…-]{4,}/g;

/** How known providers' keys begin, and the ids of the account behind a key. */
const KEY_BEGINNING =
  /^(?:(?:gsk_|xai-|nvapi-|hf_|r8_|pplx-|tgp_v1_|fw_|csk-|sess-|gh[pos]_|github_pat_|glpat-|AKIA|ASIA|ya29)[\w*-]{8,}|(?:org-|proj_|org_(?=[a-z]*\d))[\w*-]{2,}|user-\w{20,})/;
/** `sk-` and its kin stand before ordinary words too (`sk-learn`): a digit, a star or its length gives a key away. */
const SECRET_KEY_BEGINNING = /^(?:sk|pk|rk)[-_]/i;
/** Kinds of secret keys that are unmistakable wherever in a word they stand. */
const SECRET_KEY_INSIDE = /(?:sk-(?:proj|ant|or|svcacct|admin|live|test)-|AIza)[\w*-]{4,}/;
const STARS = /\*{3}|•{3}/;

/**
 * Blots out known secrets and anything shaped like a key or an organisation's id.
 * @param secrets known ones, at least 4 characters each; they go wherever they stand, inside of words too.
 */
export function blotSecrets(text: string, secrets: readonly string[] = []): string {
  return blotShapes(blotKnown(text, secrets));
}

function blotKnown(text: string, secrets: readonly string[]): string {
  // The longest first: a secret may hold another one.
  const known = secrets.filter((secret) => secret.length >= SHORTEST_SECRET).toSorted((a, b) => b.length - a.length);
  return known.reduce((rest, secret) => {
    const inUrl = encodeSafely(secret);
    const blotted = rest.replaceAll(secret, BLOT);
    return inUrl === secret ? blotted : blotted.replaceAll(inUrl, BLOT);
  }, text);
}

/** `encodeURIComponent` throws at half a surrogate pair; a secret with one can stand in no URL. */
function encodeSafely(secret: string): string {
  return secret.isWellFormed() ? encodeURIComponent(secret) : secret;
}

function blotShapes(text: string): string {
  return text
    .replace(URL_USER_SECRET, `$1${BLOT}`)
    .replace(SIGNED_TOKEN, BLOT)
    .replace(ELIDED_KEY, BLOT)
    .replace(SCHEME_SECRET, (whole: string, before: string, value: string) =>
      isPlainWord(value) ? whole : before + blotValue(value),
    )
    .replace(NAMED_SECRET, (_whole: string, before: string, value: string) => before + blotValue(value))
    .replace(QUERY_SECRET, (_whole: string, before: string, value: string) => before + blotValue(value))
    .replace(KEY_WORD, (word: string) => (isKey(word) ? BLOT : word));
}

/** `Bearer token is missing`: what stands after the scheme is then a word of the sentence. */
function isPlainWord(value: string): boolean {
  return /^[A-Z]?[a-z]{1,14}[.:!?]?$/.test(value);
}

/** The full stop of the sentence stays. */
function blotValue(value: string): string {
  return value.endsWith('.') ? `${BLOT}.` : BLOT;
}

function isKey(word: string): boolean {
  if (word === BLOT) return false;
  if (KEY_BEGINNING.test(word) || SECRET_KEY_INSIDE.test(word)) return true;
  if (SECRET_KEY_BEGINNING.test(word)) return word.length >= 23 || /[\d*•…]/.test(word);
  // Keys that the upstream starred itself: `sk-ab***********wxyz`, `****3e67`; the tail is a part of the key.
  return STARS.test(word) && /[A-Za-z0-9]/.test(word);
}
