/** How a server of the bench says where it is: in the gateway's own words, so that all are started alike. */
import type { Server } from 'node:http';

/** More than Node's 511, for a thousand callers who come within a second. */
const BACKLOG = 2_048;

export const LISTENING = /listening on (http:\/\/[\d.]+:\d+)/;

export function listenAndSay(server: Server): void {
  server.listen({ port: 0, host: '127.0.0.1', backlog: BACKLOG }, () => {
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('listens on no port');
    console.log(`listening on http://127.0.0.1:${address.port}`);
  });
}
