/**
 * The upstreams of all scenarios: one server, on which each scenario has a path of its own. What an attempt meets there,
 * and when, says the script; the time is the scenario's.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Clock } from '../../src/chain/clock.js';
import { asArray, asObject, parseJsonObject, type JsonObject } from '../../src/simulation/json-value.js';
import { listenOnLoopback, readBody, writeJson } from '../../src/simulation/loopback-server.js';
import { SSE_DONE, SSE_HEADERS, sseEvent } from '../../src/simulation/openai-wire.js';
import { BROKEN_TEXT, CONTINUED_BY } from '../../src/simulation/outage/virtual-model.js';
import { playReply } from '../../src/simulation/play-reply.js';
import { wireOf } from './faults.js';
import type { Outcome, Speech } from './script.js';

/** A scenario as its upstreams see it. */
export interface Scene {
  readonly clock: Clock;
  /** An attempt has arrived. @returns what it meets. */
  arrived(requestId: string, model: string): ArrivedAttempt;
}

export interface ArrivedAttempt {
  readonly outcome: Outcome;
  /** The app has left it. */
  readonly isOver: boolean;
  /** Its first token goes out. */
  speaks(): void;
  /** All of it, or what ends it, goes out. */
  ends(): void;
}

export interface ScriptedStage {
  /** @returns the base URL of a provider in this scenario. */
  add(scene: Scene): (provider: string) => string;
  close(): Promise<void>;
}

export async function startScriptedStage(): Promise<ScriptedStage> {
  const scenes: Scene[] = [];
  const server = createServer((request, response) => {
    answer(scenes, request, response).catch((error: unknown) => response.destroy(error as Error));
  });
  const { origin, close } = await listenOnLoopback(server);
  return {
    add: (scene) => {
      const at = scenes.push(scene) - 1;
      return (provider) => `${origin}/${at}/${provider}/v1`;
    },
    close,
  };
}

async function answer(scenes: readonly Scene[], request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [, at = ''] = request.url?.split('/') ?? [];
  const scene = scenes[Number(at)];
  const body = parseJsonObject((await readBody(request)) ?? Buffer.alloc(0)) ?? {};
  const requestId = request.headers['x-request-id'];
  if (!scene || typeof requestId !== 'string') throw new Error(`nobody plays at ${request.url}`);
  const model = String(body['model']);
  play(scene, scene.arrived(requestId, model), { response, body, model });
}

interface Wire {
  readonly response: ServerResponse;
  readonly body: JsonObject;
  readonly model: string;
}

function play(scene: Scene, attempt: ArrivedAttempt, wire: Wire): void {
  const { outcome } = attempt;
  const { response } = wire;
  const isStreaming = wire.body['stream'] === true;
  const after = (ms: number, act: () => void): void => {
    scene.clock.setTimer(ms, () => {
      if (attempt.isOver) return;
      act();
    });
  };
  /** One after the other: real timers that are late do not keep their order. */
  const speakThen = (speech: Speech, endsAfterMs: number, end: () => void): void => {
    const endAfter = (ms: number): void =>
      after(ms, () => {
        attempt.ends();
        end();
      });
    if (!isStreaming) return endAfter(endsAfterMs);
    after(speech.ttftMs, () => {
      speak(attempt, wire, speech);
      endAfter(endsAfterMs - speech.ttftMs);
    });
  };
  switch (outcome.what) {
    case 'fails':
      after(outcome.afterMs, () => {
        attempt.ends();
        const stage = { response, model: wire.model, isStreaming, includeUsage: false, number: 1 };
        playReply(wireOf(outcome), stage).catch(() => response.destroy());
      });
      return;
    case 'hangs':
      if (outcome.after === 'headers') open(response, isStreaming);
      return;
    case 'stalls':
      if (isStreaming) after(outcome.ttftMs, () => speak(attempt, wire, outcome));
      else open(response, false);
      return;
    case 'answers':
      return speakThen(outcome, outcome.totalMs, () => {
        if (isStreaming) finishStream(wire, outcome);
        else writeJson(response, 200, completionOf(wire, outcome), headersOf(outcome));
      });
    case 'breaks':
      return speakThen(outcome, outcome.afterMs, () => breakOff(wire, outcome, isStreaming));
    default:
      outcome satisfies never;
  }
}

