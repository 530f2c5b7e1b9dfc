/**
 * A thousand callers leave at random moments, in every phase that a request can be in: each upstream call of theirs ends
 * at once, none begins afterwards, and nobody but the caller is blamed.
 */
import { once } from 'node:events';
import { request, type ClientRequest } from 'node:http';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { hashText, seededRandom } from '../../src/simulation/latency-profile.js';
import { NEVER_OPENS, PAYS_FOR_ALL } from '../app/policies.js';
import { countSockets, KNOWS_SOCKETS } from '../app/process-figures.js';
import { readOutcomes, readSeries } from '../app/read-metrics.js';
import { type RunningGateway, startGateway } from '../app/start-gateway.js';
import { ENDLESS, type Endless, type EndlessModels, startEndlessModels } from './endless-models.js';

vi.setConfig({ testTimeout: 20_000, hookTimeout: 60_000 });

const SEED = Number(process.env['LEAVING_SEED'] ?? 2_718);
const LIMIT_MS = 100;
/** They leave within this time of the phase's beginning. */
const SPAN_MS = 50;
const AT_A_TIME = 8;
const PER_PHASE = 100;
/** As many may queue as there are places: enough for one who comes while it is not yet known that others have left. */
const PLACES = 8;

interface Phase {
  readonly name: string;
  /** The models of its chain, in order. */
  readonly models: readonly Endless[];
  /** The phase has begun when that many upstream calls have come. */
  readonly calls: 0 | 1 | 2;
  readonly path?: '/chat';
  readonly isWhole?: true;
  readonly policy?: object;
  /** Its places are held by other callers meanwhile. */
  readonly isFull?: true;
  /** What may become of an attempt on each of its models; `cancelled` where nothing is said. */
  readonly outcomes?: readonly (readonly string[])[];
}

const PHASES: readonly Phase[] = [
  { name: 'waiting for headers', models: [ENDLESS.silent], calls: 1 },
  { name: 'waiting for a whole answer', models: [ENDLESS.writesHalf], calls: 1, isWhole: true },
  {
    name: 'backing off before a retry',
    models: [ENDLESS.fails],
    calls: 1,
    policy: { backoff: { baseMs: 2_000, factor: 1, maxMs: 2_000 } },
    outcomes: [['server_error', 'cancelled']],
  },
  { name: 'before the first token', models: [ENDLESS.clearsItsThroat], calls: 1 },
  { name: 'streaming', models: [ENDLESS.speaks], calls: 1 },
  { name: 'streaming a chat', models: [ENDLESS.speaks], calls: 1, path: '/chat' },
  {
    name: 'overtaking',
    models: [ENDLESS.silent, ENDLESS.clearsItsThroat],
    calls: 2,
    policy: { stream: { ttftMs: 30 } },
  },
  { name: 'holding tool calls', models: [ENDLESS.callsTools], calls: 1 },
  {
    name: 'going on with a stream that broke',
    models: [ENDLESS.cuts, ENDLESS.speaks, ENDLESS.silent],
    calls: 2,
    outcomes: [['stream_cut'], ['bad_response', 'cancelled'], ['cancelled']],
  },
  { name: 'queueing for a place', models: [ENDLESS.silent], calls: 0, isFull: true },
];

const keyOf = (phase: Phase) => phase.name.replaceAll(' ', '-');
const modelsOf = (phase: Phase) => phase.models.map((_, index) => `${keyOf(phase)}/${index}`);
const FAILING = new Set<Endless>([ENDLESS.fails, ENDLESS.cuts]);

interface Leaver {
  readonly question: string;
  readonly phase: Phase;
  readonly leftAtMs: number;
}

let models: EndlessModels;
let gateway: RunningGateway;
let socketsBefore: number;
const leavers: Leaver[] = [];
/** By how much this process, which does next to nothing, is late: on a busy machine, the gateway is as late. */
let machineLateMs: number;

beforeAll(async () => {
  const endless = PHASES.flatMap((phase) =>
    modelsOf(phase).map((name, index) => [name, phase.models[index] ?? ENDLESS.fails] as const),
  );
  models = await startEndlessModels(new Map(endless));
  gateway = await startGateway({ config: configOf(models.baseUrl) });
  socketsBefore = KNOWS_SOCKETS ? await countSockets(gateway.child.pid) : 0;
  const lateness = monitorEventLoopDelay({ resolution: 5 });
  lateness.enable();
  for (const phase of PHASES) await leaveIn(phase);
  machineLateMs = Math.round(lateness.percentile(99) / 1e6);
  const latencies = latenciesMs();
  const words = [0.5, 0.99].map((quantile) => `p${quantile * 100} ${at(quantile, latencies)} ms`).join(', ');
  console.log(`seed ${SEED}, ${latencies.length} calls: ${words}; the machine: p99 ${machineLateMs} ms`);
});

afterAll(async () => {
  await gateway?.stop();
  await models?.close();
});

function configOf(baseUrl: string): object {
  const entries = PHASES.flatMap((phase) =>
    modelsOf(phase).map((name, index) => {
      const isFailing = FAILING.has(phase.models[index] ?? ENDLESS.silent);
      const place = phase.isFull ? { maxConcurrent: PLACES } : {};
      return [name, { provider: 'openai', ...place, ...(isFailing && { breaker: NEVER_OPENS }) }] as const;
    }),
  );
  const chains = PHASES.map((phase) => [keyOf(phase), { models: modelsOf(phase), ...phase.policy }] as const);
  return {
    providers: { openai: { baseUrl } },
    models: Object.fromEntries(entries),
    chains: { default: [entries[0]?.[0]], ...Object.fromEntries(chains) },
    policy: { retryBudget: PAYS_FOR_ALL },
  };
}

