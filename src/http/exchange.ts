/**
 * One HTTP exchange as our routes see it, whether the host runs on Express or on Fastify: the request's facts, and the
 * raw response to write into. Our routes answer by themselves, so that no global pipe, filter or interceptor of the
 * host changes the shape that OpenAI's clients expect; its guards have run before.
 */
import { randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { type HostReply, takeReply } from '../fallback/host-reply.js';

export type { HostReply };

/** What Express and Fastify have in common for us; both pass the raw objects under their own names. */
export interface HostRequest {
  readonly headers: IncomingHttpHeaders;
  readonly raw?: IncomingMessage;
  readonly body?: unknown;
  readonly rawBody?: unknown;
  readonly id?: unknown;
  readonly params?: unknown;
}

/** Set on the raw request by whoever knows the caller: what is kept for a caller is kept under this name. */
export const CALLER = Symbol('nestjs-llm-fallback.caller');

export interface Exchange {
  readonly headers: IncomingHttpHeaders;
  readonly requestId: string;
  /** Whose users a `userId` speaks of. */
  readonly owner: string;
  readonly host: HostRequest;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

const ANYBODY = 'anybody';
const MAX_REQUEST_ID_LENGTH = 128;
/** Blanks within are printable, too; HTTP has cut those around it. */
const PRINTABLE = /^[\x20-\x7e]+$/;

export function openExchange(host: HostRequest, reply: HostReply): Exchange {
  const response = takeReply(reply);
  const request = host.raw ?? (host as unknown as IncomingMessage);
  const caller = (request as IncomingMessage & { [CALLER]?: string })[CALLER];
  return {
    headers: host.headers,
    requestId: requestIdOf(host),
    owner: caller ?? ANYBODY,
    host,
    request,
    response,
  };
}

/** The caller's where it is printable and not too long, else the host's own (pino counts), else a new one. */
function requestIdOf(host: HostRequest): string {
  const given = host.headers['x-request-id'];
  const own = typeof host.id === 'number' ? String(host.id) : host.id;
  for (const id of [given, own]) {
    if (typeof id === 'string' && id.length <= MAX_REQUEST_ID_LENGTH && PRINTABLE.test(id)) return id;
  }
  return randomUUID();
}
