/**
 * The models of the outage on the wire, a process of its own: the very models of the simulator, on the real clock, each
 * attempt with the luck that it has there. Remembers what it was asked, and when.
 *
 * Usage: outage-upstream.ts DIST PLAN
 */
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';

import { listenAndSay } from './listening.ts';
import { serveOrders } from './orders.ts';
import { epochMs, loadSimulator, type OutagePlan, scenarioOf, spanMsOf } from './outage-scenario.ts';
import { chunk, SERVER_ERROR, STREAM_END } from './wire.ts';

/** The gateway's own limits end what hangs. */
const NO_LIMITS = { answerMs: Infinity, idleMs: Infinity, totalMs: Infinity };
const KEEP_ALIVE_MS = 60_000;
/** The longest silence of a model that speaks. Every token of its own would be another bench. */
const SILENCE_MS = 2_000;

const [dist = '', planText = ''] = process.argv.slice(2);
const plan: OutagePlan = JSON.parse(planText);
const simulator = await loadSimulator(dist);
const scenario = scenarioOf(simulator, plan);
const models = scenario.natures.map((nature) => nature.name);
const outputTokens = tokensOfAll();

let beginEpochMs = epochMs();
const clock = {
  nowMs: () => epochMs() - beginEpochMs,
  wallEpochMs: () => Date.now(),
  setTimer(delayMs: number, fire: () => void) {
    if (delayMs === Infinity) return () => {};
    const timer = setTimeout(fire, delayMs);
    return () => clearTimeout(timer);
  },
};
const attempts: number[] = [];
const asked = new Map<number, number[]>();
let current = 0;
const field = new simulator.fields.Field(scenario.natures, clock, plan.seed, {
  begins: (model, isDown, isRetry) => attempts.push(clock.nowMs(), model, Number(isDown), Number(isRetry), current),
  ends: () => {},
});

function tokensOfAll(): number[] {
  const arrivals = simulator.runs.arrivalsOf(scenario, plan.seed);
  const tokens: number[] = [];
  for (let next = arrivals.next(); !next.done && next.value.atMs < spanMsOf(plan); next = arrivals.next()) {
    tokens.push(next.value.outputTokens);
  }
  return tokens;
}

function handle(request: IncomingMessage, response: ServerResponse): void {
  // The bench's own yardstick, and the background check, which learns nothing here.
  if (request.method === 'GET') return answerJson(response, request.url === '/echo' ? 200 : 404, SERVER_ERROR);
  const pieces: Buffer[] = [];
  request.on('data', (piece: Buffer) => pieces.push(piece));
  request.once('end', () => {
    const { model }: { model: string } = JSON.parse(Buffer.concat(pieces).toString());
    answer(model, Number(String(request.headers['x-request-id']).slice(1)), response);
  });
}

function answer(model: string, index: number, response: ServerResponse): void {
  let tries = asked.get(index);
  if (!tries) asked.set(index, (tries = models.map(() => 0)));
  const call = { index, streaming: true, inputTokens: 0, outputTokens: outputTokens[index] ?? 1, asked: tries };
  current = index;
  let speaking: NodeJS.Timeout | undefined;
  const handler = {
    onFirstToken: () => {
      response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
      const goOn = (): void => void response.write(chunk({ content: 'And so on. ' }, null, 0));
      speaking = setInterval(goOn, SILENCE_MS / plan.faster);
    },
    onBytes: () => response.write(chunk({ role: 'assistant', content: 'Yes. ' }, null, 0)),
    onEnd: ({ type }: { readonly type: 'completed' | 'failed' }) => {
      clearInterval(speaking);
      if (type === 'failed') return answerJson(response, 500, SERVER_ERROR);
      response.write(chunk({}, 'stop', 0));
      response.end(STREAM_END);
    },
  };
  const running = field.ask(call, { model, limits: NO_LIMITS }, handler);
  response.once('close', () => {
    clearInterval(speaking);
    running.cancel();
  });
}

function answerJson(response: ServerResponse, status: number, json: string): void {
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(json) });
  response.end(json);
}

serveOrders<'begin' | 'attempts'>((order) => {
  if (order === 'attempts') return Promise.resolve(attempts);
  beginEpochMs = order.beginEpochMs;
  return Promise.resolve('begun');
});
listenAndSay(createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, handle));
