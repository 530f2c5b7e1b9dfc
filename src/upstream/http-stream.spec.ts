import { randomBytes } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { createGzip, gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import {
  answerJson,
  attempt,
  chunk,
  handClock,
  httpServer,
  realClock,
  requestTo,
  tcpServer,
} from '../../test/servers/upstream-stage.js';
import type { StagedServer } from '../../test/servers/upstream-stage.js';
import { HttpUpstream } from './http-upstream.js';
import type { UpstreamClock, UpstreamRequest } from './upstream.js';

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

/** Answers with these pieces, one packet each, and leaves the body open where `ends` is false. */
async function streaming(pieces: readonly string[], ends = true, headers: object = {}): Promise<StagedServer> {
  return serving(
    httpServer((_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream', ...headers });
      response.flushHeaders();
      for (const piece of pieces) response.write(piece);
      if (ends) response.end();
    }),
  );
}

const streamed = (server: StagedServer, changes: Partial<UpstreamRequest> = {}): UpstreamRequest =>
  requestTo(server.url, { streaming: true, ...changes });

const ROLE = chunk({ role: 'assistant', content: '' });
const HELLO = chunk({ content: 'Hello' });
const WORLD = chunk({ content: ' A' });
const STOP = chunk({}, 'stop');
const DONE = 'data: [DONE]\n\n';
const USAGE = 'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3}}\n\n';

describe('a streamed attempt', () => {
  it('tells of the first token, passes the events on as they came, and ends as completed', async () => {
    const server = await streaming([ROLE, HELLO, WORLD, STOP, USAGE, DONE]);
    const { end, calls, text } = attempt(upstreamOf(), streamed(server));
    expect(await end).toEqual({
      type: 'completed',
      outcome: 'ok',
      status: 200,
      finishReason: 'stop',
      streamId: 'chatcmpl-A1',
      usage: { inputTokens: 9, outputTokens: 3, reported: true },
    });
    expect(calls).toEqual(['first token', 'bytes', 'end']);
    expect(text()).toBe(ROLE + HELLO + WORLD + STOP + USAGE);
  });

  it('counts tokens itself where no usage came', async () => {
    const server = await streaming([HELLO, WORLD, STOP, DONE]);
    const { usage } = await attempt(upstreamOf(), streamed(server)).end;
    expect(usage).toEqual({ inputTokens: 8, outputTokens: 2, reported: false });
  });

  it('counts what was said before a break, whatever had been reported by then', async () => {
    const early = HELLO.replace('"choices"', '"usage":{"prompt_tokens":9,"completion_tokens":1},"choices"');
    const server = await streaming([early, chunk({ content: 'x'.repeat(400) })]);
    const { usage } = await attempt(upstreamOf(), streamed(server)).end;
    expect(usage).toEqual({ inputTokens: 9, outputTokens: 102, reported: false });
  });

  it('reads a stream that comes byte by byte', async () => {
    const server = await serving(
      tcpServer((socket) => {
        socket.setNoDelay(true);
        const body = ROLE + chunk({ content: 'né 🙂' }) + STOP + DONE;
        const head = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n';
        const bytes = Buffer.from(head + body);
        const send = (at: number): void => {
          if (at === bytes.length) socket.end();
          else socket.write(bytes.subarray(at, at + 1), () => setImmediate(send, at + 1));
        };
        send(0);
      }),
    );
    const { end, text } = attempt(upstreamOf(), streamed(server));
    expect(await end).toMatchObject({ type: 'completed' });
    expect(text()).toBe(ROLE + chunk({ content: 'né 🙂' }) + STOP);
  });

  it('passes compressed events on while the stream still runs', async () => {
    const unzipped = Promise.withResolvers<void>();
    const server = await serving(
      httpServer((_, response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' });
        const gzip = createGzip();
        gzip.pipe(response);
        gzip.write(HELLO);
        gzip.flush();
        void unzipped.promise.then(() => gzip.end(WORLD + STOP + DONE));
      }),
    );
    const { end, text, heard } = attempt(upstreamOf(), streamed(server));
    await heard('Hello');
    unzipped.resolve();
    expect(await end).toMatchObject({ type: 'completed' });
    expect(text()).toBe(HELLO + WORLD + STOP);
  });

  it.each([
    ['an announced JSON body', 'application/json', answerJson()],
    ['a JSON body announced as a stream', 'text/event-stream', `\n${answerJson()}`],
  ])('makes a stream of %s', async (_, contentType, body) => {
    const server = await streaming([body], true, { 'content-type': contentType });
    const { end, calls, text } = attempt(upstreamOf(), streamed(server));
    expect(await end).toMatchObject({
      type: 'completed',
      finishReason: 'stop',
      usage: { inputTokens: 9, outputTokens: 3 },
    });
    expect(calls).toEqual(['first token', 'bytes', 'end']);
    const events = text()
      .split('\n\n')
      .filter(Boolean)
      .map((event): unknown => JSON.parse(event.slice('data: '.length)));
    expect(events).toMatchObject([
      {
        id: 'chatcmpl-A1',
        object: 'chat.completion.chunk',
        choices: [{ index: 0, delta: { role: 'assistant', content: 'Hello A' }, finish_reason: null }],
      },
      { choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] },
      { choices: [], usage: { completion_tokens: 3 } },
    ]);
  });

  it.each([
    ['an error in JSON', 'application/json', '{"error":{"message":"x","code":429}}', 'rate_limited'],
    ['a login page', 'text/html', '<!doctype html><html></html>', 'bad_response'],
    ['nothing', 'application/json', '', 'bad_response'],
    ['an empty answer', 'application/json', answerJson(''), 'empty_answer'],
    ['plain text', 'text/plain', 'Service unavailable', 'bad_response'],
  ])('fails on %s instead of a stream', async (_, contentType, body, failureClass) => {
    const server = await streaming([body], true, { 'content-type': contentType });
    const { end, calls } = attempt(upstreamOf(), streamed(server));
    expect(await end).toMatchObject({ failure: { class: failureClass }, delivered: 'nothing' });
    expect(calls).toEqual(['end']);
  });

  it('reads a stream that calls itself JSON', async () => {
    const server = await streaming([HELLO, STOP, DONE], true, { 'content-type': 'application/json' });
    expect(await attempt(upstreamOf(), streamed(server)).end).toMatchObject({ type: 'completed' });
  });
});

