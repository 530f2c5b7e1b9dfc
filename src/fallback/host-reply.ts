/** The reply that the host's framework gave us, taken over: from here on our route answers by itself. */
import type { ServerResponse } from 'node:http';

/** Express gives the raw response, Fastify a reply around it that would answer by itself. */
export type HostReply = ServerResponse | FastifyReply;

type HeaderValue = number | string | string[] | undefined;

interface FastifyReply {
  readonly raw: ServerResponse;
  hijack(): unknown;
  /** Those of the response among them. */
  getHeaders(): Readonly<Record<string, HeaderValue>>;
}

/**
 * Of the answer that Fastify would have given, not of ours: it closes the connection of whoever has sent too much, who
 * could then not read why.
 */
const NOT_OURS = new Set(['connection', 'content-length', 'content-type', 'transfer-encoding']);

/** What the host's plugins have set so far goes out with our answer. */
export function takeReply(reply: HostReply): ServerResponse {
  if (!isFastifyReply(reply)) return reply;
  reply.hijack();
  const { raw } = reply;
  for (const [name, value] of Object.entries(reply.getHeaders())) {
    if (value !== undefined && !NOT_OURS.has(name) && !raw.hasHeader(name)) raw.setHeader(name, value);
  }
  return raw;
}

function isFastifyReply(reply: HostReply): reply is FastifyReply {
  return 'hijack' in reply;
}
