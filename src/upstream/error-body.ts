/**
 * Reads an upstream's error out of whatever shape it has: OpenAI's `{error: {…}}`, Anthropic's and Azure's (with more
 * inside), Google's lists with `details`, vLLM's and Mistral's with the fields at the top, FastAPI's `detail`,
 * `{"error": "text"}`, AWS's `__type`.
 *
 * Only reads: what the words mean stands in `classify-words.ts` and `classify-phrases.ts`.
 */
import { firstOf, firstTextProperty, isRecord, itemsOf, parseJson, property, textProperty } from './unknown-value.js';

export interface ErrorFacts {
  readonly message: string | null;
  readonly type: string | null;
  readonly code: string | null;
  readonly param: string | null;
  /** What speaks as `error.code` does, the most telling first. */
  readonly codes: readonly string[];
  /** What speaks as `error.type` does. */
  readonly types: readonly string[];
  /** A code that is an HTTP status (400 to 599), as a number or digits: what an aggregator was told itself. */
  readonly codeStatus?: number;
  /** Where phrases are looked for: lower case, its first 4,000 characters. */
  readonly text: string;
  /** Google's names of the limits that were exceeded (`GenerateRequestsPerDayPerProjectPerModel-FreeTier`). */
  readonly quotaIds: readonly string[];
  /** Whether a field of its own says that this is about one model. */
  readonly namesModel: boolean;
  /** OpenRouter's moderation: the input was flagged. */
  readonly isFlagged: boolean;
}

/** Phrases stand at the front of a message; what follows may be the caller's own prompt. */
const MOST_TEXT = 4_000;
/** `{"error": {"error": {…}}}` is seen from chained gateways; deeper is nothing to look into. */
const MOST_WRAPS = 4;

const MESSAGE_KEYS = [
  'message',
  'msg',
  'Message',
  'error_message',
  'error_description',
  'errorMessage',
  'detail',
  'title',
];

/** Is this parsed body or event an error rather than an answer? */
export function isErrorPayload(payload: unknown): boolean {
  const body = firstOf(payload);
  if (!isRecord(body)) return false;
  if (property(body, 'object') === 'error' || property(body, 'type') === 'error') return true;
  return isSomething(property(body, 'error'));
}

/** Some servers send `error: null`, `""` or `{}` along with a good answer. */
function isSomething(error: unknown): boolean {
  if (isRecord(error)) return Object.keys(error).length > 0;
  if (Array.isArray(error)) return error.length > 0;
  return Boolean(error);
}

/** @param payload parsed JSON, or a text that is no JSON. Never throws. */
export function readErrorBody(payload: unknown): ErrorFacts {
  const body = firstOf(payload);
  const inner = unwrap(body);
  const word = typeof property(body, 'error') === 'string' ? textProperty(body, 'error') : undefined;
  const fault = firstFault(inner);
  const details = property(inner, 'details');
  const reason = itemsOf(details)
    .map((detail) => textProperty(detail, 'reason'))
    .find(Boolean);

  const ownCode = property(inner, 'code') ?? property(body, 'code');
  const writtenCode = typeof ownCode === 'number' ? String(ownCode) : textOf(ownCode);
  const isNumber = writtenCode !== undefined && /^\d+$/.test(writtenCode);
  // `{"error": "invalid_client", "error_description": "…"}`: the word is a code there, else it is the message.
  const described = firstTextProperty(body, MESSAGE_KEYS);
  const wordAsCode = word && described && /^[\w.-]{1,64}$/.test(word) ? word : undefined;
  const code = isNumber ? undefined : writtenCode;
  const deeperCode =
    firstTextProperty(details, ['error_code', 'code']) ?? textProperty(inner, 'error_code') ?? reason ?? wordAsCode;

  const kind = textProperty(inner, 'type');
  const ownType = kind === 'error' ? undefined : kind;
  const googleStatus = textProperty(inner, 'status');
  const otherType = textProperty(inner, 'error_type') ?? textProperty(body, 'error_type') ?? awsType(inner);

  const message = wordAsCode
    ? described
    : (word ?? firstTextProperty(inner, MESSAGE_KEYS) ?? fault?.message ?? textOf(body));
  const metadata = property(inner, 'metadata');
  const violations = itemsOf(details).flatMap((detail) => itemsOf(property(detail, 'violations')));
  const param = textProperty(inner, 'param') ?? fault?.param ?? null;
  return {
    message: message ?? null,
    type: ownType ?? googleStatus ?? otherType ?? fault?.type ?? null,
    code: code ?? deeperCode ?? writtenCode ?? null,
    param,
    codes: [code, deeperCode, textProperty(property(inner, 'innererror'), 'code'), reason, googleStatus].filter(
      isPresent,
    ),
    types: [ownType, otherType, fault?.type].filter(isPresent),
    ...(isNumber && isErrorStatus(Number(writtenCode)) && { codeStatus: Number(writtenCode) }),
    text: [message, firstTextProperty(metadata, ['raw']), fault?.message]
      .filter(isPresent)
      .map((part) => part.slice(0, MOST_TEXT).toLowerCase())
      .join('\n')
      .slice(0, MOST_TEXT),
    quotaIds: violations.map((violation) => textProperty(violation, 'quotaId')).filter(isPresent),
    namesModel:
      param === 'model' ||
      violations.some((violation) => textProperty(property(violation, 'quotaDimensions'), 'model')),
    isFlagged:
      itemsOf(property(metadata, 'reasons')).length > 0 || textProperty(metadata, 'flagged_input') !== undefined,
  };
}

export function isErrorStatus(status: number): boolean {
  return status >= 400 && status <= 599;
}

/** Down to the object that carries the fields. */
function unwrap(body: unknown): unknown {
  let inner = body;
  for (let wraps = 0; wraps < MOST_WRAPS; wraps += 1) {
    const deeper = [property(inner, 'error'), property(inner, 'detail'), firstOf(property(inner, 'errors'))].find(
      isRecord,
    );
    if (!deeper) break;
    inner = deeper;
  }
  return inner;
}

interface FieldFault {
  readonly message: string;
  readonly param: string | null;
  readonly type: string | undefined;
}

/** Pydantic's list of faults: under `detail` (FastAPI), or in an object where the message should be (Mistral). */
function firstFault(inner: unknown): FieldFault | undefined {
  const message = property(inner, 'message');
  const faults = [property(inner, 'detail'), isRecord(message) ? property(message, 'detail') : message];
  const fault = faults.map((list) => itemsOf(list)[0]).find(isRecord);
  const said = firstTextProperty(fault, ['msg', 'message']);
  if (said === undefined) return undefined;
  const where = itemsOf(property(fault, 'loc'))
    .filter((step) => (typeof step === 'string' && step !== 'body') || typeof step === 'number')
    .join('.');
  return { message: where ? `${where}: ${said}` : said, param: where || null, type: textProperty(fault, 'type') };
}

/** `com.amazon.coral.service#ThrottlingException`. */
function awsType(inner: unknown): string | undefined {
  return textProperty(inner, '__type')?.split('#').at(-1);
}

/** A body that came as text may still be JSON (SDKs put whole bodies into their errors' messages). */
export function jsonInside(text: string): unknown {
  const from = text.indexOf('{');
  const to = text.lastIndexOf('}');
  const parsed = from >= 0 && to > from ? parseJson(text.slice(from, to + 1)) : undefined;
  return isRecord(parsed) ? parsed : undefined;
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value.trim() !== '' ? value : undefined;
}

function isPresent(text: string | undefined): text is string {
  return text !== undefined;
}
