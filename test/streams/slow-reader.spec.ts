/**
 * A caller who reads slower than the model writes: the gateway holds the model back instead of the text, and does not
 * take for the model's silence what is its own waiting.
 */
import { createHash } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { Agent, request } from 'undici';
import { writeSlowly } from '../../src/simulation/loopback-server.js';
import { sseEvent, SSE_DONE, SSE_HEADERS } from '../../src/simulation/openai-wire.js';
import { KNOWS_SOCKETS, readRssMb } from '../app/process-figures.js';
import { readOutcomes } from '../app/read-metrics.js';
import { type RunningGateway, startGateway } from '../app/start-gateway.js';
import { type CountedServer, startCountedServer } from './counted-server.js';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 30_000 });

const MB = 1_000_000;
const LONG_BYTES = 50 * MB;
const READ_BYTES_PER_S = 5 * MB;
const GROWTH_MB = 20;
/** What of a stream may be under way: the buffers of the kernel at either side of the gateway, a few MB each. */
const MOST_UNDER_WAY_BYTES = 16 * MB;
const IDLE_MS = 1_000;

/** One event of text, like those of any model; many go out at once. */
const EVENT = sseEvent({
  id: 'chatcmpl-long',
  object: 'chat.completion.chunk',
  created: 0,
  model: 'writer',
  choices: [{ index: 0, delta: { content: 'Words upon words, as fast as they are taken. ' }, finish_reason: null }],
});
const EVENTS_AT_ONCE = 64;
const FINISH = sseEvent({
  id: 'chatcmpl-long',
  object: 'chat.completion.chunk',
  created: 0,
  model: 'writer',
  choices: [{ index: 0, delta: {}, finish_reason: 'stop' }],
});

/** What was written of the stream that is under way, and when it could not be for a while. */
class Writing {
  bytes = 0;
  longestWaitMs = 0;
  readonly hash = createHash('sha256');

  async write(text: string, response: ServerResponse): Promise<boolean> {
    const startedAtMs = performance.now();
    const isThere = await writeSlowly(response, text);
    this.bytes += text.length;
    this.hash.update(text);
    this.longestWaitMs = Math.max(this.longestWaitMs, performance.now() - startedAtMs);
    return isThere;
  }
}

let model: CountedServer;
let gateway: RunningGateway;
let writing: Writing;

beforeAll(async () => {
  model = await startCountedServer(async (body, response) => {
    const lengthBytes = Number(body['max_tokens']);
    const many = EVENT.repeat(EVENTS_AT_ONCE);
    writing = new Writing();
    response.writeHead(200, SSE_HEADERS);
    while (writing.bytes < lengthBytes) if (!(await writing.write(many, response))) return;
    await writing.write(FINISH + SSE_DONE, response);
    response.end();
  });
  gateway = await startGateway({
    config: {
      providers: { openai: { baseUrl: model.baseUrl } },
      models: { writer: { provider: 'openai' } },
      chains: { default: ['writer'] },
      policy: { stream: { idleMs: IDLE_MS } },
    },
  });
});

afterAll(async () => {
  await gateway?.stop();
  await model?.close();
});

interface Reading {
  readonly bytes: number;
  readonly hash: string;
  readonly ms: number;
}

/** @param afterPiece takes its time; nothing is read meanwhile. */
async function read(lengthBytes: number, afterPiece?: (bytesSoFar: number) => Promise<void>): Promise<Reading> {
  const startedAtMs = performance.now();
  const agent = new Agent();
  const { body } = await request(`${gateway.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ stream: true, max_tokens: lengthBytes, messages: [{ role: 'user', content: 'Write' }] }),
    dispatcher: agent,
  });
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const piece of body as AsyncIterable<Uint8Array>) {
    bytes += piece.length;
    hash.update(piece);
    await afterPiece?.(bytes);
  }
  await agent.close();
  return { bytes, hash: hash.digest('hex'), ms: performance.now() - startedAtMs };
}

/** Waits until so much should have been read at that pace. */
function atPace(bytesPerS: number): (bytesSoFar: number) => Promise<void> {
  const startedAtMs = performance.now();
  return async (bytes) => {
    const aheadMs = (bytes / bytesPerS) * 1_000 - (performance.now() - startedAtMs);
    if (aheadMs > 5) await pause(aheadMs);
  };
}

describe('a stream of 50 MB', () => {
  it.runIf(KNOWS_SOCKETS)(`read slowly, takes less than ${GROWTH_MB} MB, and comes as it was written`, async () => {
    // By then it has grown to what passing on needs at any length.
    await read(10 * MB);
    const beforeMb = await readRssMb(gateway.child.pid);
    let peakMb = 0;
    let mostUnderWay = 0;
    const pace = atPace(READ_BYTES_PER_S);
    const reading = await read(LONG_BYTES, async (bytes) => {
      mostUnderWay = Math.max(mostUnderWay, writing.bytes - bytes);
      peakMb = Math.max(peakMb, await readRssMb(gateway.child.pid));
      await pace(bytes);
    });
    console.log(
      `50 MB in ${Math.round(reading.ms)} ms: from ${Math.round(beforeMb)} to at most ${Math.round(peakMb)} MB; ` +
        `at most ${Math.round(mostUnderWay / 1_000)} kB under way`,
    );
    expect(reading.hash).toBe(writing.hash.digest('hex'));
    expect(mostUnderWay).toBeLessThan(MOST_UNDER_WAY_BYTES);
    expect(peakMb - beforeMb).toBeLessThan(GROWTH_MB);
  });

  it('is sent much faster than a slow caller reads it', async () => {
    const { bytes, ms } = await read(LONG_BYTES);
    expect(bytes).toBeGreaterThanOrEqual(LONG_BYTES);
    expect((bytes / ms) * 1_000).toBeGreaterThan(READ_BYTES_PER_S * 2);
  });
});

describe('a caller who reads nothing for a while', () => {
  it('gets all of the answer: the model, which is held back meanwhile, is not silent', async () => {
    const pauses = [10 * MB, 20 * MB];
    const reading = await read(30 * MB, async (bytes) => {
      if (bytes < (pauses[0] ?? Infinity)) return;
      pauses.shift();
      await pause(IDLE_MS * 3);
    });
    expect(writing.longestWaitMs).toBeGreaterThan(IDLE_MS * 2);
    expect(reading.hash).toBe(writing.hash.digest('hex'));
    const { ok, ...failures } = await readOutcomes(gateway.url, 'writer');
    expect(ok).toBeGreaterThan(0);
    expect(failures).toEqual({});
  });
});
