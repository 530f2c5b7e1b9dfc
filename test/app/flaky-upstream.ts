/**
 * A provider that fails at random, in twelve ways, and keeps book of it: what became of each attempt, so that a test can
 * ask whether the gateway counted the same.
 *
 * Chance is drawn from the request's nonce, so that a seed plays the same faults in whatever order requests arrive.
 */
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { parseJsonObject } from '../../src/simulation/json-value.js';
import { hashText, seededRandom } from '../../src/simulation/latency-profile.js';
import { listenOnLoopback, readBody } from '../../src/simulation/loopback-server.js';
import { playReply } from '../../src/simulation/play-reply.js';
import { reply, type Reply } from '../../src/testing.js';

/** What an attempt must be booked as, whole and streamed. */
interface Fate {
  readonly play: (nonce: string) => Reply;
  readonly plain: string;
  readonly stream: string;
}

const both = (outcome: string) => ({ plain: outcome, stream: outcome });
const html = reply.raw('HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n<html></html>');
const half = reply.raw('HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n{"id":"x","cho');
const soon = { headers: { 'retry-after-ms': '20' } };

const USAGE = { inputTokens: 7, outputTokens: 3 };

const ANSWERS = {
  well: { play: (nonce) => reply.text(['echo ', nonce], { usage: USAGE }), ...both('ok') },
  slow: { play: (nonce) => reply.text(['echo ', nonce], { usage: USAGE, delayMs: 80 }), ...both('ok') },
} as const satisfies Record<string, Fate>;

const FAULTS = {
  error500: { play: () => reply.error(500), ...both('server_error') },
  overloaded: { play: () => reply.error(503, { code: 'server_is_overloaded' }, soon), ...both('overloaded') },
  limited: { play: () => reply.error(429, { code: 'rate_limit_exceeded' }, soon), ...both('rate_limited') },
  reset: { play: () => reply.reset(), ...both('network') },
  hang: { play: () => reply.hang(), plain: 'timeout_total', stream: 'timeout_ttft' },
  hangLate: { play: () => reply.hang({ after: 'headers' }), plain: 'timeout_total', stream: 'timeout_ttft' },
  html: { play: () => html, ...both('bad_response') },
  half: { play: () => half, ...both('bad_response') },
  inside200: { play: () => reply.errorInside200(), ...both('server_error') },
  empty: { play: () => reply.text([], { usage: { ...USAGE, outputTokens: 0 } }), ...both('empty_answer') },
  cut: {
    play: () => reply.text(['never'], { breakAfter: { deltas: 0, by: 'cut' } }),
    plain: 'bad_response',
    stream: 'stream_cut',
  },
} as const satisfies Record<string, Fate>;

/** Those that cost a time limit are rarer. */
const RARE = new Set<keyof typeof FAULTS>(['hang', 'hangLate']);
const RARITY = 10;
/** Drawn from as from a hat. */
const HAT = Object.entries(FAULTS).flatMap(([name, fate]: [string, Fate]) =>
  Array.from({ length: RARE.has(name as keyof typeof FAULTS) ? 1 : RARITY }, () => fate),
);
const GONE: Fate = { play: () => reply.error(404, { code: 'model_not_found' }), ...both('not_found') };
const SLOW_SHARE = 0.02;

export interface FlakyUpstreamOptions {
  readonly seed: number;
  /** How often each model fails, 0 to 1; one that is not listed is not there (404). */
  readonly failureRatios: Readonly<Record<string, number>>;
}

export interface FlakyUpstream {
  readonly baseUrl: string;
  /** How many attempts on a model must have had an outcome: `gpt-4 server_error` → 812. */
  readonly outcomes: ReadonlyMap<string, number>;
  /** Connections that are open just now. */
  openConnections(): number;
  close(): Promise<void>;
}

/** What a message must hold so that its request can be told from every other. */
export const NONCE = /nonce-\d+-[\da-f]+/u;

export async function startFlakyUpstream(options: FlakyUpstreamOptions): Promise<FlakyUpstream> {
  const book = new Book(options);
  const sockets = new Set<Socket>();
  const server = createServer((request, response) => {
    answer(request, response, book).catch(() => response.destroy());
  });
  // Idle connections go soon: those that are left at the end are leaks.
  server.keepAliveTimeout = 1_500;
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  const { origin, close } = await listenOnLoopback(server);
  return { baseUrl: `${origin}/v1`, outcomes: book.outcomes, openConnections: () => sockets.size, close };
}

async function answer(request: IncomingMessage, response: ServerResponse, book: Book): Promise<void> {
  const body = (await readBody(request)) ?? Buffer.alloc(0);
  const nonce = NONCE.exec(body.toString())?.[0] ?? 'nobody';
  const json = parseJsonObject(body) ?? {};
  const model = String(json['model']);
  const isStreaming = json['stream'] === true;
  const fate = book.fateOf(model, nonce);
  const { socket } = request;
  if (fate === FAULTS.reset && book.usedSockets.has(socket)) {
    // A connection that had served before and is found dead is no attempt: the gateway asks again on a fresh one.
    socket.resetAndDestroy();
    return;
  }
  book.enter(model, nonce, isStreaming ? fate.stream : fate.plain);
  response.once('finish', () => book.usedSockets.add(socket));
  await playReply(fate.play(nonce), { response, model, number: 1, isStreaming, includeUsage: true });
}

class Book {
  readonly outcomes = new Map<string, number>();
  readonly usedSockets = new WeakSet<Socket>();
  /** By model and nonce. */
  readonly #attempts = new Map<string, number>();

  constructor(private readonly options: FlakyUpstreamOptions) {}

  fateOf(model: string, nonce: string): Fate {
    const failureRatio = this.options.failureRatios[model];
    if (failureRatio === undefined) return GONE;
    const attempts = this.#attempts.get(`${model} ${nonce}`) ?? 0;
    const random = seededRandom(hashText(`${this.options.seed} ${model} ${nonce} ${attempts}`));
    if (random() < failureRatio) return HAT[Math.floor(random() * HAT.length)] ?? ANSWERS.well;
    return random() < SLOW_SHARE ? ANSWERS.slow : ANSWERS.well;
  }

  enter(model: string, nonce: string, outcome: string): void {
    const made = `${model} ${nonce}`;
    this.#attempts.set(made, (this.#attempts.get(made) ?? 0) + 1);
    const booked = `${model} ${outcome}`;
    this.outcomes.set(booked, (this.outcomes.get(booked) ?? 0) + 1);
  }
}
