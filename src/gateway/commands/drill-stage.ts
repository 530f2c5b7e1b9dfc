/**
 * Where a drill is played: the user's chain with simulated models in the place of the real ones, its rules kept and its
 * times shortened alike, so that what does not fit its deadline does not fit here either.
 */
import { randomUUID } from 'node:crypto';
import type { RequestResult } from '../../chain/chain-runner.js';
import { bodyFromParams } from '../../chain/chat-body.js';
import { systemClock } from '../../chain/clock.js';
import { Engine } from '../../chain/engine.js';
import { ChainEvents } from '../../chain/events.js';
import type { ChainSettings, ModelSettings, Settings } from '../../config/settings.js';
import type { Policy } from '../../policy/policy.js';
import { type SimulatedModels, startSimulatedModels } from '../../simulation/simulated-models.js';
import { HttpUpstream } from '../../upstream/http-upstream.js';
import type { DrillCase } from './drill-plan.js';

/** Nothing local needs longer, even on a busy machine. */
const SHORTEST_LIMIT_MS = 250;

export class DrillStage {
  readonly #settings: Settings;
  readonly #models: SimulatedModels;
  readonly #upstream = new HttpUpstream(systemClock);

  private constructor(settings: Settings, models: SimulatedModels) {
    this.#settings = settings;
    this.#models = models;
  }

  static async open(settings: Settings): Promise<DrillStage> {
    return new DrillStage(settings, await startSimulatedModels({ models: [...settings.models.keys()], speed: 0 }));
  }

  /** Plays one case on models that nothing is known of yet. */
  async play({ chain, broken, after, fault, streaming }: DrillCase): Promise<RequestResult> {
    for (const { name } of broken) this.#models.break(name, { kind: fault, afterChars: 0 });
    const engine = new Engine({
      settings: this.#staged({ ...chain, entries: [broken, ...after] }),
      upstream: this.#upstream,
      events: new ChainEvents(),
      clock: systemClock,
      random: Math.random,
    });
    const body = bodyFromParams({
      messages: [{ role: 'user', content: 'This is a drill: {"drill":true}' }],
      ...(streaming && { stream: true }),
      ...(fault === 'invalid_output' && { response_format: { type: 'json_object' } }),
    });
    const result = await new Promise<RequestResult>((resolve) => {
      const sink = { onCommit() {}, onBytes() {}, onFinish: resolve };
      engine.startChat({ requestId: randomUUID(), route: { chain: chain.name }, body }, sink);
    });
    for (const { name } of broken) this.#models.mend(name);
    return result;
  }

  async close(): Promise<void> {
    await this.#upstream.close();
    await this.#models.close();
  }

  #staged(chain: ChainSettings): Settings {
    const { baseUrl } = this.#models;
    const staged = (model: ModelSettings): ModelSettings => ({
      ...model,
      id: model.name,
      provider: { name: model.provider.name, kind: 'openai', baseUrl },
    });
    const entries = chain.entries.map((entry) => entry.map(staged));
    const models = entries.flat();
    const shortened = shortenedChain({ ...chain, entries });
    return {
      ...this.#settings,
      providers: new Map(models.map(({ provider }) => [provider.name, provider])),
      models: new Map(models.map((model) => [model.name, model])),
      chains: new Map([
        ['default', shortened],
        [chain.name, shortened],
      ]),
      simulated: true,
      drills: false,
      secrets: [],
    };
  }
}

function shortenedChain(chain: ChainSettings): ChainSettings {
  const policies = chain.entries.flat().map((model) => chain.policyByModel.get(model.name) ?? chain.policy);
  const shortestMs = Math.min(...policies.flatMap(({ timeoutMs, stream }) => [timeoutMs, stream.idleMs]));
  const ratio = Math.min(1, SHORTEST_LIMIT_MS / shortestMs);
  return {
    ...chain,
    policy: shortenedPolicy(chain.policy, ratio),
    policyByModel: new Map([...chain.policyByModel].map(([name, policy]) => [name, shortenedPolicy(policy, ratio)])),
  };
}

function shortenedPolicy(policy: Policy, ratio: number): Policy {
  const { backoff, retrySameModel, stream } = policy;
  return {
    ...policy,
    timeoutMs: policy.timeoutMs * ratio,
    deadlineMs: policy.deadlineMs * ratio,
    backoff: { ...backoff, baseMs: backoff.baseMs * ratio, maxMs: backoff.maxMs * ratio },
    retrySameModel: { ...retrySameModel, maxWaitMs: retrySameModel.maxWaitMs * ratio },
    stream: {
      ...stream,
      ttftMs: stream.ttftMs * ratio,
      idleMs: stream.idleMs * ratio,
      totalMs: stream.totalMs * ratio,
    },
  };
}
