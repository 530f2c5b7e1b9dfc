/**
 * A of the catalogue's harness: plays one case's upstream on a real socket, byte by byte as the case says, and counts
 * what it was asked.
 *
 * Models that are not to be faulty get a healthy answer from the same server, so that a test can see whether a fault
 * put one model to rest or its whole provider.
 */
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Socket } from 'node:net';
import { generate } from 'selfsigned';
import { parseJsonObject } from '../../src/simulation/json-value.js';
import { listenOnLoopback, readBody, untilGone, waitFor, writeJson } from '../../src/simulation/loopback-server.js';
import { playReply } from '../../src/simulation/play-reply.js';
import { reply } from '../../src/testing.js';
import { bytesOf } from './catalogue.js';
import type { CaseUpstream, FailureCase, WireStep } from './catalogue.js';

export interface FaultServerOptions {
  /** Put in where the case says `{EVIL_PORT}`. */
  readonly evilPort?: number;
  /** Which model ids get the fault; default: all. */
  readonly isFaulty?: (model: string) => boolean;
}

export interface FaultServer {
  /** What a provider's `baseUrl` is set to. */
  readonly baseUrl: string;
  /** Requests of a model id (default: all), counted as the case counts them; lists of models are not. */
  requests(model?: string): number;
  /** Resolves with the moment (`performance.now()`) at which the last request's connection or answer ended. */
  lastClosedAtMs(): Promise<number>;
  close(): Promise<void>;
}

/** Port 1 is tcpmux's, which nobody runs: refused, and never given to another server as a free port would be. */
const REFUSED_BASE_URL = 'http://127.0.0.1:1/v1';

export async function startFaultServer(
  { upstream, times }: Pick<FailureCase, 'upstream' | 'times'>,
  options: FaultServerOptions = {},
): Promise<FaultServer> {
  const player = new CasePlayer(upstream, times ?? Infinity, options);
  if (upstream.kind === 'refused') return player.at(REFUSED_BASE_URL, nothingToClose);
  if (upstream.kind === 'dns') return player.at(`http://${upstream.host}/v1`, nothingToClose);
  const onRequest = (request: IncomingMessage, response: ServerResponse) => {
    player.answer(request, response).catch(() => response.destroy());
  };
  const server =
    upstream.kind === 'tls_self_signed' ? createTlsServer(await selfSigned(), onRequest) : createServer(onRequest);
  const { port, close } = await listenOnLoopback(server);
  const scheme = upstream.kind === 'tls_self_signed' || upstream.kind === 'plain_on_tls' ? 'https' : 'http';
  return player.at(`${scheme}://127.0.0.1:${port}/v1`, close);
}

class CasePlayer {
  readonly #requestsByModel = new Map<string, number>();
  readonly #servedSockets = new WeakSet<Socket>();
  #lastClosed: Promise<number> = Promise.resolve(performance.now());
  #faultsPlayed = 0;

  constructor(
    private readonly upstream: CaseUpstream,
    private readonly times: number,
    private readonly options: FaultServerOptions,
  ) {}

  at(baseUrl: string, close: () => Promise<void>): FaultServer {
    return {
      baseUrl,
      requests: (model) =>
        model === undefined
          ? [...this.#requestsByModel.values()].reduce((sum, count) => sum + count, 0)
          : (this.#requestsByModel.get(model) ?? 0),
      lastClosedAtMs: () => this.#lastClosed,
      close,
    };
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method === 'GET') return writeJson(response, 200, { object: 'list', data: [] });
    const body = (await readBody(request)) ?? Buffer.alloc(0);
    const json = parseJsonObject(body) ?? {};
    const model = typeof json['model'] === 'string' ? json['model'] : '';
    if (this.upstream.kind === 'keepalive_close' && this.#meetsUsedSocket(response)) return;

    const number = (this.#requestsByModel.get(model) ?? 0) + 1;
    this.#requestsByModel.set(model, number);
    this.#lastClosed = new Promise((resolve) => response.once('close', () => resolve(performance.now())));
    const isFaulty = this.options.isFaulty?.(model) ?? true;
    if (!isFaulty || this.#faultsPlayed >= this.times) {
      const stage = { response, model, number, isStreaming: json['stream'] === true, includeUsage: false };
      return playReply(reply.text(['Hello', ' A']), stage);
    }
    this.#faultsPlayed += 1;
    await this.#play(this.upstream, response);
  }

  /** Destroys a socket that has answered once before; such a request is none that the case counts. */
  #meetsUsedSocket(response: ServerResponse): boolean {
    const { socket } = response;
    if (socket === null) return true;
    if (!this.#servedSockets.has(socket)) {
      this.#servedSockets.add(socket);
      return false;
    }
    socket.resetAndDestroy();
    return true;
  }

  async #play(upstream: CaseUpstream, response: ServerResponse): Promise<void> {
    switch (upstream.kind) {
      case 'http': {
        const headers = Object.fromEntries(
          Object.entries(upstream.headers).map(([name, value]) => [
            name,
            value.replace('{EVIL_PORT}', String(this.options.evilPort ?? 1)),
          ]),
        );
        if (!(await waitFor(response, upstream.after_ms ?? 0))) return;
        const body = Buffer.from(upstream.body);
        response.writeHead(upstream.status, { ...headers, 'content-length': body.length });
        response.end(body);
        return;
      }
      case 'sse':
        response.writeHead(upstream.status, upstream.headers);
        response.flushHeaders();
        await playSteps(upstream.steps, response, (bytes, sent) => response.write(bytes, sent));
        if (response.destroyed) return;
        if (upstream.end === 'fin') response.end();
        else await endSocket(upstream.end, response);
        return;
      case 'tcp':
        await playSteps(upstream.steps, response, (bytes, sent) => response.socket?.write(bytes, sent));
        return endSocket(upstream.end, response);
      case 'keepalive_close':
        return this.#play(upstream.first, response);
      case 'refused':
      case 'dns':
      case 'tls_self_signed':
      case 'plain_on_tls':
        // A client that gets this far has trusted what it must not trust; the count of requests shows it.
        return writeJson(response, 200, {});
    }
  }
}

async function playSteps(
  steps: readonly WireStep[],
  response: ServerResponse,
  write: (bytes: Buffer, sent: () => void) => void,
): Promise<void> {
  for (const one of steps) {
    if (!(await waitFor(response, one.after_ms))) return;
    // Waiting until it is out keeps each step a packet of its own, and a reset from overtaking what was sent before it.
    await new Promise<void>((resolve) => {
      response.once('close', resolve);
      write(bytesOf(one), () => {
        response.off('close', resolve);
        resolve();
      });
    });
  }
}

async function endSocket(end: 'fin' | 'rst' | 'hang', response: ServerResponse): Promise<void> {
  if (end === 'hang') await untilGone(response);
  else if (end === 'rst') response.socket?.resetAndDestroy();
  else response.socket?.end();
}

/** Made for this run, so that no private key lies in the repository and none expires. */
async function selfSigned(): Promise<{ key: string; cert: string }> {
  const made = await generate([{ name: 'commonName', value: '127.0.0.1' }], { keyType: 'ec' });
  return { key: made.private, cert: made.cert };
}

async function nothingToClose(): Promise<void> {}
