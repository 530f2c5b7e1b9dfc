/**
 * Who may call: callers' keys where some are set, else only requests that name this machine. Decided before a byte of
 * the body is read.
 *
 * Keys are compared by their SHA-256, in constant time, with every key that there is. Without keys, on loopback, a
 * request whose `Host` is another name comes from a web page that had its name resolved to this machine (DNS rebinding).
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { CALLER } from '../http/exchange.js';
import { BadRequestError } from '../http/http-error.js';
import { isLoopback } from './gateway-settings.js';

/** What a kubelet asks, which has no key. */
const OPEN_PATHS: ReadonlySet<string> = new Set(['/health/live', '/health/ready', '/health/startup']);

export interface CallerRules {
  /** None: anybody may call. */
  readonly apiKeys: readonly string[];
  /** Where the gateway listens. */
  readonly host: string;
}

/** A refusal, with the headers that belong to it. */
export interface Refusal {
  readonly error: BadRequestError;
  readonly headers: Record<string, string>;
}

export class Callers {
  readonly #digests: readonly Buffer[];
  readonly #isLocal: boolean;

  constructor({ apiKeys, host }: CallerRules) {
    this.#digests = apiKeys.map(digestOf);
    this.#isLocal = apiKeys.length === 0 && isLoopback(host);
  }

  /** Marks the request with its caller's name. @returns why it is refused; undefined where it may go on. */
  admit(request: IncomingMessage): Refusal | undefined {
    if (this.#isLocal) return isLoopbackName(request.headers.host) ? undefined : WRONG_HOST;
    if (this.#digests.length === 0 || OPEN_PATHS.has(pathOf(request))) return undefined;
    const digest = this.#known(keyOf(request.headers.authorization));
    if (!digest) return WRONG_KEY;
    Object.assign(request, { [CALLER]: digest.toString('base64url') });
    return undefined;
  }

  /** Looks at every key, so that the time taken says nothing about which one it was. */
  #known(key: string | undefined): Buffer | undefined {
    const presented = digestOf(key ?? '');
    let found: Buffer | undefined;
    for (const digest of this.#digests) {
      if (timingSafeEqual(digest, presented)) found = digest;
    }
    return key === undefined ? undefined : found;
  }
}

/** `Bearer KEY`, or Basic with the key as password. */
function keyOf(authorization: string | undefined): string | undefined {
  const [, scheme, credentials] = /^(bearer|basic) +(\S+) *$/i.exec(authorization ?? '') ?? [];
  if (credentials === undefined) return undefined;
  if (scheme?.toLowerCase() === 'bearer') return credentials;
  const userAndPassword = Buffer.from(credentials, 'base64').toString('utf8');
  const colon = userAndPassword.indexOf(':');
  return colon < 0 ? undefined : userAndPassword.slice(colon + 1);
}

/** @param host as the header has it: a name or an address, in brackets where it is IPv6, with or without a port. */
function isLoopbackName(host: string | undefined): boolean {
  const [, bracketed, name] = /^(?:\[([\da-f:.]+)\]|([^:[\]]+))(?::\d{1,5})?$/i.exec(host ?? '') ?? [];
  return isLoopback(bracketed ?? name ?? '');
}

function pathOf({ url = '' }: IncomingMessage): string {
  const query = url.indexOf('?');
  return query < 0 ? url : url.slice(0, query);
}

function digestOf(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}

const WRONG_KEY: Refusal = {
  error: new BadRequestError(
    'No valid key was presented: expected `Authorization: Bearer KEY`, or HTTP Basic with the key as password.',
    null,
    { status: 401, code: 'invalid_api_key' },
  ),
  headers: { 'www-authenticate': 'Basic realm="nestjs-llm-fallback", charset="UTF-8"' },
};

const WRONG_HOST: Refusal = {
  error: new BadRequestError(
    'Without keys, this gateway answers only requests for this machine: the Host header must be 127.0.0.1, localhost or [::1].',
    null,
    { status: 403, code: 'host_not_allowed' },
  ),
  headers: {},
};
