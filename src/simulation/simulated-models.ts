/**
 * The simulated models: one real HTTP server on loopback that speaks OpenAI's wire format for any number of models, so
 * that the product can be tried, shown and tested without a key. Every answer says that it is simulated, in its text
 * and in the header `x-fallback-simulated`. Each model can be broken and mended while it runs.
 *
 * One server for all: a fault hits one request of one model, even where it destroys the socket, and a provider's list
 * of models is one list. Whoever wants the models at different providers names the same base URL twice.
 */
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { generateAnswer } from './answer-generator.js';
import { readChatRequest } from './chat-request.js';
import type { ChatRequest } from './chat-request.js';
import { drawTokenMs, drawTtftMs, hashText, profileFor, seededRandom } from './latency-profile.js';
import { listenOnLoopback, readBody, waitFor, writeJson } from './loopback-server.js';
import { chunksOf, completionOf, errorBodyOf, modelListOf, modelObject, SSE_DONE } from './openai-wire.js';
import type { WireAnswer, WireError } from './openai-wire.js';
import { playFault } from './play-fault.js';
import { sendChunks, totalMs } from './send-stream.js';
import type { Tempo } from './send-stream.js';
import { isSimulatedFaultKind } from './simulated-fault.js';
import type { SimulatedFault, SimulatedFaultKind } from './simulated-fault.js';

export interface SimulatedModelsOptions {
  /** Names as clients send them; the name also decides the speed (`latency-profile.ts`). */
  readonly models: readonly string[];
  /** Factor on every latency: 1 like the real ones, 0 at once. */
  readonly speed?: number;
  /** The same seed and the same requests give the same latencies. */
  readonly seed?: number;
  readonly host?: string;
}

export interface SimulatedModels extends AsyncDisposable {
  /** `http://127.0.0.1:PORT/v1`: all models answer here. */
  readonly baseUrl: string;
  readonly models: readonly string[];
  /** From the next request on. @throws RangeError where the model or the kind is unknown. */
  break(model: string, fault: SimulatedFault | SimulatedFaultKind): void;
  /** Heals a model; harmless where it is healthy. @throws RangeError where the model is unknown. */
  mend(model: string): void;
  /** What is broken now, by model. */
  faults(): ReadonlyMap<string, SimulatedFault>;
  /** Ends every connection and leaves no handle open. Idempotent. */
  close(): Promise<void>;
}

const SIMULATED_HEADER = 'x-fallback-simulated';

