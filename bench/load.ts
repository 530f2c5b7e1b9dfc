/**
 * The callers, a process of their own whose CPU is not counted. A fixed number of requests, a bounded number of them at
 * once; every answer is checked, since a proxy that answers wrongly answers fast.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import { Pool } from 'undici';

import { serveOrders, type WorkOrder, type WorkReport } from './orders.ts';
import { COMPLETION, requestBody, STREAM_END } from './wire.ts';

/** No answer of the bench takes so long; one that does has hung. */
const ANSWER_LIMIT_MS = 30_000;
/** Callers who come all at once would overflow the backlog of a listener, and wait for a second. */
const ARRIVALS_AT_ONCE = 50;
const ARRIVAL_PAUSE_MS = 5;

const NEWLINE = 0x0a;

const pools = new Map<string, Pool>();

function poolFor(origin: string, connections: number): Pool {
  const key = `${origin} ${connections}`;
  const known = pools.get(key);
  if (known !== undefined) return known;
  const pool = new Pool(origin, { connections, headersTimeout: ANSWER_LIMIT_MS, bodyTimeout: ANSWER_LIMIT_MS });
  pools.set(key, pool);
  return pool;
}

async function work(order: WorkOrder): Promise<WorkReport> {
  const pool = poolFor(order.url, order.concurrency);
  const isStream = order.eventsPerStream > 0;
  const body = requestBody({ model: order.model, size: order.size, stream: isStream });
  const faults: string[] = [];
  let started = 0;
  let done = 0;

  const caller = async (): Promise<void> => {
    while (started < order.requests && faults.length === 0) {
      started++;
      const fault = await callOnce(pool, body, order.eventsPerStream);
      if (fault === undefined) done++;
      else faults.push(fault);
    }
  };
  const callers: Promise<void>[] = [];
  for (let at = 0; at < Math.min(order.concurrency, order.requests); at++) {
    callers.push(caller());
    if (at % ARRIVALS_AT_ONCE === ARRIVALS_AT_ONCE - 1) await sleep(ARRIVAL_PAUSE_MS);
  }
  await Promise.all(callers);
  const [firstFault] = faults;
  return { done, failed: faults.length, ...(firstFault === undefined ? {} : { firstFault }) };
}

/** What was wrong, or undefined. */
async function callOnce(pool: Pool, body: string, eventsPerStream: number): Promise<string | undefined> {
  try {
    const answer = await pool.request({
      method: 'POST',
      path: '/v1/chat/completions',
      headers: { 'content-type': 'application/json' },
      body,
    });
    if (answer.statusCode !== 200) return `status ${answer.statusCode}: ${(await answer.body.text()).slice(0, 500)}`;
    if (eventsPerStream === 0) {
      const text = await answer.body.text();
      return text === COMPLETION ? undefined : `not the upstream's answer: ${text.slice(0, 500)}`;
    }
    return await readStream(answer.body, eventsPerStream);
  } catch (error) {
    return String(error);
  }
}

/** Counts events by the blank line that ends each. */
function readStream(body: NodeJS.ReadableStream, eventsPerStream: number): Promise<string | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<string | undefined>();
  let events = 0;
  let last = 0;
  let tail = '';
  body.on('data', (piece: Buffer) => {
    for (let at = piece.indexOf(NEWLINE); at >= 0; at = piece.indexOf(NEWLINE, at + 1)) {
      if ((at === 0 ? last : piece[at - 1]) === NEWLINE) events++;
    }
    last = piece.at(-1) ?? last;
    tail = (tail + piece.toString('latin1', Math.max(0, piece.length - STREAM_END.length))).slice(-STREAM_END.length);
  });
  body.once('end', () => {
    if (tail !== STREAM_END) resolve(`a stream that ends with ${JSON.stringify(tail)}`);
    else if (events !== eventsPerStream) resolve(`a stream of ${events} events, not ${eventsPerStream}`);
    else resolve(undefined);
  });
  body.once('error', reject);
  return promise;
}

serveOrders<'work'>(work);
console.log('ready');
