/**
 * A chat request's body as it goes upstream: the bytes as they came, with only the model's name exchanged.
 *
 * Parsing and writing 200 KB of JSON again costs about a millisecond per attempt; splicing costs a copy. The place of
 * the name is found by a scan of the top level that leaps over strings; where anything is odd about it (the name twice,
 * an escaped key, keys of ours to take out), the parsed body is written anew instead.
 */
import { continuationParams, type ContinuationRequest } from '../stream/continuation.js';
import type { JsonExpectation } from '../upstream/upstream.js';

/** What a body is made for. */
export interface BodyTarget {
  readonly id: string;
  /** Tokens; unknown where the configuration does not say. */
  readonly contextWindow?: number;
}

export interface ChatBody {
  readonly streaming: boolean;
  readonly wantsJson?: JsonExpectation;
  /** The caller asked for a usage chunk (`stream_options.include_usage`). */
  readonly wantsUsage: boolean;
  /** How many choices were asked for (`n`). */
  readonly choices?: number;
  /** A text that broke off can be gone on with: no JSON was asked for, one choice, no `logprobs`. */
  readonly isContinuable: boolean;
  bytesFor(target: BodyTarget): Uint8Array;
  /** The same without the question for usage, where it was not the caller's: some providers refuse it. */
  readonly bytesWithoutUsage?: (target: BodyTarget) => Uint8Array;
  /** The body that asks to go on with a text. */
  continuing(request: ContinuationRequest): ChatBody;
}

type Json = Readonly<Record<string, unknown>>;

/** Keys of ours, which no upstream knows. */
const OWN_KEYS = ['models'];

/** @param raw the caller's bytes, whose JSON `parsed` is. */
export function bodyFromBytes(raw: Buffer, parsed: Json): ChatBody {
  const place = OWN_KEYS.some((key) => key in parsed) ? undefined : findTopLevelValue(raw, 'model');
  if (!place) return bodyFromParams(parsed);
  return splicedBody(parsed, raw.subarray(0, place.start), raw.subarray(place.end));
}

/** @param params everything but `model`, which is put in for each model that is asked. */
export function bodyFromParams(params: Json): ChatBody {
  const rest = Object.entries(params).filter(([key]) => key !== 'model' && !OWN_KEYS.includes(key));
  const written = JSON.stringify(Object.fromEntries(rest));
  return splicedBody(params, Buffer.from('{"model":'), Buffer.from(rest.length > 0 ? `,${written.slice(1)}` : '}'));
}

/** @param params as for `bodyFromParams`, of a stream; usage is asked for where they do not say. */
export function bodyAskingForUsage(params: Json): ChatBody {
  const options = params['stream_options'];
  if (isRecord(options) && 'include_usage' in options) return bodyFromParams(params);
  const asking = { ...params, stream_options: { ...(isRecord(options) && options), include_usage: true } };
  const plain = bodyFromParams(params);
  return {
    ...bodyFromParams(asking),
    bytesWithoutUsage: (target) => plain.bytesFor(target),
    continuing: (request) => bodyAskingForUsage(continuationParams(params, request)),
  };
}

function splicedBody(params: Json, before: Buffer, after: Buffer): ChatBody {
  const wantsJson = expectedJson(params['response_format']);
  return {
    streaming: params['stream'] === true,
    ...(wantsJson && { wantsJson }),
    ...(typeof params['n'] === 'number' && { choices: params['n'] }),
    isContinuable: isContinuable(params),
    wantsUsage: asksForUsage(params['stream_options']),
    bytesFor: ({ id }) => Buffer.concat([before, Buffer.from(JSON.stringify(id)), after]),
    continuing: (request) => bodyFromParams(continuationParams(params, request)),
  };
}

function asksForUsage(streamOptions: unknown): boolean {
  return isRecord(streamOptions) && streamOptions['include_usage'] === true;
}

function isContinuable({ response_format: format, n, logprobs }: Json): boolean {
  const isText = format === undefined || format === null || (isRecord(format) && format['type'] === 'text');
  return isText && !(typeof n === 'number' && n > 1) && !logprobs;
}

/** @returns undefined where `response_format` asks for plain text, or for nothing that we can check. */
export function expectedJson(responseFormat: unknown): JsonExpectation | undefined {
  if (!isRecord(responseFormat)) return undefined;
  if (responseFormat['type'] === 'json_object') return {};
  if (responseFormat['type'] !== 'json_schema') return undefined;
  const named = responseFormat['json_schema'];
  const schema = isRecord(named) ? named['schema'] : undefined;
  return isRecord(schema) ? { schema } : {};
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * Where the value of a top-level key stands in a JSON object.
 * @param raw valid JSON (it was parsed before).
 * @returns undefined where the key is missing, stands there twice, or any top-level key is written with escapes.
 */
export function findTopLevelValue(raw: Buffer, key: string): { start: number; end: number } | undefined {
  const quoted = Buffer.from(`"${key}"`);
  let found: { start: number; end: number } | undefined;
  let depth = 0;
  let isKey = false;
  let valueStart = -1;
  for (let i = 0; i < raw.length; i++) {
    switch (raw[i]) {
      case QUOTE: {
        const end = endOfString(raw, i);
        if (depth === 1 && isKey) {
          if (raw.subarray(i, end).includes(BACKSLASH)) return undefined;
          if (end - i === quoted.length && raw.compare(quoted, 0, quoted.length, i, end) === 0) {
            if (found || valueStart >= 0) return undefined;
            valueStart = raw.indexOf(0x3a, end) + 1;
          }
          isKey = false;
        }
        i = end - 1;
        break;
      }
      case 0x7b: // {
      case 0x5b: // [
        depth++;
        isKey = depth === 1;
        break;
      case 0x7d: // }
      case 0x5d: // ]
        depth--;
        if (depth === 0 && valueStart >= 0) found = { start: valueStart, end: i };
        break;
      case 0x2c: // ,
        if (depth !== 1) break;
        isKey = true;
        if (valueStart >= 0) found = { start: valueStart, end: i };
        valueStart = -1;
        break;
    }
  }
  return found;
}

/** @returns the place after the closing quote. */
function endOfString(raw: Buffer, open: number): number {
  for (let close = raw.indexOf(QUOTE, open + 1); close >= 0; close = raw.indexOf(QUOTE, close + 1)) {
    let slashes = 0;
    while (raw[close - 1 - slashes] === BACKSLASH) slashes++;
    if (slashes % 2 === 0) return close + 1;
  }
  return raw.length;
}