export async function startSimulatedModels(options: SimulatedModelsOptions): Promise<SimulatedModels> {
  const fleet = new Fleet(options);
  const server = createServer((request, response) => {
    response.setHeader(SIMULATED_HEADER, 'true');
    fleet.answer(request, response).catch((error: unknown) => fail(response, error));
  });
  const { origin, close } = await listenOnLoopback(server, options.host);
  return {
    baseUrl: `${origin}/v1`,
    models: [...options.models],
    break: (model, fault) => fleet.break(model, typeof fault === 'string' ? { kind: fault } : fault),
    mend: (model) => fleet.mend(model),
    faults: () => new Map(fleet.faults),
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** The models behind the server: what is broken, and how often each was asked. */
class Fleet {
  readonly faults = new Map<string, SimulatedFault>();
  readonly #callsByModel = new Map<string, number>();
  readonly #startedEpochS = Math.floor(Date.now() / 1000);
  #requests = 0;

  constructor(private readonly options: SimulatedModelsOptions) {
    for (const model of options.models) this.#callsByModel.set(model, 0);
  }

  break(model: string, fault: SimulatedFault): void {
    this.#mustKnow(model);
    if (!isSimulatedFaultKind(fault.kind))
      throw new RangeError(`"${String(fault.kind)}" is no fault of a simulated model`);
    this.faults.set(model, fault);
  }

  mend(model: string): void {
    this.#mustKnow(model);
    this.faults.delete(model);
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.setHeader('x-request-id', `req_sim_${++this.#requests}`);
    const path = (request.url ?? '/').split('?')[0] ?? '/';
    if (request.method === 'GET') return this.#answerList(path, response);
    if (path !== '/v1/chat/completions') return refuse(response, 404, unknownUrl(request.method, path));
    if (request.method !== 'POST') return refuse(response, 405, notAllowed(request.method));
    const body = await readBody(request);
    if (body === undefined) return refuse(response, 413, TOO_LARGE);
    const chat = readChatRequest(body);
    if ('error' in chat) return refuse(response, 400, chat.error);
    const calls = this.#callsByModel.get(chat.model);
    if (calls === undefined) return refuse(response, 404, unknownModel(chat.model));
    this.#callsByModel.set(chat.model, calls + 1);
    await this.#answerChat(chat, calls, response);
  }

  async #answerChat(chat: ChatRequest, callNumber: number, response: ServerResponse): Promise<void> {
    const { choices, inputTokens, outputTokens } = generateAnswer(chat);
    const answer: WireAnswer = {
      id: `chatcmpl-sim-${this.#requests}`,
      model: chat.model,
      createdEpochS: Math.floor(Date.now() / 1000),
      choices,
      inputTokens,
      outputTokens,
    };
    const tempo = this.#tempo(chat, callNumber);
    const fault = this.faults.get(chat.model);
    if (fault !== undefined && (await playFault(fault, { response, request: chat, answer, tempo }))) return;
    if (chat.stream) {
      if (await sendChunks(chunksOf(answer, chat), response, tempo)) response.end(SSE_DONE);
    } else if (await waitFor(response, totalMs(tempo, outputTokens))) {
      writeJson(response, 200, completionOf(answer));
    }
  }

  #tempo(chat: ChatRequest, callNumber: number): Tempo {
    const { speed = 1, seed = 1 } = this.options;
    const profile = profileFor(chat.model);
    const random = seededRandom(hashText(`${seed} ${chat.model} ${callNumber}`));
    let hasSpoken = false;
    return () => {
      const ms = hasSpoken ? drawTokenMs(profile, random) : drawTtftMs(profile, random);
      hasSpoken = true;
      return ms * speed;
    };
  }

  #answerList(path: string, response: ServerResponse): void {
    const present = this.options.models.filter((model) => this.faults.get(model)?.kind !== 'not_found');
    if (path === '/v1/models') return writeJson(response, 200, modelListOf(present, this.#startedEpochS));
    if (!path.startsWith('/v1/models/')) return refuse(response, 404, unknownUrl('GET', path));
    const name = decodeURIComponent(path.slice('/v1/models/'.length));
    if (!present.includes(name)) return refuse(response, 404, unknownModel(name));
    writeJson(response, 200, modelObject(name, this.#startedEpochS));
  }

  #mustKnow(model: string): void {
    if (this.#callsByModel.has(model)) return;
    throw new RangeError(`"${model}" is no simulated model; there are: ${this.options.models.join(', ')}`);
  }
}

/** A fault of this server's own: it says so, as far as the answer has not begun. */
function fail(response: ServerResponse, error: unknown): void {
  if (response.headersSent) response.destroy();
  else refuse(response, 500, { message: String(error), type: 'server_error', code: null, param: null });
}

function refuse(response: ServerResponse, status: number, error: WireError): void {
  writeJson(response, status, errorBodyOf(error));
}

function unknownModel(model: string): WireError {
  return {
    message: `The model \`${model}\` does not exist or you do not have access to it.`,
    type: 'invalid_request_error',
    code: 'model_not_found',
    param: null,
  };
}

function unknownUrl(method: string | undefined, path: string): WireError {
  return { message: `Invalid URL (${method} ${path})`, type: 'invalid_request_error', code: null, param: null };
}

function notAllowed(method: string | undefined): WireError {
  return {
    message: `Not allowed to ${method} on /v1/chat/completions`,
    type: 'invalid_request_error',
    code: 'method_not_allowed',
    param: null,
  };
}

const TOO_LARGE: WireError = {
  message: 'The body is too large.',
  type: 'invalid_request_error',
  code: null,
  param: null,
};
