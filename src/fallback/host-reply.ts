/** The reply that the host's framework gave us, taken over: from here on our route answers by itself. */
import type { ServerResponse } from 'node:http';

/** Express gives the raw response, Fastify a reply around it that would answer by itself. */
export type HostReply = ServerResponse | FastifyReply;

interface FastifyReply {
  readonly raw: ServerResponse;
  hijack(): unknown;
}

export function takeReply(reply: HostReply): ServerResponse {
  if (!isFastifyReply(reply)) return reply;
  reply.hijack();
  return reply.raw;
}

function isFastifyReply(reply: HostReply): reply is FastifyReply {
  return 'hijack' in reply;
}
