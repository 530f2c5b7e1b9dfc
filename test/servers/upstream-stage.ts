/**
 * A stage for one upstream attempt: a server that the test plays, and an attempt on it whose every call is kept.
 * Real sockets; nothing sleeps, whoever waits, waits for the thing itself.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import type { Server as TcpServer, Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { HttpUpstream } from '../../src/upstream/http-upstream.js';
import type { AttemptEnd, AttemptLimits, RunningAttempt, UpstreamRequest } from '../../src/upstream/upstream.js';

export interface StagedServer {
  readonly url: string;
  /** Every connection that was opened, in order. */
  readonly sockets: Socket[];
  /** Settles when the connection of that number has been closed, in whatever way. */
  closed(connection: number): Promise<void>;
  close(): Promise<void>;
}

/** @param play answers each request, whose body has been read. */
export async function httpServer(
  play: (request: IncomingMessage & { body: string }, response: ServerResponse) => void,
): Promise<StagedServer> {
  const listener: RequestListener = (request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => play(Object.assign(request, { body: Buffer.concat(pieces).toString() }), response));
  };
  return staged(createServer(listener));
}

/** @param play gets each connection once a request (its JSON body ends with a brace) has arrived on it. */
export async function tcpServer(play: (socket: Socket, requestsOnSocket: number) => void): Promise<StagedServer> {
  const server = createTcpServer((socket) => {
    let requests = 0;
    socket.on('error', () => undefined);
    socket.on('data', (data) => {
      if (data.toString().endsWith('}')) play(socket, (requests += 1));
    });
  });
  return staged(server);
}

async function staged(server: Server | TcpServer): Promise<StagedServer> {
  const sockets: Socket[] = [];
  server.on('connection', (socket: Socket) => sockets.push(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert(typeof address === 'object' && address !== null);
  const { port } = address;
  return {
    url: `http://127.0.0.1:${port}`,
    sockets,
    async closed(connection) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const socket = sockets[connection];
      if (!socket || socket.destroyed) resolve();
      else socket.on('close', () => resolve());
      await promise;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

export const LIMITS: AttemptLimits = { answerMs: 5_000, idleMs: 5_000, totalMs: 10_000 };

export function realClock() {
  return {
    nowMs: () => performance.now(),
    wallEpochMs: () => Date.now(),
    setTimer(delayMs: number, fire: () => void) {
      const timer = setTimeout(fire, Math.ceil(delayMs));
      return () => clearTimeout(timer);
    },
  };
}

/** A clock that stands still until it is turned on. */
export function handClock() {
  let nowMs = 1_000;
  const timers = new Set<{ atMs: number; fire: () => void }>();
  return {
    nowMs: () => nowMs,
    wallEpochMs: () => 1_732_420_800_000 + nowMs,
    setTimer(delayMs: number, fire: () => void) {
      const timer = { atMs: nowMs + delayMs, fire };
      timers.add(timer);
      return () => void timers.delete(timer);
    },
    get timerCount() {
      return timers.size;
    },
    /** What is due by then is fired, and what that sets in motion has had its turn. */
    async turnOn(ms: number): Promise<void> {
      nowMs += ms;
      for (const timer of timers) {
        if (timer.atMs > nowMs) continue;
        timers.delete(timer);
        timer.fire();
      }
      await turn();
      await turn();
    },
  };
}

export interface StagedAttempt {
  readonly running: RunningAttempt;
  /** `first token`, `bytes`, `end`, in the order of the calls. */
  readonly calls: string[];
  readonly pieces: Uint8Array[];
  readonly text: () => string;
  readonly end: Promise<AttemptEnd>;
  /** Settles with the text as soon as it holds `part`. */
  readonly heard: (part: string) => Promise<string>;
}

export function requestTo(url: string, changes: Partial<UpstreamRequest> = {}): UpstreamRequest {
  return {
    target: { name: 'm', id: 'm-1', provider: { name: 'p', kind: 'openai', baseUrl: `${url}/v1`, apiKey: 'sk-test' } },
    body: Buffer.from('{"model":"m-1","messages":[]}'),
    streaming: false,
    onInvalidOutput: 'next',
    onContentFilter: 'return',
    requestId: 'req-1',
    ...changes,
  };
}

export function attempt(
  upstream: HttpUpstream,
  request: UpstreamRequest,
  limits: Partial<AttemptLimits> = {},
): StagedAttempt {
  const calls: string[] = [];
  const pieces: Uint8Array[] = [];
  const listeners = new Set<() => void>();
  const { promise: end, resolve } = Promise.withResolvers<AttemptEnd>();
  const text = (): string => Buffer.concat(pieces).toString();
  const running = upstream.start(
    request,
    { ...LIMITS, ...limits },
    {
      onFirstToken: (held) => void calls.push(held ? 'held token' : 'first token'),
      onBytes(bytes) {
        if (calls.at(-1) !== 'bytes') calls.push('bytes');
        pieces.push(bytes);
        for (const listener of listeners) listener();
      },
      onEnd(ended) {
        calls.push('end');
        resolve(ended);
      },
    },
  );
  const heard = async (part: string): Promise<string> => {
    const { promise, resolve: found } = Promise.withResolvers<string>();
    const look = (): void => {
      if (!text().includes(part)) return;
      listeners.delete(look);
      found(text());
    };
    listeners.add(look);
    look();
    return promise;
  };
  return { running, calls, pieces, text, end, heard };
}

/** The answer and the stream chunks that a healthy model sends. */
export function answerJson(content: string | null = 'Hello A', rest: object = {}): string {
  return JSON.stringify({
    id: 'chatcmpl-A1',
    object: 'chat.completion',
    created: 1732420800,
    model: 'gpt-4-0613',
    choices: [{ index: 0, message: { role: 'assistant', content }, logprobs: null, finish_reason: 'stop' }],
    usage: { prompt_tokens: 9, completion_tokens: 3, total_tokens: 12 },
    ...rest,
  });
}

export function chunk(delta: object, finish_reason: string | null = null): string {
  const choices = [{ index: 0, delta, finish_reason }];
  return `data: ${JSON.stringify({ id: 'chatcmpl-A1', object: 'chat.completion.chunk', created: 1, model: 'm', choices })}\n\n`;
}
