/**
 * Reads what any SDK throws inside `execute()`: OpenAI's, Anthropic's, Google's and AWS's errors, axios, got, the AI
 * SDK, fetch, and whatever else carries a status, a code, a name or a cause.
 *
 * An error may be anything, a proxy with traps included, so nothing is read but through `unknown-value.ts`.
 */
import { FAILURE_CLASSES, type Failure, type FailureClass } from '../policy/failure.js';
import { describeTransportCode, isParserCode, transportCodeOf } from './classify-wire.js';
import { isErrorStatus, jsonInside } from './error-body.js';
import { type ErrorEvidence, failureOf, type HeaderRecord, ownFailure } from './failure-of.js';
import { isRecord, itemsOf, parseJson, property, textProperty } from './unknown-value.js';

/** Causes below causes; a longer chain is a loop or a joke. */
const LONGEST_CHAIN = 8;

const UNREADABLE = 'an error that says nothing';

/** By status, code, name and cause, then by its words; one that tells nothing is a `server_error`. Never throws. */
export function classifyThrown(error: unknown, wallEpochMs: number): Failure {
  try {
    const chain = chainOf(error);
    const readings = chain.map((link) => readLink(link, wallEpochMs));
    // A wrapper that only says "connection failed" often has a cause that knows more.
    const told = [...BASES].map((basis) => readings.find((reading) => reading.basis === basis)).find(Boolean);
    return told?.failure ?? ownFailure('server_error', UNREADABLE);
  } catch {
    return ownFailure('server_error', UNREADABLE);
  }
}

/** How far a reading is to be trusted, the best first. */
const BASES = ['structure', 'wrapper', 'text', 'nothing'] as const;

interface LinkReading {
  readonly failure: Failure;
  readonly basis: (typeof BASES)[number];
}

/** The error, then what caused it; of a list of errors (retries, addresses) the last one. */
function chainOf(error: unknown): readonly unknown[] {
  const chain: unknown[] = [];
  let link = error;
  while (link !== undefined && link !== null && chain.length < LONGEST_CHAIN) {
    chain.push(link);
    link = property(link, 'cause') ?? property(link, 'lastError') ?? itemsOf(property(link, 'errors')).at(-1);
  }
  return chain;
}

function readLink(link: unknown, wallEpochMs: number): LinkReading {
  const status = statusOf(link);
  if (status === undefined) return readTransport(link) ?? readEvidence(link, status, wallEpochMs);
  if (status >= 400) return readEvidence(link, status, wallEpochMs);
  return { failure: ownFailure('bad_response', `HTTP ${status}, a redirect`, status), basis: 'structure' };
}

/** No response at all: the system's code, or an error that is known by its name alone. */
function readTransport(link: unknown): LinkReading | undefined {
  const code = transportCodeOf(link);
  if (code !== undefined) {
    const failureClass = isParserCode(code) ? 'bad_response' : 'network';
    return { failure: ownFailure(failureClass, describeTransportCode(code)), basis: 'structure' };
  }
  const message = messageOf(link) ?? '';
  const named = namesOf(link)
    .map((name) => CLASS_BY_NAME.get(name))
    .find((failureClass) => failureClass !== undefined);
  if (named === 'network' || (!named && NETWORK_MESSAGE.test(message))) {
    return { failure: ownFailure('network', 'the connection failed'), basis: 'wrapper' };
  }
  return named && { failure: ownFailure(named, message), basis: 'structure' };
}

function readEvidence(link: unknown, status: number | undefined, wallEpochMs: number): LinkReading {
  const evidence: ErrorEvidence = {
    ...(status !== undefined && { status }),
    headers: headersOf(link),
    payload: payloadOf(link),
    names: [...namesOf(link), ...wordsOf(link)],
    fallbackMessage: status === undefined ? UNREADABLE : `HTTP ${status}`,
  };
  return failureOf(evidence, wallEpochMs);
}

const STATUS_PATHS: readonly (readonly string[])[] = [
  ['status'],
  ['statusCode'],
  ['response', 'status'],
  ['response', 'statusCode'],
  ['$metadata', 'httpStatusCode'],
  ['$response', 'statusCode'],
  ['rawResponse', 'status'],
  ['code'],
];

function statusOf(link: unknown): number | undefined {
  for (const path of STATUS_PATHS) {
    const value = path.reduce(property, link);
    const status = typeof value === 'string' && /^\d{3}$/.test(value) ? Number(value) : value;
    if (typeof status !== 'number' || !Number.isInteger(status)) continue;
    if (isErrorStatus(status) || (status >= 300 && status < 400 && path[0] !== 'code')) return status;
  }
  return grpcStatusOf(link);
}

const HTTP_STATUS_BY_GRPC: Readonly<Record<number, number>> = {
  2: 500,
  3: 400,
  4: 504,
  5: 404,
  7: 403,
  8: 429,
  9: 400,
  10: 409,
  12: 501,
  13: 500,
  14: 503,
  16: 401,
};

