import type { Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import {
  answerJson,
  attempt,
  handClock,
  httpServer,
  realClock,
  requestTo,
  tcpServer,
} from '../../test/servers/upstream-stage.js';
import type { StagedServer } from '../../test/servers/upstream-stage.js';
import { HttpUpstream } from './http-upstream.js';
import type { UpstreamClock } from './upstream.js';

const cleanUps: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp();
});

function upstreamOf(clock: UpstreamClock = realClock()): HttpUpstream {
  const upstream = new HttpUpstream(clock);
  cleanUps.push(() => upstream.close());
  return upstream;
}

async function serving(server: Promise<StagedServer>): Promise<StagedServer> {
  const ready = await server;
  cleanUps.push(() => ready.close());
  return ready;
}

/** A used connection takes the next request once the turn of the event loop is over in which it became free. */
async function untilIdle(): Promise<void> {
  await turn();
  await turn();
}

const HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n';

describe('a request to a model', () => {
  it('goes to the chat route with the key, our name and the request id, and nothing else', async () => {
    const seen: { url: string | undefined; headers: object; body: string }[] = [];
    const server = await serving(
      httpServer(({ url, headers, body }, response) => {
        seen.push({ url, headers, body });
        response.setHeader('content-type', 'application/json').end(answerJson());
      }),
    );
    await attempt(upstreamOf(), requestTo(server.url)).end;
    expect(seen).toEqual([
      {
        url: '/v1/chat/completions',
        body: '{"model":"m-1","messages":[]}',
        headers: {
          host: server.url.slice('http://'.length),
          connection: 'keep-alive',
          authorization: 'Bearer sk-test',
          'content-type': 'application/json',
          accept: 'application/json',
          'accept-encoding': 'identity',
          'user-agent': expect.stringMatching(/^nestjs-llm-fallback\/\d+\.\d+\.\d+/),
          'x-request-id': 'req-1',
          'content-length': '29',
        },
      },
    ]);
  });

  it('is answered by the bytes that came, parsed and checked', async () => {
    const server = await serving(httpServer((_, response) => response.end(answerJson())));
    const { end, calls } = attempt(upstreamOf(), requestTo(server.url));
    const completed = await end;
    expect(calls).toEqual(['end']);
    expect(completed).toMatchObject({
      type: 'completed',
      outcome: 'ok',
      status: 200,
      finishReason: 'stop',
      usage: { inputTokens: 9, outputTokens: 3, reported: true },
      answer: { json: JSON.parse(answerJson()) },
    });
    expect(completed.type === 'completed' && Buffer.from(completed.answer?.bytes ?? []).toString()).toBe(answerJson());
  });

  it('counts tokens itself where the upstream did not', async () => {
    const server = await serving(httpServer((_, response) => response.end(answerJson('12345678', { usage: null }))));
    const { usage } = await attempt(upstreamOf(), requestTo(server.url)).end;
    expect(usage).toEqual({ inputTokens: 8, outputTokens: 2, reported: false });
  });

  it.each([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
    ['br', brotliCompressSync],
    ['zstd', zstdCompressSync],
  ])('is understood though it is answered in %s, which was not asked for', async (encoding, compress) => {
    const server = await serving(
      httpServer((_, response) => response.setHeader('content-encoding', encoding).end(compress(answerJson()))),
    );
    expect(await attempt(upstreamOf(), requestTo(server.url)).end).toMatchObject({ type: 'completed' });
  });

  it('waits through blank lines and early hints', async () => {
    const server = await serving(
      tcpServer((socket) => {
        socket.write(`HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n${HEAD}transfer-encoding: chunked\r\n\r\n1\r\n\n\r\n`);
        const body = answerJson('x'.repeat(100_000));
        socket.write(`${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`);
      }),
    );
    expect(await attempt(upstreamOf(), requestTo(server.url)).end).toMatchObject({ type: 'completed', status: 200 });
  });

  it('never tells of an end before the start has returned', async () => {
    const upstream = upstreamOf();
    await upstream.close();
    const { calls, end } = attempt(upstream, requestTo('http://127.0.0.1:9'));
    expect(calls).toEqual([]);
    expect(await end).toMatchObject({ type: 'failed', failure: { class: 'network' } });
  });
});