async function leaveIn(phase: Phase): Promise<void> {
  const occupying = Array.from({ length: phase.isFull ? PLACES : 0 }, async (_, index) => {
    const question = `${keyOf(phase)} occupant ${index}`;
    const occupant = come(phase, question);
    await models.asked(question, 1);
    return occupant;
  });
  const occupants = await Promise.all(occupying);
  let begun = 0;
  const leave = async () => {
    while (begun < PER_PHASE) {
      const question = `${keyOf(phase)} ${begun++}`;
      const caller = come(phase, question);
      await (phase.calls === 0 ? once(caller, 'finish') : models.asked(question, phase.calls));
      await pause(seededRandom(hashText(`${SEED} ${question}`))() * SPAN_MS);
      leavers.push({ question, phase, leftAtMs: performance.now() });
      caller.destroy();
    }
  };
  await Promise.all(Array.from({ length: phase.isFull ? 1 : AT_A_TIME }, leave));
  for (const occupant of occupants) occupant.destroy();
}

/** On a connection of his own. */
function come(phase: Phase, question: string): ClientRequest {
  const { path = '/v1/chat/completions', isWhole } = phase;
  const stream = isWhole === undefined;
  const chat = { model: keyOf(phase), messages: [{ role: 'user', content: question }], stream };
  const body = path === '/chat' ? { message: question, chain: keyOf(phase), stream } : chat;
  const headers = { 'content-type': 'application/json' };
  const caller = request(gateway.url + path, { method: 'POST', headers, agent: false }, (response) =>
    response.resume(),
  );
  caller.on('error', () => undefined);
  caller.end(JSON.stringify(body));
  return caller;
}

/** How long each upstream call outlived its caller. */
function latenciesMs(): number[] {
  return leavers.flatMap(({ question, leftAtMs }) =>
    models.callsOf(question).flatMap(({ end }) => {
      const lateMs = end === undefined ? Infinity : end.atMs - leftAtMs;
      return end?.by === 'model' || lateMs < 0 ? [] : [lateMs];
    }),
  );
}

function at(quantile: number, values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * quantile))] ?? NaN);
}

describe('of a thousand callers who leave', () => {
  it('every one has his upstream calls closed, 99 of 100 within 100 ms', () => {
    expect(leavers).toHaveLength(PER_PHASE * PHASES.length);
    const latencies = latenciesMs();
    expect(latencies.length).toBeGreaterThan(PER_PHASE * (PHASES.length - 2));
    expect(Math.max(...latencies)).toBeLessThan(Infinity);
    expect(at(0.99, latencies)).toBeLessThan(LIMIT_MS + machineLateMs);
  });

  it('nobody is asked for afterwards', () => {
    const late = leavers.flatMap(({ question, leftAtMs }) =>
      models.callsOf(question).filter(({ receivedAtMs }) => receivedAtMs > leftAtMs + LIMIT_MS + machineLateMs),
    );
    expect(late).toEqual([]);
    const queued = leavers.filter(({ phase }) => phase.isFull);
    expect(queued.flatMap(({ question }) => models.callsOf(question))).toEqual([]);
  });

  it.runIf(KNOWS_SOCKETS)('no connection is left', async () => {
    const none = async () => {
      expect(models.openConnections()).toBe(0);
      expect(await countSockets(gateway.child.pid)).toBe(socketsBefore);
    };
    await vi.waitFor(none, { timeout: 10_000, interval: 50 });
  });

  it('every one is counted as such, none as failed', async () => {
    const counts: Record<string, number> = {};
    for (const { labels, value } of await readSeries(gateway.url, 'fallback_requests_total')) {
      if (value > 0) counts[`${labels['chain']} ${labels['outcome']}`] = value;
    }
    const expected = PHASES.map((phase) => [`${keyOf(phase)} cancelled`, PER_PHASE + (phase.isFull ? PLACES : 0)]);
    expect(counts).toEqual(Object.fromEntries(expected));
  });

  it.each(PHASES)('the attempts are counted as they went: $name', async (phase) => {
    const durations = await readSeries(gateway.url, 'gen_ai_client_operation_duration_seconds_count');
    for (const [index, model] of modelsOf(phase).entries()) {
      const outcomes = await readOutcomes(gateway.url, model);
      const attempts = Object.values(outcomes).reduce((sum, count) => sum + count, 0);
      // One that had only just been begun may not have come to the model.
      const calls = models.callsTo(model).length;
      expect(attempts).toBeGreaterThanOrEqual(calls);
      expect(attempts).toBeLessThanOrEqual(calls + AT_A_TIME);
      expect(phase.outcomes?.[index] ?? ['cancelled']).toEqual(expect.arrayContaining(Object.keys(outcomes)));
      const timed = durations.filter(({ labels }) => labels['gen_ai_request_model'] === model);
      expect(timed.reduce((sum, { value }) => sum + value, 0)).toBe(attempts);
    }
  });

  it('no model is blamed', async () => {
    for (const { labels, value } of await readSeries(gateway.url, 'fallback_breaker_state'))
      expect(`${labels['model']} ${value}`).toBe(`${labels['model']} 0`);
  });
});
