/**
 * One gateway and one scripted server behind it, for many broken streams side by side: each question has scripts of its
 * own, by the model that is asked, and a chain of its own (`models: […]`).
 */
import type { JsonObject } from '../../src/simulation/json-value.js';
import { asArray, asObject } from '../../src/simulation/json-value.js';
import { reply, startScriptedModel } from '../../src/testing.js';
import type { BreakKind, Reply, ScriptedCall, ScriptedModel } from '../../src/testing.js';
import { askGateway } from '../app/ask-gateway.js';
import type { AskOptions, CallerView } from '../app/ask-gateway.js';
import { NEVER_OPENS, PAYS_FOR_ALL } from '../app/policies.js';
import { startGateway } from '../app/start-gateway.js';
import type { RunningGateway } from '../app/start-gateway.js';
import { answerOf, readAsked } from './telling-model.js';
import type { AskedToGoOn, Repeat } from './telling-model.js';

/** What one model does with the calls of one question. */
export type Part = Reply | ((call: ScriptedCall) => Reply);

export interface Asked {
  /** By model; they are the chain, in this order. */
  readonly parts: Readonly<Record<string, Part>>;
  /** What was posed with these parts before; absent: one of its own. */
  readonly question?: string;
  /** Of the request, beside what is always there. */
  readonly params?: JsonObject;
  /** Whose policy counts; default: `default`. */
  readonly chain?: keyof typeof CHAINS;
  readonly options?: AskOptions;
}

export interface Heard extends CallerView {
  /** What every model was asked, in order. */
  readonly calls: readonly ScriptedCall[];
  /** The chunks, without the end. */
  readonly chunks: readonly JsonObject[];
  /** `from reason to`, as the chunks tell of it. */
  readonly switches: readonly string[];
  /** `model class`, of the last chunk's trace; of the headers where there is none. */
  readonly attempts: readonly string[];
}

/** All of one provider. What one refuses is remembered of it, so each of those serves one test. */
const MODELS: Readonly<Record<string, object>> = {
  a: {},
  b: {},
  c: {},
  d: {},
  prefix: { continuation: 'prefix' },
  vllm: { continuation: 'vllm' },
  none: { continuation: 'none' },
  'refuses-prefix-1': { continuation: 'prefix' },
  'refuses-prefix-2': { continuation: 'prefix' },
  'refuses-vllm': { continuation: 'vllm' },
};

/** For their policies. */
const CHAINS = {
  patient: { models: ['a'], maxRetries: 3, backoff: { baseMs: 1, maxMs: 2 } },
  'to-error': { models: ['a'], stream: { onBreak: 'error' } },
  passing: { models: ['a'], stream: { toolCalls: 'pass' } },
  hasty: { models: ['a'], stream: { ttftMs: 1_000 } },
  calm: { models: ['a'], stream: { idleMs: 30_000 } },
  pair: { models: ['a', 'b'] },
  'calm-pair': { models: ['a', 'b'], stream: { idleMs: 30_000 } },
} as const;

export class StreamStage implements AsyncDisposable {
  readonly gateway: RunningGateway;
  readonly #server: ScriptedModel;
  readonly #parts: Map<string, Asked['parts']>;
  #questions = 0;

  private constructor(gateway: RunningGateway, server: ScriptedModel, parts: Map<string, Asked['parts']>) {
    this.gateway = gateway;
    this.#server = server;
    this.#parts = parts;
  }

  static async start(): Promise<StreamStage> {
    const parts = new Map<string, Asked['parts']>();
    const server = await startScriptedModel((call) => {
      const part = parts.get(questionOf(call))?.[call.model];
      if (part === undefined) throw new Error(`${call.model} has no part in "${questionOf(call)}"`);
      return typeof part === 'function' ? part(call) : part;
    });
    const gateway = await startGateway({
      config: {
        providers: { p: { baseUrl: server.baseUrl } },
        models: Object.fromEntries(Object.entries(MODELS).map(([name, more]) => [name, { provider: 'p', ...more }])),
        chains: { default: Object.keys(MODELS), ...CHAINS },
        policy: { maxRetries: 0, breaker: NEVER_OPENS, retryBudget: PAYS_FOR_ALL, stream: { idleMs: 400 } },
        health: { intervalMs: 3_600_000 },
      },
    });
    return new StreamStage(gateway, server, parts);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.gateway.stop();
    await this.#server.close();
  }