describe('a failed request', () => {
  it.each([
    ['a reset', 'network', (socket: Socket) => socket.resetAndDestroy()],
    ['an end before the answer', 'network', (socket: Socket) => socket.end()],
    ['no HTTP', 'bad_response', (socket: Socket) => socket.end('SSH-2.0-OpenSSH_9.6\r\n')],
    [
      'a body shorter than announced',
      'bad_response',
      (socket: Socket) => socket.end(`${HEAD}content-length: 500\r\n\r\n{"id":`),
    ],
    [
      'a chunked body that is cut',
      'bad_response',
      (socket: Socket) => {
        socket.write(`${HEAD}transfer-encoding: chunked\r\n\r\n64\r\n{"id":`, () => socket.resetAndDestroy());
      },
    ],
  ])('with %s is %s, on one connection', async (_, failureClass, play) => {
    const server = await serving(tcpServer(play));
    const end = await attempt(upstreamOf(), requestTo(server.url)).end;
    expect(end).toMatchObject({ type: 'failed', failure: { class: failureClass }, delivered: 'nothing' });
    expect(end.usage).toEqual({ inputTokens: 0, outputTokens: 0, reported: false });
    expect(server.sockets).toHaveLength(1);
  });

  it.each([
    ['nobody who listens', 'http://127.0.0.1:1'],
    ['a name that does not exist', 'http://nonexistent.invalid'],
  ])('with %s is a network failure', async (_, url) => {
    expect(await attempt(upstreamOf(), requestTo(url)).end).toMatchObject({ failure: { class: 'network' } });
  });

  it('with TLS spoken to a plain server is a network failure', async () => {
    const server = await serving(httpServer((_, response) => response.end(answerJson())));
    const { end } = attempt(upstreamOf(), requestTo(server.url.replace('http:', 'https:')));
    expect(await end).toMatchObject({ failure: { class: 'network' } });
  });

  it('is classed by status, headers and body, with Retry-After', async () => {
    const server = await serving(
      httpServer((_, response) => {
        response.writeHead(429, { 'retry-after': '7', 'content-encoding': 'gzip' });
        response.end(gzipSync('{"error":{"message":"slow","type":"requests","code":"rate_limit_exceeded"}}'));
      }),
    );
    expect(await attempt(upstreamOf(), requestTo(server.url)).end).toMatchObject({
      failure: { class: 'rate_limited', status: 429, retryAfterMs: 7000, error: { code: 'rate_limit_exceeded' } },
    });
  });

  it('does not follow a redirect', async () => {
    let followed = false;
    const other = await serving(
      httpServer((_, response) => {
        followed = true;
        response.end(answerJson());
      }),
    );
    const server = await serving(
      httpServer((_, response) => response.writeHead(307, { location: `${other.url}/v1/chat/completions` }).end()),
    );
    const { end } = attempt(upstreamOf(), requestTo(server.url));
    expect(await end).toMatchObject({ failure: { class: 'bad_response', status: 307 } });
    expect(followed).toBe(false);
  });

  it('does not read an endless error: 64 KiB say enough', async () => {
    const server = await serving(
      httpServer((_, response) => {
        response.writeHead(500);
        const write = (): void => {
          while (!response.destroyed && response.write('x'.repeat(10_000)));
          response.once('drain', write);
        };
        write();
      }),
    );
    expect(await attempt(upstreamOf(handClock()), requestTo(server.url)).end).toMatchObject({
      failure: { class: 'server_error', status: 500 },
    });
    await server.closed(0);
  });

  it('does not wait for an error body that does not come', async () => {
    const server = await serving(
      httpServer((_, response) => {
        response.writeHead(503, { 'content-type': 'application/json' });
        response.write('{"error":');
      }),
    );
    const { end } = attempt(upstreamOf(), requestTo(server.url), { answerMs: 150 });
    expect(await end).toMatchObject({ failure: { class: 'server_error', status: 503 } });
  });

  it('does not keep an answer of more than 16 MiB', async () => {
    const server = await serving(
      httpServer((_, response) => {
        const write = (): void => {
          while (!response.destroyed && response.write('x'.repeat(100_000)));
          response.once('drain', write);
        };
        write();
      }),
    );
    const { end } = attempt(upstreamOf(), requestTo(server.url));
    expect(await end).toMatchObject({ failure: { class: 'bad_response' } });
    await server.closed(0);
  });

  it('with a body whose encoding is unknown or broken is a bad_response', async () => {
    for (const encoding of ['gzip', 'rot13']) {
      const server = await serving(
        httpServer((_, response) => response.setHeader('content-encoding', encoding).end(answerJson())),
      );
      const { end } = attempt(upstreamOf(), requestTo(server.url));
      expect(await end).toMatchObject({ failure: { class: 'bad_response' } });
    }
  });
});

