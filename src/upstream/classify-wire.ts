/**
 * Faults below HTTP: sockets, name resolution, certificates, and what is no HTTP at all. The words are ours, since the
 * system's own messages name the addresses of upstreams.
 */
import type { Failure } from '../policy/failure.js';
import { ownFailure } from './failure-of.js';
import { itemsOf, property, textProperty } from './unknown-value.js';

/**
 * What the transport reported.
 * @param phase `head`: before a whole response head (`network`; what is no HTTP: `bad_response`); `body`: of an answer
 *   that is not streamed (`bad_response`); `stream` (`stream_cut`).
 */
export function classifyWireError(error: unknown, phase: 'head' | 'body' | 'stream'): Failure {
  const code = deepTransportCodeOf(error);
  const what = code === undefined ? 'the connection failed' : describeTransportCode(code);
  if (phase === 'body') return ownFailure('bad_response', `the answer broke off: ${what}`);
  if (phase === 'stream') return ownFailure('stream_cut', `the stream broke off: ${what}`);
  return ownFailure(code !== undefined && isParserCode(code) ? 'bad_response' : 'network', what);
}

const WORDS_BY_CODE: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  EPIPE: 'connection closed while the request was written',
  ENOTFOUND: 'host name not found',
  EAI_AGAIN: 'host name could not be looked up',
  ETIMEDOUT: 'connection timed out',
  EHOSTUNREACH: 'host unreachable',
  ENETUNREACH: 'network unreachable',
  ENETDOWN: 'network down',
  EADDRNOTAVAIL: 'no local address left',
  EMFILE: 'too many open files',
  UND_ERR_SOCKET: 'connection closed by the other side',
  UND_ERR_CONNECT_TIMEOUT: 'connection timed out',
  UND_ERR_HEADERS_OVERFLOW: 'response headers too large',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'body shorter or longer than its content-length',
  UND_ERR_CLOSED: 'connection pool closed',
  UND_ERR_DESTROYED: 'connection pool destroyed',
};

/** The code, looked for down the causes; undefined where nothing has one. */
function deepTransportCodeOf(error: unknown): string | undefined {
  let link = error;
  for (let depth = 0; depth < 8 && link !== undefined && link !== null; depth += 1) {
    const code = transportCodeOf(link);
    if (code !== undefined) return code;
    link = property(link, 'cause');
  }
  return undefined;
}

/** The system's or the HTTP library's code of this error itself; of one error per address tried, the first one's. */
export function transportCodeOf(error: unknown): string | undefined {
  const codes = [error, itemsOf(property(error, 'errors'))[0]].map((one) => textProperty(one, 'code'));
  return codes.find((code) => code !== undefined && isTransportCode(code));
}

function isTransportCode(code: string): boolean {
  return (
    Object.hasOwn(WORDS_BY_CODE, code) ||
    /^(?:UND_ERR_(?!ABORTED|HEADERS_TIMEOUT|BODY_TIMEOUT|INVALID_ARG)|HPE_|ERR_SSL_|ERR_TLS_|CERT_|ERR_HTTP2_|EAI_)[A-Z0-9_]{1,60}$/.test(
      code,
    ) ||
    /^(?:DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_(?:GET|VERIFY)[A-Z_]{1,60}|EPROTO|ERR_NETWORK|ERR_STREAM_PREMATURE_CLOSE|ConnectionRefused|ConnectionClosed|FailedToOpenSocket)$/.test(
      code,
    )
  );
}

/** The HTTP parser's: bytes came, but they are no HTTP. */
export function isParserCode(code: string): boolean {
  return (
    code.startsWith('HPE_') || code === 'UND_ERR_HEADERS_OVERFLOW' || code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH'
  );
}

export function describeTransportCode(code: string): string {
  const words = WORDS_BY_CODE[code] ?? otherWords(code);
  return `${words} (${code})`;
}

function otherWords(code: string): string {
  if (code.startsWith('HPE_')) return 'not a valid HTTP response';
  if (/CERT|UNABLE_TO/.test(code)) return 'certificate not trusted';
  return /SSL|TLS|EPROTO/.test(code) ? 'no TLS connection' : 'connection failed';
}
