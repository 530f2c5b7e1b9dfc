/**
 * Where a drill is played: the user's chain with simulated models in the place of the real ones, its rules kept and its
 * times shortened alike, so that what does not fit its deadline does not fit here either.
 */
import { randomUUID } from 'node:crypto';
import type OpenAI from 'openai';
import type { RequestResult, RequestSink } from '../../chain/chain-request.js';
import { bodyFromParams } from '../../chain/chat-body.js';
import { systemClock } from '../../chain/clock.js';
import { Engine } from '../../chain/engine.js';
import { ChainEvents } from '../../chain/events.js';
import type { ChainSettings, ModelSettings, Settings } from '../../config/settings.js';
import { AnswerAssembly } from '../../fallback/answer-assembly.js';
import type { Policy } from '../../policy/policy.js';
import { generateAnswer } from '../../simulation/answer-generator.js';
import { readChatRequest } from '../../simulation/chat-request.js';
import { type SimulatedModels, startSimulatedModels } from '../../simulation/simulated-models.js';
import { readSseEvent, SseScanner } from '../../stream/sse-scanner.js';
import { HttpUpstream } from '../../upstream/http-upstream.js';
import type { DrillCase, DrillMoment } from './drill-plan.js';

/** Nothing local needs longer, even on a busy machine. */
const SHORTEST_LIMIT_MS = 250;

/** How much of the answer is out: past the label and in the middle of a word; half of what the tool is called with. */
const CHARS_BEFORE: Readonly<Record<DrillMoment, number>> = {
  'before all': 0,
  'in a text': '[simulated ] You asked: "This is a dr'.length,
  'in a tool call': 6,
};

const TOOL = {
  type: 'function',
  function: {
    name: 'look_up',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
};

export interface Drilled {
  readonly result: RequestResult;
  /** A stream: what the caller got is the one answer to the question, nothing of it twice and nothing missing. */
  readonly isWhole: boolean;
}

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
  async play({ chain, broken, after, fault, streaming, moment }: DrillCase): Promise<Drilled> {
    for (const { name } of broken) {
      const labelChars = moment === 'in a text' ? name.length : 0;
      this.#models.break(name, { kind: fault, afterChars: CHARS_BEFORE[moment] + labelChars });
    }
    const engine = new Engine({
      settings: this.#staged({ ...chain, entries: [broken, ...after] }),
      upstream: this.#upstream,
      events: new ChainEvents(),
      clock: systemClock,
      random: Math.random,
    });
    const params = {
      messages: [{ role: 'user', content: 'This is a drill: {"drill":true}' }],
      ...(streaming && { stream: true }),
      ...(fault === 'invalid_output' && { response_format: { type: 'json_object' } }),
      ...(moment === 'in a tool call' && { tools: [TOOL] }),
    };
    const reading = new AnswerReading();
    const result = await new Promise<RequestResult>((resolve) => {
      const sink: RequestSink = { onCommit() {}, onBytes: (bytes) => reading.take(bytes), onFinish: resolve };
      const body = bodyFromParams(params);
      engine.startChat({ requestId: randomUUID(), route: { chain: chain.name }, body }, sink);
    });
    for (const { name } of broken) this.#models.mend(name);
    const writers = moment === 'in a text' ? broken.map(({ name }) => name) : [result.model ?? ''];
    const isWhole = !streaming || writers.some((model) => reading.message === messageOf({ ...params, model }));
    return { result, isWhole };
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

/** What a caller makes of a stream. */
class AnswerReading {
  readonly #scanner = new SseScanner();
  readonly #assembly = new AnswerAssembly();

  take(bytes: Uint8Array): void {
    for (let at = this.#scanner.next(bytes, 0); at >= 0; at = this.#scanner.next(bytes, at)) {
      const { data } = readSseEvent(this.#scanner.bytes, this.#scanner.start, this.#scanner.end);
      if (data !== null) this.#assembly.add(JSON.parse(data) as OpenAI.ChatCompletionChunk);
      if (at >= bytes.length) break;
    }
  }

  /** As `messageOf` writes it. */
  get message(): string {
    const message = this.#assembly.completion().choices[0]?.message;
    const calls = message?.tool_calls ?? [];
    return JSON.stringify([message?.content || '', calls.map((call) => 'function' in call && call.function.arguments)]);
  }
}

/** What a healthy simulated model says to a request. */
function messageOf(params: object): string {
  const request = readChatRequest(Buffer.from(JSON.stringify(params)));
  const [choice] = 'error' in request ? [] : generateAnswer(request).choices;
  const calls = choice?.toolCalls ?? [];
  return JSON.stringify([choice?.pieces.join('') ?? '', calls.map((call) => call.arguments)]);
}
