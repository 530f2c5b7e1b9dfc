/** `GET /models`: the one request that tells whether a provider is there and takes the key, and costs nothing. */
import type { Failure } from '../policy/failure.js';
import { classifyWireError, ownFailure } from './classify.js';
import type { ConnectionPool } from './connection-pool.js';
import { HttpExchange } from './http-exchange.js';
import type { Route } from './provider.js';
import { flattenHeaders, ReceivedBody } from './received-body.js';
import type { UpstreamClock } from './upstream.js';

/** Most that is read of the list; the longest known (OpenRouter's) has about 1 MB. */
const MAX_LIST_BYTES = 8 * 1024 * 1024;

export type ListedModels =
  /** Any status: a redirect is not followed. Header names are lower-case; the body is decoded, JSON where all is well. */
  | {
      readonly type: 'answered';
      readonly status: number;
      readonly headers: Readonly<Record<string, string>>;
      readonly body: string;
    }
  /** No whole response came in time. */
  | { readonly type: 'failed'; readonly failure: Failure };

/** @param timeoutMs for all of it. Never rejects. */
export async function listModels(
  pool: ConnectionPool,
  route: Route,
  timeoutMs: number,
  clock: UpstreamClock,
): Promise<ListedModels> {
  const { promise, resolve } = Promise.withResolvers<ListedModels>();
  const body = new ReceivedBody(MAX_LIST_BYTES);
  let status = 0;
  let headers: Readonly<Record<string, string>> = {};
  const fail = (failure: Failure): void => resolve({ type: 'failed', failure });
  const answer = (): void => resolve({ type: 'answered', status, headers, body: body.text });
  const exchange = new HttpExchange(
    pool,
    { origin: route.origin, path: route.path, method: 'GET', headers: [...route.headers] },
    {
      onHead(receivedStatus, receivedHeaders) {
        status = receivedStatus;
        headers = flattenHeaders(receivedHeaders);
      },
      onPiece(piece) {
        if (body.add(piece)) return;
        exchange.abort();
        answer();
      },
      onBodyEnd: answer,
      onError: (error) => fail(classifyWireError(error, status === 0 ? 'head' : 'body')),
    },
    clock,
  );
  const stopTimer = clock.setTimer(timeoutMs, () => {
    exchange.abort();
    fail(ownFailure('timeout_total', `no list of models within ${timeoutMs} ms`));
  });
  exchange.start();
  const listed = await promise;
  stopTimer();
  return listed;
}