function open(response: ServerResponse, isStreaming: boolean): void {
  response.writeHead(200, { ...(isStreaming ? SSE_HEADERS : { 'content-type': 'application/json' }), ...CLOSE });
  response.flushHeaders();
}

/** A connection that served before may be found dead, and the request repeated: that is another test's. */
const CLOSE = { connection: 'close' } as const;

function headersOf({ usedUpForMs }: { readonly usedUpForMs?: number }): Record<string, string> {
  if (usedUpForMs === undefined) return CLOSE;
  return {
    ...CLOSE,
    'x-ratelimit-remaining-requests': '0',
    'x-ratelimit-reset-requests': `${usedUpForMs}ms`,
  };
}

function speak(attempt: ArrivedAttempt, wire: Wire, outcome: Speech & { readonly usedUpForMs?: number }): void {
  attempt.speaks();
  const { response } = wire;
  response.writeHead(200, { ...SSE_HEADERS, ...headersOf(outcome) });
  response.write(chunk(wire, { role: 'assistant', content: '' }) + chunk(wire, firstDelta(wire, outcome)));
}

function firstDelta({ body }: Wire, { says }: Speech): object {
  if (says === 'thoughts') return { reasoning_content: 'Let me see.' };
  if (says === 'calls') {
    return { tool_calls: [{ index: 0, id: 'call_1', type: 'function', function: { name: 'look', arguments: '{}' } }] };
  }
  const soFar = textSoFar(body);
  return { content: soFar === undefined ? BROKEN_TEXT : soFar + CONTINUED_BY };
}

/** What a model is asked to go on with: the caller's one message stands before it. */
function textSoFar(body: JsonObject): string | undefined {
  const before = asObject(asArray(body['messages'])[1]);
  return typeof before['content'] === 'string' ? before['content'] : undefined;
}

function finishStream(wire: Wire, { says, filtered }: Extract<Outcome, { what: 'answers' }>): void {
  const reason = filtered ? 'content_filter' : says === 'calls' ? 'tool_calls' : 'stop';
  const text = says === 'thoughts' ? chunk(wire, { content: BROKEN_TEXT }) : '';
  wire.response.end(text + chunk(wire, {}, reason) + SSE_DONE);
}

function breakOff({ response }: Wire, { by }: Extract<Outcome, { what: 'breaks' }>, isStreaming: boolean): void {
  if (!isStreaming) {
    open(response, false);
    response.end('{"id":"x","choices":[');
    return;
  }
  if (by === 'error') response.end(sseEvent({ error: { message: 'scripted', type: 'server_error', code: null } }));
  else if (by === 'malformed') response.end('data: {"id":"x","choi\n\n');
  else if (by === 'reset') response.socket?.destroySoon();
  else response.end();
}

function chunk({ model }: Wire, delta: object, finishReason: string | null = null): string {
  const choices = [{ index: 0, delta, logprobs: null, finish_reason: finishReason }];
  return sseEvent({ id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model, choices });
}

function completionOf({ model, body }: Wire, { filtered }: Extract<Outcome, { what: 'answers' }>): object {
  const wantsJson = body['response_format'] !== undefined;
  const message = { role: 'assistant', content: wantsJson ? '{"ok":true}' : BROKEN_TEXT, refusal: null };
  const choices = [{ index: 0, message, logprobs: null, finish_reason: filtered ? 'content_filter' : 'stop' }];
  const usage = { prompt_tokens: 9, completion_tokens: 9, total_tokens: 18 };
  return { id: 'chatcmpl-1', object: 'chat.completion', created: 1, model, choices, usage };
}
