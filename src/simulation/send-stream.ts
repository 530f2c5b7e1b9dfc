/**
 * Sends chunks as a model speaks them: silence until the first token, then headers, role and first token at once, then
 * one token after the other at the model's tempo.
 */
import type { ServerResponse } from 'node:http';
import { waitFor, writeSlowly } from './loopback-server.js';
import { sseEvent, SSE_HEADERS } from './openai-wire.js';
import type { WireChunk } from './openai-wire.js';

/** Milliseconds until the next token; the first call tells the time to the first one. */
export type Tempo = () => number;

/** @returns whether the client is still there. The stream is left open: what ends it is the caller's to write. */
export async function sendChunks(
  chunks: Iterable<WireChunk>,
  response: ServerResponse,
  tempo: Tempo,
): Promise<boolean> {
  // Headers come with the first token, as with the real ones: before it there is nothing to tell.
  if (!(await waitFor(response, tempo()))) return false;
  response.writeHead(200, SSE_HEADERS);
  let hasSpoken = false;
  for (const chunk of chunks) {
    if (chunk.kind === 'token') {
      if (hasSpoken && !(await waitFor(response, tempo()))) return false;
      hasSpoken = true;
    }
    if (!(await writeSlowly(response, sseEvent(chunk.json)))) return false;
  }
  return true;
}

/** How long a whole answer of so many tokens takes, in ms. */
export function totalMs(tempo: Tempo, tokens: number): number {
  let sum = tempo();
  for (let token = 1; token < tokens; token++) sum += tempo();
  return sum;
}
