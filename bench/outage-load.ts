/**
 * The callers of the outage, a process of their own: each comes when the scenario says so, whatever became of those before.
 * What counts is what a caller sees: how long until its first token, or its error.
 *
 * Usage: outage-load.ts DIST PLAN APP UPSTREAM
 */
import { setTimeout as sleep } from 'node:timers/promises';

import { Pool } from 'undici';

import { serveOrders } from './orders.ts';
import { epochMs, loadSimulator, type OutagePlan, scenarioOf, spanMsOf } from './outage-scenario.ts';
import { STREAM_END } from './wire.ts';

/** As many requests as can be open at once: those of the longest answers, and some. */
const CONNECTIONS = 4_096;
const ANSWER_LIMIT_MS = 60_000;
const BARE_EVERY_MS = 50;

const [dist = '', planText = '', appUrl = '', upstreamUrl = ''] = process.argv.slice(2);
const plan: OutagePlan = JSON.parse(planText);
const simulator = await loadSimulator(dist);
const scenario = scenarioOf(simulator, plan);
const models = scenario.natures.map((nature) => nature.name);

const limits = { headersTimeout: ANSWER_LIMIT_MS, bodyTimeout: ANSWER_LIMIT_MS, keepAliveTimeout: ANSWER_LIMIT_MS };
const app = new Pool(appUrl, { connections: CONNECTIONS, ...limits });
const upstream = new Pool(upstreamUrl, { connections: 4, ...limits });
const body = JSON.stringify({ messages: [{ role: 'user', content: 'What is a fallback good for?' }], stream: true });
const answers: number[] = [];
const bareMs: number[] = [];
const open = new Set<Promise<void>>();
let firstFault: string | undefined;
let isOver = Promise.resolve();

async function play(beginEpochMs: number): Promise<void> {
  const bare = setInterval(() => void measureBare(), BARE_EVERY_MS);
  const arrivals = simulator.runs.arrivalsOf(scenario, plan.seed);
  let index = 0;
  for (let next = arrivals.next(); !next.done && next.value.atMs < spanMsOf(plan); next = arrivals.next()) {
    const inMs = beginEpochMs + next.value.atMs - epochMs();
    if (inMs > 0) await sleep(inMs);
    const call = ask(index++, beginEpochMs).catch((error: unknown) => {
      firstFault ??= String(error);
    });
    open.add(call);
    void call.finally(() => open.delete(call));
  }
  await Promise.all(open);
  clearInterval(bare);
}

async function ask(index: number, beginEpochMs: number): Promise<void> {
  const sentAtEpochMs = epochMs();
  const answer = await app.request({
    method: 'POST',
    path: '/v1/chat/completions',
    headers: { 'content-type': 'application/json', 'x-request-id': `b${index}` },
    body,
  });
  // Headers of a stream come with its first token.
  const spokeAtEpochMs = epochMs();
  const text = await answer.body.text();
  const isStream = answer.statusCode === 200;
  if (isStream && !text.endsWith(STREAM_END)) firstFault ??= `a stream that ends with ${text.slice(-200)}`;
  const waitMs = (isStream ? spokeAtEpochMs : epochMs()) - sentAtEpochMs;
  const model = isStream ? models.indexOf(String(answer.headers['x-fallback-model'])) : -1;
  answers.push(index, sentAtEpochMs - beginEpochMs, waitMs, model, answer.statusCode);
}

async function measureBare(): Promise<void> {
  const sentAtMs = performance.now();
  const answer = await upstream.request({ method: 'GET', path: '/echo' });
  await answer.body.dump();
  bareMs.push(performance.now() - sentAtMs);
}

serveOrders<'begin' | 'answers'>(async (order) => {
  if (order !== 'answers') {
    isOver = play(order.beginEpochMs);
    return 'begun';
  }
  await isOver;
  return { answers, bareMs, ...(firstFault !== undefined && { firstFault }) };
});
console.log('ready');
