/**
 * Puts one scripted reply on the wire.
 */
import type { ServerResponse } from 'node:http';
import { untilGone, waitFor, writeJson, writeSlowly } from './loopback-server.js';
import { chunksOf, completionOf, sseEvent, SSE_DONE, SSE_HEADERS } from './openai-wire.js';
import type { WireAnswer } from './openai-wire.js';
import type { Reply, ScriptedReply, SsePiece, WireEnd } from './scripted-reply.js';
import { reply } from './scripted-reply.js';

export interface ReplyStage {
  readonly response: ServerResponse;
  /** What the call said of itself. */
  readonly model: string;
  readonly isStreaming: boolean;
  readonly includeUsage: boolean;
  readonly number: number;
}

type Answer = Extract<ScriptedReply, { type: 'answer' }>;

/** Resolves when all that was scripted is sent, or the client has left. */
export async function playReply(scripted: Reply, stage: ReplyStage): Promise<void> {
  const played = typeof scripted === 'string' ? reply.text(scripted) : scripted;
  const { response, isStreaming } = stage;
  if ('delayMs' in played && !(await waitFor(response, played.delayMs ?? 0))) return;
  switch (played.type) {
    case 'answer':
      return isStreaming ? playStream(played, stage) : playBody(played, stage);
    case 'json':
      return writeJson(response, played.status, played.body, played.headers);
    case 'error-inside-200':
      if (!isStreaming) return writeJson(response, 200, { error: played.error }, played.headers);
      response.writeHead(200, { ...SSE_HEADERS, ...played.headers });
      response.end(sseEvent({ error: played.error }));
      return;
    case 'sse':
      response.writeHead(200, { ...SSE_HEADERS, ...played.headers });
      response.flushHeaders();
      await writePieces(played.pieces, played.paceMs, response);
      return endBody(played.end, response);
    case 'raw':
      return playRaw(played, response);
    case 'hang':
      if (played.after === 'headers') {
        response.writeHead(200, isStreaming ? SSE_HEADERS : { 'content-type': 'application/json' });
        response.flushHeaders();
      }
      await untilGone(response);
  }
}

async function playStream(answer: Answer, stage: ReplyStage): Promise<void> {
  const { response } = stage;
  const { paceMs = 0, breakAfter } = answer;
  response.writeHead(200, { ...SSE_HEADERS, ...answer.headers });
  let deltas = 0;
  for (const chunk of chunksOf(wireAnswer(answer, stage), stage)) {
    if (breakAfter !== undefined && deltas >= breakAfter.deltas && chunk.kind !== 'role') {
      if (breakAfter.by === 'error')
        response.write(
          sseEvent({ error: { message: 'scripted error', type: 'server_error', code: null, param: null } }),
        );
      return endBody(END_OF_BREAK[breakAfter.by], response);
    }
    if (chunk.kind === 'token' && deltas++ > 0 && !(await waitFor(response, paceMs))) return;
    if (!(await writeSlowly(response, sseEvent(chunk.json)))) return;
  }
  response.end(SSE_DONE);
}

const END_OF_BREAK = { cut: 'close', error: 'close', reset: 'reset', stall: 'hang' } as const;

async function playBody(answer: Answer, stage: ReplyStage): Promise<void> {
  const { response } = stage;
  const body = completionOf(wireAnswer(answer, stage));
  if (answer.breakAfter === undefined) return writeJson(response, 200, body, answer.headers);
  if (answer.breakAfter.by === 'error') return playReply(reply.errorInside200(), stage);
  const text = JSON.stringify(body);
  const head = { 'content-type': 'application/json', ...answer.headers };
  const promised = answer.breakAfter.by === 'cut' ? {} : { 'content-length': Buffer.byteLength(text) };
  response.writeHead(200, { ...head, ...promised });
  response.write(text.slice(0, text.length / 2));
  await endBody(END_OF_BREAK[answer.breakAfter.by], response);
}

function wireAnswer(answer: Answer, stage: ReplyStage): WireAnswer {
  const toolCalls = answer.toolCalls.map((call, index) => ({
    id: call.id ?? `call_${stage.number}_${index + 1}`,
    name: call.name,
    arguments: typeof call.arguments === 'string' ? call.arguments : JSON.stringify(call.arguments),
  }));
  return {
    id: `chatcmpl-scripted-${stage.number}`,
    model: stage.model,
    createdEpochS: Math.floor(Date.now() / 1000),
    choices: [
      {
        pieces: answer.deltas,
        toolCalls,
        reasoning: answer.reasoning ?? [],
        finishReason: answer.finishReason ?? (toolCalls.length > 0 ? 'tool_calls' : 'stop'),
      },
    ],
    inputTokens: answer.usage?.inputTokens ?? 9,
    outputTokens: answer.usage?.outputTokens ?? answer.deltas.length + toolCalls.length,
  };
}

async function playRaw(raw: Extract<ScriptedReply, { type: 'raw' }>, response: ServerResponse): Promise<void> {
  const { socket } = response;
  if (socket === null) return;
  for (const [index, piece] of raw.pieces.entries()) {
    if (index > 0 && !(await waitFor(response, raw.paceMs))) return;
    socket.write(piece);
  }
  if (raw.end === 'close') socket.end();
  else if (raw.end === 'reset') socket.resetAndDestroy();
  else await untilGone(response);
}

async function writePieces(pieces: readonly SsePiece[], paceMs: number, response: ServerResponse): Promise<void> {
  for (const [index, piece] of pieces.entries()) {
    // Even without a pace each piece gets a turn of its own, or the kernel would join them into one packet.
    if (index > 0 && !(await waitFor(response, Math.max(paceMs, 1)))) return;
    const isBytes = typeof piece === 'string' || piece instanceof Uint8Array;
    if (!(await writeSlowly(response, isBytes ? piece : sseEvent(piece)))) return;
  }
}

async function endBody(end: WireEnd, response: ServerResponse): Promise<void> {
  if (end === 'close') response.end();
  // destroySoon: what was written arrives before the connection ends in the middle of the body.
  else if (end === 'reset') response.socket?.destroySoon();
  else await untilGone(response);
}
