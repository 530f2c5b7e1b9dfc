/**
 * The HTTP server under the gateway: its limits, how it takes bodies, and what it says where a request never reaches a
 * route. Whatever goes wrong, the caller reads OpenAI's error shape.
 */
import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { type HostReply, type HostRequest, openExchange } from '../http/exchange.js';
import { BadRequestError, errorBodyOf } from '../http/http-error.js';
import { sendError } from '../http/replies.js';
import { MAX_BODY_BYTES } from '../http/request-body.js';
import type { Callers } from './callers.js';
import type { Drain } from './drain.js';
import { SILENCE_LIMIT_MS, SlowSenders } from './slow-senders.js';

export interface HttpServerRules {
  readonly callers: Callers;
  readonly drain: Drain;
}

/** 256 characters of a `userId`, each up to four bytes of UTF-8, each byte escaped in the path. */
const MAX_PARAM_LENGTH = 256 * 4 * 3;
/** However slowly it progresses, no body takes longer. */
const REQUEST_LIMIT_MS = 300_000;
/** Limits are looked at this often, and not only every half minute. */
const CHECK_INTERVAL_MS = 2_000;

export function createHttpServer({ callers, drain }: HttpServerRules): FastifyAdapter {
  const senders = new SlowSenders();
  const adapter = new FastifyAdapter({
    bodyLimit: MAX_BODY_BYTES,
    requestTimeout: REQUEST_LIMIT_MS,
    http: { headersTimeout: SILENCE_LIMIT_MS, connectionsCheckingInterval: CHECK_INTERVAL_MS },
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    genReqId: () => randomUUID(),
    clientErrorHandler: answerUnreadable,
    frameworkErrors: ({ statusCode = 400 }: { statusCode?: number }, request: HostRequest, reply: HostReply) =>
      refuse(request, reply, refusalOf(statusCode)),
    // No middleware of ours: each would run for every request.
    skipMiddie: true,
  });
  const server = adapter.getInstance();
  server.removeAllContentTypeParsers();
  // The bytes as they came: they go upstream so, and the route parses them once, for what it decides by.
  server.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    senders.arrived(request.raw);
    done(null, body);
  });
  server.addHook('onRequest', (request, reply, done) => {
    drain.enter(request.raw, reply.raw);
    senders.watch(request.raw);
    const refusal = callers.admit(request.raw);
    if (refusal) refuse(request, reply, refusal.error, refusal.headers);
    else done();
  });
  server.addHook('onClose', (_, done) => {
    senders.close();
    done();
  });
  return adapter;
}

/** What the server itself refuses, in our words: its own would name a stack that callers need not know. */
export function refusalOf(status: number, target = ''): BadRequestError {
  const { message, code } = REFUSALS[status] ?? { message: STATUS_CODES[status] ?? 'Bad request', code: 'bad_request' };
  return new BadRequestError(`${message}${target === '' ? '' : `: ${target}`}.`, null, { status, code });
}

/** What is still to come of the request is read and dropped, so that whoever sends it gets to read the refusal. */
export function refuse(
  request: HostRequest,
  reply: HostReply,
  error: unknown,
  headers: Record<string, string> = {},
): void {
  const exchange = openExchange(request, reply);
  if (!exchange.request.complete) {
    // Fastify would close the connection under a body that is too large: whoever still sends it would see a reset instead
    // of the refusal. Silent and endless senders are cut all the same.
    exchange.response.removeHeader('connection');
    exchange.request.resume();
  }
  sendError(exchange, error, { 'x-request-id': exchange.requestId, ...headers });
}

const REFUSALS: Readonly<Record<number, { readonly message: string; readonly code: string }>> = {
  400: { message: 'The request cannot be read', code: 'bad_request' },
  404: { message: 'There is no such route', code: 'not_found' },
  408: { message: 'The request came too slowly', code: 'request_timeout' },
  413: { message: `The body is larger than ${MAX_BODY_BYTES} bytes`, code: 'request_too_large' },
  414: { message: 'The address is too long', code: 'address_too_long' },
  415: { message: 'The content type must be application/json', code: 'unsupported_media_type' },
  431: { message: 'The headers are too large', code: 'headers_too_large' },
};

const STATUS_BY_ERROR: Readonly<Record<string, number>> = {
  HPE_HEADER_OVERFLOW: 431,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
};

/** Not HTTP, or not in time: there is no request to answer, only a socket. */
function answerUnreadable(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const status = STATUS_BY_ERROR[error.code ?? ''] ?? 400;
  const body = JSON.stringify(errorBodyOf(refusalOf(status)));
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nconnection: close\r\ncontent-type: application/json; charset=utf-8\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