describe('the time limit of an answer', () => {
  it.each([
    ['before the head', ''],
    ['inside the body', `${HEAD}content-length: 500\r\n\r\n{"id":`],
  ])('holds while the upstream is silent %s, and closes the socket', async (_, sent) => {
    const server = await serving(tcpServer((socket) => socket.write(sent)));
    const { end } = attempt(upstreamOf(), requestTo(server.url), { answerMs: 100 });
    expect(await end).toMatchObject({
      failure: { class: 'timeout_total', error: { message: 'no answer within 100 ms' } },
    });
    await server.closed(0);
  });

  it('holds while the connection is being opened, and closes that', async () => {
    // A TLS handshake that nobody answers.
    const server = await serving(tcpServer(() => undefined));
    const { end } = attempt(upstreamOf(), requestTo(server.url.replace('http:', 'https:')), { answerMs: 100 });
    expect(await end).toMatchObject({ failure: { class: 'timeout_total' } });
    await server.closed(0);
  });
});

describe('a connection', () => {
  it('serves one request after another', async () => {
    const server = await serving(httpServer((_, response) => response.end(answerJson())));
    const upstream = upstreamOf();
    for (let round = 0; round < 5; round++) {
      await attempt(upstream, requestTo(server.url)).end;
      await untilIdle();
    }
    expect(server.sockets).toHaveLength(1);
  });

  it('is opened for every request that runs beside others', async () => {
    const waiting: (() => void)[] = [];
    const server = await serving(
      httpServer((_, response) => {
        waiting.push(() => response.end(answerJson()));
        if (waiting.length === 50) for (const answer of waiting) answer();
      }),
    );
    const upstream = upstreamOf();
    const ends = await Promise.all(Array.from({ length: 50 }, () => attempt(upstream, requestTo(server.url)).end));
    expect(ends.every(({ type }) => type === 'completed')).toBe(true);
    expect(server.sockets).toHaveLength(50);
  });

  it('that served before and is found dead costs nothing: the request is repeated once on a fresh one', async () => {
    let answered = 0;
    const server = await serving(
      tcpServer((socket, requestsOnSocket) => {
        if (requestsOnSocket > 1) {
          socket.resetAndDestroy();
          return;
        }
        answered += 1;
        const body = answerJson();
        socket.write(`${HEAD}content-length: ${body.length}\r\n\r\n${body}`);
      }),
    );
    const upstream = upstreamOf();
    for (let round = 0; round < 3; round++) {
      const { end, calls } = attempt(upstream, requestTo(server.url));
      expect(await end).toMatchObject({ type: 'completed' });
      expect(calls).toEqual(['end']);
      await untilIdle();
    }
    expect(answered).toBe(3);
  });

  it('that served before and dies after a byte of the response is not repeated', async () => {
    let requests = 0;
    const server = await serving(
      tcpServer((socket, requestsOnSocket) => {
        requests += 1;
        const body = answerJson();
        if (requestsOnSocket > 1) socket.write('HTTP/1.1 200', () => socket.resetAndDestroy());
        else socket.write(`${HEAD}content-length: ${body.length}\r\n\r\n${body}`);
      }),
    );
    const upstream = upstreamOf();
    await attempt(upstream, requestTo(server.url)).end;
    await untilIdle();
    expect(await attempt(upstream, requestTo(server.url)).end).toMatchObject({ failure: { class: 'network' } });
    expect(requests).toBe(2);
  });

  it('that is dead both times is a network failure, after two requests', async () => {
    let requests = 0;
    const server = await serving(
      tcpServer((socket) => {
        requests += 1;
        const body = answerJson();
        if (requests > 1) socket.resetAndDestroy();
        else socket.write(`${HEAD}content-length: ${body.length}\r\n\r\n${body}`);
      }),
    );
    const upstream = upstreamOf();
    await attempt(upstream, requestTo(server.url)).end;
    await untilIdle();
    expect(await attempt(upstream, requestTo(server.url)).end).toMatchObject({ failure: { class: 'network' } });
    expect(requests).toBe(3);
  });
});