/** gRPC's codes are small numbers; DOMException has such ones too, but neither details nor metadata. */
function grpcStatusOf(link: unknown): number | undefined {
  const code = property(link, 'code');
  const isGrpc = typeof property(link, 'details') === 'string' || isRecord(property(link, 'metadata'));
  return typeof code === 'number' && isGrpc ? HTTP_STATUS_BY_GRPC[code] : undefined;
}

const NETWORK_MESSAGE = /^(?:fetch failed|failed to fetch|terminated|network ?error|connection error\.?|load failed)$/i;

/** Errors that are known by their name alone. Timeouts and aborts: our own are known before anyone asks here. */
const NAMES_BY_CLASS: Partial<Record<FailureClass, string>> = {
  network: 'APIConnectionError ConnectTimeoutError SocketError ConnectionError NetworkError',
  timeout_total: `AbortError TimeoutError APIConnectionTimeoutError APIUserAbortError HeadersTimeoutError
    BodyTimeoutError RequestTimeoutError CanceledError ERR_CANCELED ECONNABORTED ESOCKETTIMEDOUT ABORT_ERR
    UND_ERR_HEADERS_TIMEOUT UND_ERR_BODY_TIMEOUT UND_ERR_ABORTED`,
  bad_response: `SyntaxError HTTPParserError AI_JSONParseError AI_InvalidResponseDataError AI_TypeValidationError
    ResponseValidationError`,
  auth: 'AI_LoadAPIKeyError',
  not_found: 'AI_NoSuchModelError',
  unsupported: 'AI_UnsupportedFunctionalityError',
  empty_answer: 'AI_NoContentGeneratedError AI_EmptyResponseBodyError',
  invalid_output: 'AI_NoObjectGeneratedError OutputParserException OUTPUT_PARSING_FAILURE',
  content_filter: 'ContentFilterFinishReasonError',
};

const CLASS_BY_NAME = new Map(
  FAILURE_CLASSES.flatMap((failureClass) => {
    const names = NAMES_BY_CLASS[failureClass]?.split(/\s+/) ?? [];
    return names.map((name) => [name, failureClass] as const);
  }),
);

/** Its name, its class's name (many SDKs leave `name` at `Error`), and its code, which some use as a name. */
function namesOf(link: unknown): readonly string[] {
  return [
    textProperty(link, 'code'),
    textProperty(link, 'name'),
    textProperty(property(link, 'constructor'), 'name'),
    textProperty(link, 'lc_error_code'),
  ].filter((name) => name !== undefined);
}

/** Words that SDKs copy from the body to the error. */
function wordsOf(link: unknown): readonly string[] {
  return [textProperty(link, 'type'), textProperty(link, 'status'), textProperty(link, 'reason')].filter(
    (word) => word !== undefined,
  );
}

const BODY_PATHS: readonly (readonly string[])[] = [
  ['response', 'data'],
  ['response', 'body'],
  ['responseBody'],
  ['body'],
  ['data'],
  ['error'],
];

/** The upstream's body, where the SDK kept it; else the fields that it made of it. */
function payloadOf(link: unknown): unknown {
  const message = messageOf(link);
  const details = property(link, 'errorDetails');
  if (itemsOf(details).length === 0) {
    for (const path of BODY_PATHS) {
      const body = path.reduce(property, link);
      const parsed = typeof body === 'string' ? (parseJson(body) ?? jsonInside(body)) : body;
      if (isRecord(parsed) || itemsOf(parsed).length > 0) return parsed;
    }
    const inMessage = message === undefined ? undefined : jsonInside(message);
    if (inMessage !== undefined) return inMessage;
  }
  return {
    message,
    type: property(link, 'type'),
    code: property(link, 'code'),
    param: property(link, 'param'),
    details,
  };
}

function messageOf(link: unknown): string | undefined {
  return typeof link === 'string' ? link : textProperty(link, 'message');
}

const HEADERS_PATHS: readonly (readonly string[])[] = [
  ['headers'],
  ['responseHeaders'],
  ['response', 'headers'],
  ['$response', 'headers'],
  ['rawResponse', 'headers'],
];
/** More than any server sends; a hostile object is not walked to its end. */
const MOST_HEADERS = 200;

/** Web `Headers`, a Map, or a plain object; names in lower case. */
function headersOf(link: unknown): HeaderRecord {
  const source = HEADERS_PATHS.map((path) => path.reduce(property, link)).find(isRecord);
  const headers: Record<string, string> = {};
  for (const [name, value] of pairsOf(source).slice(0, MOST_HEADERS)) {
    const text = itemsOf(value)[0] ?? value;
    if (typeof text === 'string' || typeof text === 'number') headers[name.toLowerCase()] = String(text);
  }
  return headers;
}

/** Any class of Headers: SDKs bring their own, so `instanceof` would miss most of them. */
function pairsOf(source: object | undefined): readonly (readonly [name: string, value: unknown])[] {
  if (!source) return [];
  try {
    const forEach = property(source, 'forEach');
    if (typeof forEach !== 'function') return Object.entries(source);
    const pairs: [string, unknown][] = [];
    Reflect.apply(forEach, source, [(value: unknown, name: unknown) => pairs.push([String(name), value])]);
    return pairs;
  } catch {
    return [];
  }
}