describe('a stream that fails', () => {
  const error = 'data: {"error":{"message":"Rate limit reached","type":"requests","code":"rate_limit_exceeded"}}\n\n';
  it.each([
    ['without a byte', [], 'stream_cut', 'nothing'],
    ['after the role', [ROLE], 'stream_cut', 'nothing'],
    ['after reasoning', [chunk({ reasoning_content: 'hm' })], 'stream_cut', 'reasoning'],
    ['after text', [ROLE, HELLO], 'stream_cut', 'text'],
    ['inside a tool call', [chunk({ tool_calls: [{ index: 0, id: 'a' }] })], 'stream_cut', 'nothing'],
    ['inside a legacy function call', [chunk({ function_call: { name: 'f' } })], 'stream_cut', 'unresumable'],
    ['with an error before the first token', [ROLE, error, DONE], 'rate_limited', 'nothing'],
    ['with an error after it', [HELLO, error], 'stream_error', 'text'],
    ['with a malformed event', [HELLO, 'data: {"id\n\n', WORLD, STOP, DONE], 'bad_response', 'text'],
    ['without an answer', [ROLE, STOP, DONE], 'empty_answer', 'nothing'],
  ])('%s', async (_, pieces, failureClass, delivered) => {
    const server = await streaming(pieces);
    const { end, text } = attempt(upstreamOf(), streamed(server));
    const ended = await end;
    expect(ended).toMatchObject({ type: 'failed', failure: { class: failureClass }, delivered });
    expect('text' in ended ? ended.text : undefined).toBe(delivered === 'text' ? 'Hello' : undefined);
    expect(text()).toBe(
      delivered === 'nothing' ? '' : pieces.filter((piece) => !/error|"id\n|DONE|stop|" A"/.test(piece)).join(''),
    );
  });

  it.each([
    ['before the first token', ROLE, 'nothing'],
    ['after it', HELLO, 'text'],
  ])('by a reset %s is cut', async (_, sent, delivered) => {
    const server = await serving(
      httpServer((request, response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.write(sent, () => setImmediate(() => request.socket.resetAndDestroy()));
      }),
    );
    expect(await attempt(upstreamOf(), streamed(server)).end).toMatchObject({
      failure: { class: 'stream_cut' },
      delivered: expect.stringMatching(`^(nothing|${delivered})$`),
    });
  });

  it('with a broken compression is a bad_response', async () => {
    const server = await serving(
      httpServer((_, response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' });
        response.end(Buffer.concat([gzipSync(HELLO).subarray(0, 12), Buffer.alloc(64, 0xff)]));
      }),
    );
    expect(await attempt(upstreamOf(), streamed(server)).end).toMatchObject({ failure: { class: 'bad_response' } });
  });

  it('is filtered before any text: the next model may be asked, where the policy says so', async () => {
    const server = await streaming([ROLE, chunk({}, 'content_filter'), DONE]);
    const upstream = upstreamOf();
    expect(await attempt(upstream, streamed(server, { onContentFilter: 'next' })).end).toMatchObject({
      failure: { class: 'content_filter' },
    });
    expect(await attempt(upstream, streamed(server)).end).toMatchObject({ outcome: 'content_filter' });
  });
});

describe('the limits of a stream', () => {
  it.each([
    ['nothing', []],
    ['a role', [ROLE]],
    ['half an event', [HELLO.slice(0, 40)]],
  ])('hold for the first token after %s', async (_, pieces) => {
    const server = await streaming(pieces, false);
    const { end, calls } = attempt(upstreamOf(), streamed(server), { answerMs: 100 });
    expect(await end).toMatchObject({
      failure: { class: 'timeout_ttft', error: { message: 'no first token within 100 ms' } },
    });
    expect(calls).toEqual(['end']);
    await server.closed(0);
  });

  it('hold for silence, which comments and empty deltas do not break', async () => {
    const server = await serving(
      httpServer((_, response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.write(HELLO);
        const timer = setInterval(() => response.write(`: ping\n\n${chunk({ content: '' })}`), 20);
        response.on('close', () => clearInterval(timer));
      }),
    );
    const { end } = attempt(upstreamOf(), streamed(server), { idleMs: 150 });
    expect(await end).toMatchObject({ failure: { class: 'timeout_idle' }, delivered: 'text' });
    await server.closed(0);
  });

  it('let a stream run on that is never silent, until the whole has lasted too long', async () => {
    const server = await serving(
      httpServer((_, response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        const timer = setInterval(() => response.write(HELLO), 20);
        response.on('close', () => clearInterval(timer));
      }),
    );
    const { end, text } = attempt(upstreamOf(), streamed(server), { answerMs: 150, idleMs: 150, totalMs: 500 });
    expect(await end).toMatchObject({ failure: { class: 'timeout_total' }, delivered: 'text' });
    expect(text().length).toBeGreaterThan(HELLO.length * 8);
    await server.closed(0);
  });

  it('take no time in which we hold the upstream back for silence', async () => {
    const clock = handClock();
    const server = await streaming([HELLO], false);
    const { running, end, heard, calls } = attempt(upstreamOf(clock), streamed(server), { idleMs: 100 });
    await heard('Hello');
    await clock.turnOn(60);
    running.pause();
    await clock.turnOn(5_000);
    running.resume();
    await clock.turnOn(30);
    expect(calls).toEqual(['first token', 'bytes']);
    await clock.turnOn(10);
    expect(await end).toMatchObject({ failure: { class: 'timeout_idle' } });
  });

  it('count a pause for the whole of a stream: a caller who has gone to sleep does not keep it for ever', async () => {
    const clock = handClock();
    const server = await streaming([HELLO], false);
    const { running, end, heard } = attempt(upstreamOf(clock), streamed(server), { totalMs: 1_000 });
    await heard('Hello');
    running.pause();
    await clock.turnOn(1_000);
    expect(await end).toMatchObject({ failure: { class: 'timeout_total' } });
  });

  it('wait for usage and [DONE] one second after the finish, then it is whole all the same', async () => {
    const clock = handClock();
    const server = await streaming([HELLO, STOP], false);
    const { end, text, heard, calls } = attempt(upstreamOf(clock), streamed(server), { idleMs: 100 });
    await heard('"stop"');
    await clock.turnOn(999);
    expect(calls).not.toContain('end');
    await clock.turnOn(1);
    expect(await end).toMatchObject({ type: 'completed', finishReason: 'stop' });
    expect(text()).toBe(HELLO + STOP);
    await clock.turnOn(250);
    await server.closed(0);
    expect(clock.timerCount).toBe(0);
  });
});

describe('the end of a stream', () => {
  it('comes with [DONE], though the body stays open, whose connection is then closed', async () => {
    const clock = handClock();
    const server = await streaming([HELLO, STOP, DONE], false);
    expect(await attempt(upstreamOf(clock), streamed(server)).end).toMatchObject({ type: 'completed' });
    await clock.turnOn(250);
    await server.closed(0);
  });

  it('leaves a connection whose body ended to the next request', async () => {
    const server = await streaming([HELLO, STOP, DONE]);
    const upstream = upstreamOf();
    for (let round = 0; round < 3; round++) {
      await attempt(upstream, streamed(server)).end;
      await turn();
      await turn();
      await turn();
    }
    expect(server.sockets).toHaveLength(1);
  });

  it('is whole where the connection dies after the finish', async () => {
    const server = await serving(
      httpServer((request, response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.write(HELLO + STOP, () => setTimeout(() => request.socket.resetAndDestroy(), 50));
      }),
    );
    expect(await attempt(upstreamOf(), streamed(server)).end).toMatchObject({ type: 'completed' });
  });
});

describe('holding a stream back', () => {
  it.each([['as it is'], ['gzip']])('slows the upstream down, with little of it kept here: %s', async (encoding) => {
    // Random, so that compressing it leaves as much; more than the kernel keeps for both sides.
    const lines = Array.from({ length: 300 }, () => chunk({ content: randomBytes(45_000).toString('base64') }));
    const body = lines.join('') + STOP + DONE;
    const sent = encoding === 'gzip' ? gzipSync(body, { level: 1 }) : Buffer.from(body);
    let writtenBytes = 0;
    const stuck = Promise.withResolvers<void>();
    const server = await serving(
      httpServer((_, response) => {
        const headers = { 'content-type': 'text/event-stream' };
        response.writeHead(200, encoding === 'gzip' ? { ...headers, 'content-encoding': 'gzip' } : headers);
        const write = (): void => {
          while (writtenBytes < sent.length) {
            const piece = sent.subarray(writtenBytes, writtenBytes + 16_384);
            writtenBytes += piece.length;
            if (response.write(piece)) continue;
            const timer = setTimeout(() => stuck.resolve(), 100);
            response.once('drain', () => {
              clearTimeout(timer);
              write();
            });
            return;
          }
          response.end();
        };
        write();
      }),
    );
    const { running, end, text, pieces, heard } = attempt(upstreamOf(), streamed(server));
    await heard('content');
    running.pause();
    const taken = pieces.length;
    await stuck.promise;
    expect(pieces).toHaveLength(taken);
    expect(writtenBytes).toBeLessThan(sent.length);
    running.resume();
    expect(await end).toMatchObject({ type: 'completed' });
    expect(text()).toBe(lines.join('') + STOP);
  });
});

describe('holding a compressed stream back', () => {
  it('holds back what has been received but not yet unpacked', async () => {
    const body = HELLO.repeat(50_000) + STOP + DONE;
    const server = await serving(
      httpServer((_, response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' });
        response.end(gzipSync(body));
      }),
    );
    const { running, end, heard, text } = attempt(upstreamOf(), streamed(server));
    await heard('Hello');
    running.pause();
    const held = text().length;
    for (let turns = 0; turns < 100; turns++) await turn();
    expect(text().length).toBe(held);
    running.resume();
    expect(await end).toMatchObject({ type: 'completed' });
    expect(text()).toBe(HELLO.repeat(50_000) + STOP);
  });
});

describe('cancelling a stream', () => {
  it.each([
    ['before its first token', [ROLE], 0],
    ['in the middle', [ROLE, HELLO], 2],
  ])('%s closes the socket within 100 ms, and nothing more is told', async (_, pieces, spentTokens) => {
    const server = await streaming(pieces, false);
    const clock = handClock();
    const { running, calls, heard } = attempt(upstreamOf(clock), streamed(server));
    if (pieces.length > 1) await heard('Hello');
    else while (server.sockets.length === 0) await turn();
    const before = [...calls];
    const startedAtMs = performance.now();
    expect(running.spent?.().outputTokens).toBe(spentTokens);
    running.cancel();
    await server.closed(0);
    expect(performance.now() - startedAtMs).toBeLessThan(100);
    await clock.turnOn(60_000);
    expect(calls).toEqual(before);
    expect(clock.timerCount).toBe(0);
  });

  it('from within a call stops the rest of the same piece', async () => {
    const server = await streaming([ROLE + HELLO + WORLD + STOP + DONE]);
    const upstream = upstreamOf();
    for (const at of ['first token', 'bytes']) {
      const calls: string[] = [];
      const call = (name: string): void => {
        calls.push(name);
        if (name === at) running.cancel();
      };
      const running = upstream.start(
        streamed(server),
        { answerMs: 5_000, idleMs: 5_000, totalMs: 5_000 },
        { onFirstToken: () => call('first token'), onBytes: () => call('bytes'), onEnd: () => call('end') },
      );
      await server.closed(server.sockets.length === 0 ? 0 : server.sockets.length - 1);
      while (!calls.includes(at)) await turn();
      await turn();
      expect(calls).toEqual(at === 'bytes' ? ['first token', 'bytes'] : ['first token']);
    }
  });
});

describe('1,000 streams at once', () => {
  it('are all served and leave nothing open', { timeout: 30_000 }, async () => {
    const waiting: (() => void)[] = [];
    const server = await serving(
      httpServer((_, response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.write(ROLE + HELLO);
        waiting.push(() => response.end(WORLD + STOP + DONE));
        if (waiting.length === 1_000) for (const answer of waiting) answer();
      }),
    );
    const upstream = upstreamOf();
    const attempts = Array.from({ length: 1_000 }, () =>
      attempt(upstream, streamed(server), { answerMs: 20_000, idleMs: 20_000, totalMs: 30_000 }),
    );
    const ends = await Promise.all(attempts.map(({ end }) => end));
    expect(ends.filter(({ type }) => type === 'completed')).toHaveLength(1_000);
    await upstream.close();
    await Promise.all(server.sockets.map((_, connection) => server.closed(connection)));
  });
});
