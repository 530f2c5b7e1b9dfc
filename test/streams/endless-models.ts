/**
 * Models that never come to an end, each in a way of its own, and keep book of when they were asked and left: for
 * callers who leave.
 */
import type { ServerResponse } from 'node:http';
import { asArray, asObject } from '../../src/simulation/json-value.js';
import { untilGone, waitFor, writeJson } from '../../src/simulation/loopback-server.js';
import { sseEvent, SSE_HEADERS } from '../../src/simulation/openai-wire.js';
import { type CountedServer, startCountedServer } from './counted-server.js';

/** What one model does with a call. */
export type Endless = (response: ServerResponse) => Promise<void>;

export interface EndlessCall {
  readonly model: string;
  /** On the clock of `performance.now()`, as the other. */
  readonly receivedAtMs: number;
  /** Absent while it is under way. */
  end?: { readonly by: 'model' | 'client'; readonly atMs: number };
}

export interface EndlessModels extends CountedServer {
  /** By what was asked. */
  callsOf(question: string): readonly EndlessCall[];
  /** Of all questions. */
  callsTo(model: string): readonly EndlessCall[];
  /** Resolves when the question has come for that time. */
  asked(question: string, times: number): Promise<void>;
}

const PACE_MS = 3;

const chunk = (delta: object) =>
  sseEvent({
    id: 'chatcmpl-endless',
    object: 'chat.completion.chunk',
    created: 0,
    model: 'endless',
    choices: [{ index: 0, delta, finish_reason: null }],
  });
const ROLE = chunk({ role: 'assistant', content: '' });
const SAYS = chunk({ content: 'and so on ' });
const CALLS = chunk({
  tool_calls: [{ index: 0, id: 'call_1', type: 'function', function: { name: 'f', arguments: '' } }],
});
const ARGUES = chunk({ tool_calls: [{ index: 0, function: { arguments: '[' } }] });

async function trickle(first: string, then: string, response: ServerResponse): Promise<void> {
  response.writeHead(200, SSE_HEADERS);
  response.write(first);
  while (await waitFor(response, PACE_MS)) response.write(then);
}

/** All but `fails` and `cuts` go on until the client leaves. */
export const ENDLESS = {
  silent: untilGone,
  fails: async (response) => writeJson(response, 500, {}),
  clearsItsThroat: (response) => trickle(ROLE, ': thinking\n\n', response),
  speaks: (response) => trickle(ROLE + SAYS, SAYS, response),
  callsTools: (response) => trickle(ROLE + CALLS, ARGUES, response),
  cuts: async (response) => {
    response.writeHead(200, SSE_HEADERS).end(ROLE + SAYS);
  },
  writesHalf: async (response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).write('{"id":"chatcmpl-endless","cho');
    await untilGone(response);
  },
} as const satisfies Record<string, Endless>;

/** @param endless what each model does, by its id. */
export async function startEndlessModels(endless: ReadonlyMap<string, Endless>): Promise<EndlessModels> {
  const calls = new Map<string, EndlessCall[]>();
  const waiting: { question: string; times: number; resolve: () => void }[] = [];
  const callsOf = (question: string) => calls.get(question) ?? [];
  const hasCome = ({ question, times }: { question: string; times: number }) => callsOf(question).length >= times;
  const server = await startCountedServer(async (body, response) => {
    const question = String(asObject(asArray(body['messages'])[0])['content']);
    const model = String(body['model']);
    const call: EndlessCall = { model, receivedAtMs: performance.now() };
    calls.set(question, [...callsOf(question), call]);
    response.once('close', () => {
      call.end = { by: response.writableEnded ? 'model' : 'client', atMs: performance.now() };
    });
    for (const waiter of waiting.splice(0)) {
      if (hasCome(waiter)) waiter.resolve();
      else waiting.push(waiter);
    }
    await (endless.get(model) ?? ENDLESS.fails)(response);
  });
  return {
    ...server,
    callsOf,
    callsTo: (model) => [...calls.values()].flat().filter((call) => call.model === model),
    asked: (question, times) =>
      new Promise((resolve) => {
        const waiter = { question, times, resolve };
        if (hasCome(waiter)) resolve();
        else waiting.push(waiter);
      }),
  };
}