  /** A question that no other has asked, with its models' parts. */
  pose(parts: Asked['parts']): string {
    const question = `Question ${++this.#questions}: tell me.`;
    this.#parts.set(question, parts);
    return question;
  }

  callsOf(question: string): ScriptedCall[] {
    return this.#server.calls.filter((call) => questionOf(call) === question);
  }

  /** The call of that number (from 1), as soon as it is there. */
  async callOf(question: string, number: number): Promise<ScriptedCall> {
    for (;;) {
      const call = this.callsOf(question)[number - 1];
      if (call) return call;
      await this.#server.waitForCall();
    }
  }

  async ask({ parts, question = this.pose(parts), params = {}, chain, options = {} }: Asked): Promise<Heard> {
    const body = {
      model: chain ?? 'default',
      models: Object.keys(parts),
      messages: [{ role: 'user', content: question }],
      stream: true,
      ...params,
    };
    const view = await askGateway(this.gateway.url, body, options);
    const chunks = view.events.flatMap(({ kind, data }) =>
      kind === 'done' || kind === 'error' ? [] : [asObject(JSON.parse(data))],
    );
    const told = chunks.flatMap(({ fallback }) => (fallback === undefined ? [] : [asObject(fallback)]));
    const trace = told.flatMap(({ trace: text }) => (typeof text === 'string' ? [text] : []));
    return {
      ...view,
      calls: this.callsOf(question),
      chunks,
      switches: told.flatMap(({ from, to, reason }) => (from === undefined ? [] : [[from, reason, to].join(' ')])),
      attempts: trace[0]
        ? trace[0].split(', ').map((attempt) => attempt.split(';').slice(0, 2).join(' '))
        : view.trace.map((attempt) => `${attempt.model} ${attempt.class}`),
    };
  }
}

function questionOf(call: ScriptedCall): string {
  const users = asArray(call.body['messages']).map(asObject);
  const isQuestion = ({ role, content }: JsonObject) => role === 'user' && String(content).startsWith('Question ');
  return String(users.findLast(isQuestion)?.['content']);
}

/** How a part of a text is told. */
export interface Tells {
  /** So much of it, counted from the start of the text, then it breaks; absent: all. */
  readonly until?: number;
  readonly by?: BreakKind;
  /** Deltas of so many UTF-16 units. */
  readonly deltaChars?: number;
  readonly repeat?: Repeat;
  readonly reasoning?: readonly string[];
  /** Silence before it begins. */
  readonly delayMs?: number;
}

/** A model that knows the text by heart, goes on with it however it is asked, and may break in it. */
export function tells(text: string, how: Tells = {}): (call: ScriptedCall) => Reply {
  const { until = text.length, by, deltaChars = 5, repeat = 'asked', reasoning, delayMs } = how;
  return (call) => {
    const asked = askedOf(call);
    const whole = answerOf(text, asked, repeat);
    const said = whole.slice(0, whole.length - (text.length - until));
    const deltas = said.match(new RegExp(`[^]{1,${deltaChars}}`, 'g')) ?? [];
    const thoughts = reasoning ?? [];
    return reply.text(deltas, {
      ...(reasoning && { reasoning }),
      ...(delayMs !== undefined && { delayMs }),
      ...(by && { breakAfter: { deltas: thoughts.length + deltas.length, by } }),
    });
  };
}

/** What a model is asked to go on with; undefined: it is asked the question. */
export function askedOf(call: ScriptedCall): AskedToGoOn | undefined {
  const messages = asArray(call.body['messages']).map(asObject);
  const asks = messages.slice(messages.findIndex(({ role }) => role === 'user'));
  return readAsked({ ...call.body, messages: asks }, asks[0]);
}