describe('a cancelled request', () => {
  it('closes its socket at once and says nothing more', async () => {
    const arrived = Promise.withResolvers<void>();
    const server = await serving(httpServer(() => arrived.resolve()));
    const { running, calls } = attempt(upstreamOf(), requestTo(server.url), { answerMs: 200 });
    await arrived.promise;
    const startedAtMs = performance.now();
    running.cancel();
    running.cancel();
    await server.closed(0);
    expect(performance.now() - startedAtMs).toBeLessThan(100);
    running.pause();
    running.resume();
    expect(calls).toEqual([]);
  });

  it('is not sent where it was not yet', async () => {
    let requests = 0;
    const server = await serving(
      httpServer((_, response) => {
        requests += 1;
        response.end(answerJson());
      }),
    );
    const upstream = upstreamOf();
    await attempt(upstream, requestTo(server.url)).end;
    await untilIdle();
    // On a connection that is open already, and on one that is not.
    const cancelled = [0, 1].map(() => attempt(upstream, requestTo(server.url)));
    for (const { running } of cancelled) running.cancel();
    await attempt(upstream, requestTo(server.url)).end;
    expect(requests).toBe(2);
    expect(cancelled.flatMap(({ calls }) => calls)).toEqual([]);
  });

  it('is past cancelling once it has ended: its connection serves the next', async () => {
    const server = await serving(httpServer((_, response) => response.end(answerJson())));
    const upstream = upstreamOf();
    const { running, end, calls } = attempt(upstream, requestTo(server.url));
    await end;
    running.cancel();
    await untilIdle();
    await attempt(upstream, requestTo(server.url)).end;
    expect(calls).toEqual(['end']);
    expect(server.sockets).toHaveLength(1);
  });
});

describe('the list of models', () => {
  it('is asked for with the key, and told with its status, whatever that is', async () => {
    const server = await serving(
      httpServer(({ url, headers }, response) => {
        expect([url, headers.authorization]).toEqual(['/v1/models', 'Bearer sk-test']);
        response.writeHead(404, { 'x-a': '1' }).end('{"object":"list"}');
      }),
    );
    const listed = await upstreamOf().getModels(requestTo(server.url).target.provider, 1_000);
    expect(listed).toMatchObject({ type: 'answered', status: 404, headers: { 'x-a': '1' }, body: '{"object":"list"}' });
  });

  it('fails as a value where nobody answers in time', async () => {
    const server = await serving(tcpServer(() => undefined));
    const upstream = upstreamOf();
    const { provider } = requestTo(server.url).target;
    expect(await upstream.getModels(provider, 50)).toMatchObject({
      type: 'failed',
      failure: { class: 'timeout_total' },
    });
    const { provider: gone } = requestTo('http://127.0.0.1:1').target;
    expect(await upstream.getModels(gone, 1_000)).toMatchObject({ type: 'failed', failure: { class: 'network' } });
  });
});
