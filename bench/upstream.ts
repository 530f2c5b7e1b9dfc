/**
 * The upstream of the bench, a process of its own whose CPU is not counted: prebuilt bytes, an own HTTP chunk for each
 * event of a stream, as a real provider sends them.
 */
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';

import { listenAndSay } from './listening.ts';
import { serveOrders } from './orders.ts';
import { COMPLETION, MODEL_LIST, ROUTES, SERVER_ERROR, STREAM_SHAPES, streamEvents, type Route } from './wire.ts';

/** Longer than the pause of one contender while the other has its turn. */
const KEEP_ALIVE_MS = 60_000;
const TICK_MS = 1;

interface PacedStream {
  readonly response: ServerResponse;
  readonly events: readonly Buffer[];
  readonly paceMs: number;
  sent: number;
  dueAtMs: number;
}

const eventsOf = {
  burst: streamEvents(STREAM_SHAPES.burst),
  paced: streamEvents(STREAM_SHAPES.paced),
  idle: streamEvents(STREAM_SHAPES.idle),
};
const open = new Set<PacedStream>();
let calls = noCalls();
let openAtOnce = 0;
let streamsSoFar = 0;

function noCalls(): Record<Route, number> {
  return { answering: 0, failing: 0, burst: 0, paced: 0, idle: 0 };
}

function handle(request: IncomingMessage, response: ServerResponse): void {
  const route = ROUTES.find((name) => request.url?.startsWith(`/${name}/`));
  if (route === undefined) return answerJson(response, 404, SERVER_ERROR);
  if (request.method === 'GET') return answerJson(response, 200, MODEL_LIST);
  calls[route]++;
  request.resume();
  request.once('end', () => answer(route, response));
}

function answer(route: Route, response: ServerResponse): void {
  if (route === 'answering') return answerJson(response, 200, COMPLETION);
  if (route === 'failing') return answerJson(response, 500, SERVER_ERROR);
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' });
  if (route === 'burst') return sendAtOnce(response, eventsOf.burst);
  const { paceMs } = STREAM_SHAPES[route];
  const stream = {
    response,
    events: eventsOf[route],
    paceMs,
    sent: 0,
    // Streams that were opened together do not speak together: real ones do not either, and a batch is cheaper to read.
    dueAtMs: performance.now() + (streamsSoFar++ % paceMs),
  };
  open.add(stream);
  openAtOnce = Math.max(openAtOnce, open.size);
  response.once('close', () => open.delete(stream));
}

function answerJson(response: ServerResponse, status: number, json: string): void {
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(json) });
  response.end(json);
}

function sendAtOnce(response: ServerResponse, events: readonly Buffer[]): void {
  let sent = 0;
  const send = (): void => {
    while (sent < events.length) {
      if (!response.write(events[sent++])) {
        response.once('drain', send);
        return;
      }
    }
    response.end();
  };
  send();
}

function sendWhatIsDue(): void {
  const nowMs = performance.now();
  for (const stream of open) {
    if (stream.dueAtMs > nowMs) continue;
    stream.dueAtMs += stream.paceMs;
    stream.response.write(stream.events[stream.sent++]);
    if (stream.sent < stream.events.length) continue;
    open.delete(stream);
    stream.response.end();
  }
}

serveOrders<'count'>(() => {
  const counts = { calls, openAtOnce };
  calls = noCalls();
  openAtOnce = 0;
  return Promise.resolve(counts);
});
setInterval(sendWhatIsDue, TICK_MS);
listenAndSay(createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, handle));
