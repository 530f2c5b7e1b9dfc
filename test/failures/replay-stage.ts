/**
 * Everything that a replay of the catalogue needs, at once: a fault server per case, a healthy neighbour, and one
 * gateway whose config holds a chain for each. Every case has models and a provider of its own, so that no rest, no
 * breaker and no count of one is seen by another, and one gateway is enough for all.
 */
import { createServer } from 'node:http';
import { listenOnLoopback } from '../../src/simulation/loopback-server.js';
import { startGateway } from '../app/start-gateway.js';
import type { RunningGateway } from '../app/start-gateway.js';
import type { FailureCase } from './catalogue.js';
import { startFaultServer } from './fault-server.js';
import type { FaultServer } from './fault-server.js';
import { startHealthyServer } from './healthy-server.js';
import type { HealthyServer } from './healthy-server.js';

/** The names of one case's models and chains. */
interface CaseNames {
  readonly a: string;
  readonly b: string;
  /** A healthy model at A's provider. */
  readonly sibling: string;
  /** A's doubles, which have no other model beside them: one that may not be retried, one that may be once. */
  readonly alone: string;
  readonly retried: string;
  readonly chain: string;
  readonly siblingChain: string;
  readonly aloneChain: string;
  readonly retriedChain: string;
}

interface CaseStage {
  readonly names: CaseNames;
  readonly a: FaultServer;
  readonly alone: FaultServer;
  readonly retried: FaultServer;
}

export interface ReplayStage {
  readonly gateway: RunningGateway;
  readonly healthy: HealthyServer;
  of(one: FailureCase): CaseStage;
  /** Requests at the address that a redirect pointed to. */
  evilRequests(): number;
  close(): Promise<void>;
}

export async function startReplayStage(cases: readonly FailureCase[]): Promise<ReplayStage> {
  let evilRequests = 0;
  const evil = await listenOnLoopback(
    createServer((_, response) => {
      evilRequests += 1;
      response.end();
    }),
  );
  const healthy = await startHealthyServer();
  const stages = new Map<string, CaseStage>();
  for (const one of cases) {
    const names = namesOf(one);
    const start = (faulty: string) =>
      startFaultServer(one, { evilPort: evil.port, isFaulty: (model) => model === faulty });
    const [a, alone, retried] = await Promise.all([start(names.a), start(names.alone), start(names.retried)]);
    stages.set(one.id, { names, a, alone, retried });
  }
  const of = ({ id }: FailureCase): CaseStage => {
    const stage = stages.get(id);
    if (stage === undefined) throw new Error(`${id} is not on this stage`);
    return stage;
  };
  const closeServers = async () => {
    const servers = [...stages.values()].flatMap(({ a, alone, retried }) => [a, alone, retried]);
    await Promise.all([...servers, healthy, evil].map((server) => server.close()));
  };
  try {
    const gateway = await startGateway({ config: configOf(cases, of, healthy.baseUrl) });
    return {
      gateway,
      healthy,
      of,
      evilRequests: () => evilRequests,
      async close() {
        await gateway.stop();
        await closeServers();
      },
    };
  } catch (error) {
    await closeServers();
    throw error;
  }
}

function namesOf({ id }: FailureCase): CaseNames {
  return {
    a: `A-${id}`,
    b: `B-${id}`,
    sibling: `A2-${id}`,
    alone: `alone-${id}`,
    retried: `retried-${id}`,
    chain: id,
    siblingChain: `${id}/sibling`,
    aloneChain: `${id}/alone`,
    retriedChain: `${id}/retried`,
  };
}

export const DEADLINE_MS = 5_000;

/** The harness's policy: one attempt per model, `DEADLINE_MS` for a request, no wait worth the name. */
const HARNESS_POLICY = {
  maxRetries: 0,
  timeoutMs: 4_000,
  deadlineMs: DEADLINE_MS,
  backoff: { baseMs: 1, factor: 1, maxMs: 1 },
  // Full, however many cases are retried in this one process.
  retryBudget: { ratio: 10, burst: 10_000 },
};

function configOf(cases: readonly FailureCase[], of: (one: FailureCase) => CaseStage, healthyUrl: string): object {
  const providers: Record<string, object> = { healthy: { baseUrl: healthyUrl } };
  const models: Record<string, object> = { healthy: { provider: 'healthy' } };
  const chains: Record<string, object> = { default: ['healthy'] };
  for (const one of cases) {
    const { names, a, alone, retried } = of(one);
    const windows = one.policy?.contextWindows;
    const windowOf = (model: 'A' | 'B') => (windows === undefined ? {} : { contextWindow: windows[model] });
    providers[names.a] = { baseUrl: a.baseUrl };
    providers[names.alone] = { baseUrl: alone.baseUrl };
    providers[names.retried] = { baseUrl: retried.baseUrl };
    models[names.a] = { provider: names.a, ...windowOf('A') };
    models[names.sibling] = { provider: names.a };
    models[names.alone] = { provider: names.alone, ...windowOf('A') };
    models[names.retried] = { provider: names.retried, ...windowOf('A') };
    models[names.b] = { provider: 'healthy', ...windowOf('B') };
    const policy = policyOf(one);
    const order = (one.policy?.chain ?? ['A', 'B']).map((model) => (model === 'A' ? names.a : names.b));
    chains[names.chain] = { models: order, ...policy };
    chains[names.siblingChain] = { models: [names.sibling, names.b], ...policy };
    chains[names.aloneChain] = { models: [names.alone], ...policy };
    chains[names.retriedChain] = { models: [names.retried], ...policy, maxRetries: 1 };
  }
  // The background check would ask the fault servers for their models while a case counts its calls.
  return { providers, models, chains, policy: HARNESS_POLICY, health: { intervalMs: 3_600_000 } };
}

/** A model that speaks has so long to do it, ms: a busy machine is no silent model. */
const SPEAKING_MS = 2_000;

/** `ttft_ms` and its kin in the words of a config file. */
function policyOf({ policy, request, expect }: FailureCase): object {
  const { maxRetries, ttft_ms: ttftMs, idle_ms: idleMs, total_ms: totalMs } = policy ?? {};
  const isSilent = [expect.class].flat().includes('timeout_ttft');
  const speakingMs = ttftMs === undefined || isSilent ? ttftMs : Math.max(ttftMs, SPEAKING_MS);
  const timeoutMs = request.stream ? speakingMs : totalMs;
  const limits = { ...(idleMs === undefined ? {} : { idleMs }), ...(totalMs === undefined ? {} : { totalMs }) };
  return {
    ...(maxRetries === undefined ? {} : { maxRetries }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(request.stream && Object.keys(limits).length > 0 ? { stream: limits } : {}),
  };
}
