/**
 * How long a provider asks us to stay away, in every way that providers say it.
 *
 * Pure: the wall clock comes in, since an HTTP date is a moment and everything else a length. Texts are not searched
 * for times ("try again in 20s"): what no header and no RetryInfo names is not named.
 * Source: RFC 9110, 10.2.3; OpenAI's `x-ratelimit-*`; google.rpc.RetryInfo.
 */
import { firstOf, isRecord, itemsOf, property } from './unknown-value.js';

/** Nobody is believed for longer: some providers name a day, and are back within minutes. */
export const MAX_RETRY_AFTER_MS = 3_600_000;

const LIMIT_RESET = 'x-ratelimit-reset-';
const LIMIT_REMAINING = 'x-ratelimit-remaining-';

/**
 * `retry-after-ms`, then `retry-after` (seconds or HTTP date), then the longest `x-ratelimit-reset-*` among the
 * limits whose `x-ratelimit-remaining-*` is used up. What cannot be read is as if it were absent.
 * @param headers lower-case names
 * @returns ms from now, 0 to 1 h; undefined where none of them says so. Never throws.
 */
export function readRetryAfterMs(headers: Readonly<Record<string, string>>, wallEpochMs: number): number | undefined {
  const namedMs =
    readNumber(headers['retry-after-ms']) ??
    readSecondsOrDateMs(headers['retry-after'], wallEpochMs) ??
    longestResetMs(headers, wallEpochMs);
  return namedMs === undefined ? undefined : capMs(namedMs);
}

/**
 * How long a provider will refuse, as its good answer says already: a limit is used up, and named with its reset.
 * Asked of every answer, so that it looks at two headers first, by their usual names.
 * @returns ms from now, above 0, up to 1 h; undefined where nothing is used up.
 */
export function readUsedUpMs(headers: Readonly<Record<string, unknown>>, wallEpochMs: number): number | undefined {
  if (headers['x-ratelimit-remaining-requests'] !== '0' && headers['x-ratelimit-remaining-tokens'] !== '0')
    return undefined;
  const texts = Object.entries(headers).filter((entry): entry is [string, string] => typeof entry[1] === 'string');
  const resetMs = longestResetMs(Object.fromEntries(texts), wallEpochMs);
  return resetMs === undefined || resetMs === 0 ? undefined : capMs(resetMs);
}

/** Google's RetryInfo among the error's details. @returns ms, 0 to 1 h; undefined where there is none. */
export function readRetryInfoMs(payload: unknown): number | undefined {
  const body = firstOf(payload);
  for (const detail of itemsOf(property(property(body, 'error') ?? body, 'details'))) {
    const type = property(detail, '@type');
    if (typeof type !== 'string' || !type.endsWith('google.rpc.RetryInfo')) continue;
    const delayMs = readProtobufDurationMs(property(detail, 'retryDelay'));
    if (delayMs !== undefined) return capMs(delayMs);
  }
  return undefined;
}

const MS_PER_UNIT: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3, // U+00B5
  μs: 1e-3, // U+03BC
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
};

/** `6m0s`, `1h2m3s`, `1.5s`, `246ms`. @returns ms, not rounded; undefined for anything else, negative ones too. */
export function parseGoDurationMs(text: string): number | undefined {
  if (text === '0') return 0;
  // A longer one is no duration, and would only cost time.
  if (text.length > 64 || !/^(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/.test(text)) return undefined;
  const parts = text.matchAll(/(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g);
  let totalMs = 0;
  for (const [, amount, unit] of parts) totalMs += Number(amount) * (MS_PER_UNIT[unit ?? ''] ?? 0);
  return totalMs;
}

function longestResetMs(headers: Readonly<Record<string, string>>, wallEpochMs: number): number | undefined {
  let longestMs: number | undefined;
  for (const [name, value] of Object.entries(headers)) {
    if (!name.startsWith(LIMIT_RESET)) continue;
    const remaining = headers[LIMIT_REMAINING + name.slice(LIMIT_RESET.length)]?.trim();
    if (!remaining || !(Number(remaining) <= 0)) continue;
    const resetMs = parseGoDurationMs(value.trim()) ?? readSecondsOrDateMs(value, wallEpochMs);
    if (resetMs !== undefined && resetMs > (longestMs ?? -1)) longestMs = resetMs;
  }
  return longestMs;
}

/** Some providers send the moment itself where others send seconds; no rest is 30 years long. */
const FIRST_EPOCH_SECONDS = 1e9;
const FIRST_EPOCH_MS = 1e12;

function readSecondsOrDateMs(value: string | undefined, wallEpochMs: number): number | undefined {
  const amount = readNumber(value);
  if (amount === undefined) {
    const atEpochMs = value === undefined ? undefined : parseHttpDate(value.trim());
    return atEpochMs === undefined ? undefined : Math.max(0, atEpochMs - wallEpochMs);
  }
  if (amount >= FIRST_EPOCH_MS) return Math.max(0, amount - wallEpochMs);
  if (amount >= FIRST_EPOCH_SECONDS) return Math.max(0, amount * 1_000 - wallEpochMs);
  return amount * 1_000;
}

/** Decimal digits only: `Number` alone would read '', '0x10' and '1e9' too. */
function readNumber(value: string | undefined): number | undefined {
  const text = value?.trim() ?? '';
  return /^\d{1,400}(?:\.\d{1,400})?$/.test(text) ? Number(text) : undefined;
}

const FIXED_DATE =
  /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*, \d\d[ -][A-Z][a-z]{2}[ -]\d{2,4} \d\d:\d\d:\d\d (?:GMT|UTC)$/;
const C_DATE = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}$/;
const ISO_DATE = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)$/;

/** The three forms of an HTTP date, and ISO's. `Date.parse` alone takes 'soon 5' for a day in May. */
function parseHttpDate(text: string): number | undefined {
  const isZoned = FIXED_DATE.test(text) || ISO_DATE.test(text);
  if (!isZoned && !C_DATE.test(text)) return undefined;
  const atEpochMs = Date.parse(isZoned ? text : `${text} GMT`);
  return Number.isFinite(atEpochMs) ? atEpochMs : undefined;
}

/** `"34s"`, `"34.07s"`, or `{seconds, nanos}` as some SDKs hand it on. */
function readProtobufDurationMs(delay: unknown): number | undefined {
  if (typeof delay === 'string') return parseGoDurationMs(delay.trim());
  if (!isRecord(delay)) return undefined;
  const seconds = Number(property(delay, 'seconds') ?? 0);
  const nanos = Number(property(delay, 'nanos') ?? 0);
  const delayMs = seconds * 1_000 + nanos / 1e6;
  return delayMs >= 0 ? delayMs : undefined;
}

/** Rounded up, so that nobody comes back early, but not by the noise of `1.1 * 1000`. */
function capMs(ms: number): number {
  return Math.max(0, Math.min(MAX_RETRY_AFTER_MS, Math.ceil(ms - 1e-6)));
}
