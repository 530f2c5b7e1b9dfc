/**
 * Small HTTP servers on this machine: the ground under the simulated and the scripted models. A port of the system's
 * choice, a close that leaves no handle open, bounded bodies, and waits that end when the client leaves.
 *
 * Knows nothing of models.
 */
import { once } from 'node:events';
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { Server, Socket } from 'node:net';

export interface LoopbackServer {
  readonly port: number;
  /** `http://127.0.0.1:PORT`; of a TLS server the scheme is the caller's to know. */
  readonly origin: string;
  /** Destroys what is still connected. Idempotent. */
  readonly close: () => Promise<void>;
}

/** Puts a server (net, http, https) on a free port. Rejects where the port cannot be taken. */
export async function listenOnLoopback(server: Server, host = '127.0.0.1', port = 0): Promise<LoopbackServer> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    // A peer that resets is what our servers are for; without a listener it would end the process.
    socket.on('error', () => socket.destroy());
    socket.once('close', () => sockets.delete(socket));
  });
  server.listen(port, host);
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server listens on no port');
  return {
    port: address.port,
    origin: `http://${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}`,
    close: async () => {
      if (!server.listening) return;
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** The contract's own limit: what the gateway lets through, our models must take. */
const MAX_BODY_BYTES = 20 * 1024 * 1024;

/** The request's body. Resolves with `undefined` where it is longer than `MAX_BODY_BYTES` or the client left. */
export async function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  const pieces: Buffer[] = [];
  let length = 0;
  try {
    for await (const piece of request as AsyncIterable<Buffer>) {
      length += piece.length;
      // The rest is read and dropped: leaving the loop would destroy the socket before the refusal is out.
      if (length <= MAX_BODY_BYTES) pieces.push(piece);
    }
  } catch {
    return undefined;
  }
  return length <= MAX_BODY_BYTES ? Buffer.concat(pieces) : undefined;
}

/** A JSON answer; does nothing where the client has left. */
export function writeJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: OutgoingHttpHeaders = {},
): void {
  const bytes = Buffer.from(JSON.stringify(body));
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': bytes.length, ...headers });
  response.end(bytes);
}

/**
 * Waits `ms`, or until the client leaves.
 * @returns whether the client is still there.
 */
export function waitFor(response: ServerResponse, ms: number): Promise<boolean> {
  if (response.destroyed) return Promise.resolve(false);
  if (ms <= 0) return Promise.resolve(true);
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      response.off('close', left);
      resolve(true);
    }, ms);
    function left() {
      clearTimeout(timer);
      resolve(false);
    }
    response.once('close', left);
  });
}

/** Resolves when the client leaves, or when the server is closed. */
export async function untilGone(response: ServerResponse): Promise<void> {
  if (!response.destroyed) await once(response, 'close');
}

/** Writes and waits while the client reads slower than we write. @returns whether it is still there. */
export async function writeSlowly(response: ServerResponse, text: string | Uint8Array): Promise<boolean> {
  if (response.destroyed) return false;
  if (response.write(text)) return true;
  const waiting = new AbortController();
  const { signal } = waiting;
  await Promise.race([once(response, 'drain', { signal }), once(response, 'close', { signal })]);
  // The listeners of the one that did not come would pile up, one for each wait.
  waiting.abort();
  return !response.destroyed;
}
