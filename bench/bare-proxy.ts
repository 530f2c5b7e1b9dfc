/**
 * The yardstick: the least that a proxy in Node does. `node:http` in front, `undici.request` behind, bytes passed on with
 * backpressure; where the first upstream answers 5xx, the second is asked. No router, no log, no metric, no time limit
 * but undici's own.
 *
 * Usage: bare-proxy.ts UPSTREAM [NEXT_UPSTREAM]
 */
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';

import { request as ask } from 'undici';
import type { Dispatcher } from 'undici';

import { listenAndSay } from './listening.ts';
import { endWithParent } from './orders.ts';

const PASSED_ON = ['content-type', 'content-length'];

const upstreams = process.argv.slice(2);

function relay(request: IncomingMessage, response: ServerResponse): void {
  const pieces: Buffer[] = [];
  request.on('data', (piece: Buffer) => pieces.push(piece));
  request.once('end', () => {
    const [only, ...more] = pieces;
    // Kept whole, since the second upstream may need it again.
    const body = only !== undefined && more.length === 0 ? only : Buffer.concat(pieces);
    askInTurn(body, response).catch(() => response.destroy());
  });
}

async function askInTurn(body: Buffer, response: ServerResponse): Promise<void> {
  for (const [at, upstream] of upstreams.entries()) {
    const answer = await ask(`${upstream}/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: 'Bearer bench' },
      body,
    });
    if (answer.statusCode >= 500 && at + 1 < upstreams.length) {
      await answer.body.dump();
      continue;
    }
    passOn(answer, response);
    return;
  }
}

function passOn({ statusCode, headers, body }: Dispatcher.ResponseData, response: ServerResponse): void {
  response.statusCode = statusCode;
  for (const name of PASSED_ON) {
    const value = headers[name];
    if (value !== undefined) response.setHeader(name, value);
  }
  const resume = (): void => void body.resume();
  body.on('data', (piece: Buffer) => {
    if (response.write(piece)) return;
    body.pause();
    response.once('drain', resume);
  });
  body.once('end', () => response.end());
  body.once('error', () => response.destroy());
  response.once('close', () => {
    if (!response.writableFinished) body.destroy();
  });
}

endWithParent();
listenAndSay(createServer(relay));
