/** An HTTP server on loopback that knows how many connections it has: what a gateway leaves open is counted here. */
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { parseJsonObject } from '../../src/simulation/json-value.js';
import type { JsonObject } from '../../src/simulation/json-value.js';
import { listenOnLoopback, readBody } from '../../src/simulation/loopback-server.js';

export interface CountedServer {
  /** `http://127.0.0.1:PORT/v1` */
  readonly baseUrl: string;
  /** Connections that are open just now. */
  openConnections(): number;
  close(): Promise<void>;
}

/** An idle connection goes soon: those that are left at the end are leaks. */
const KEEP_ALIVE_MS = 1_500;

/** @param answer to a POST; may reject, and the connection is cut then. Who asks for a list of models is told of none. */
export async function startCountedServer(
  answer: (body: JsonObject, response: ServerResponse, request: IncomingMessage) => Promise<void>,
): Promise<CountedServer> {
  const sockets = new Set<Socket>();
  const server = createServer((request, response) => {
    if (request.method !== 'POST') {
      response.writeHead(404).end();
      return;
    }
    const read = async () =>
      answer(parseJsonObject((await readBody(request)) ?? Buffer.alloc(0)) ?? {}, response, request);
    read().catch(() => response.destroy());
  });
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  const { origin, close } = await listenOnLoopback(server);
  return { baseUrl: `${origin}/v1`, openConnections: () => sockets.size, close };
}
