/**
 * A model server for tests: a real server on loopback that does with each call what a script says, and remembers what
 * it was asked. The test of an importing app puts its address where the provider's would stand.
 *
 * Knows neither Nest nor a test runner.
 */
import { createServer } from 'node:http';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { asObject, parseJsonObject } from './json-value.js';
import type { JsonObject } from './json-value.js';
import { listenOnLoopback, readBody, writeJson } from './loopback-server.js';
import { playReply } from './play-reply.js';
import { reply } from './scripted-reply.js';
import type { Reply } from './scripted-reply.js';

/** One reply for every call; a list, one for each call, of which the last is repeated; or a function that decides. */
export type Script = Reply | readonly Reply[] | ((call: ScriptedCall) => Reply | Promise<Reply>);

export interface ScriptedModelOptions {
  /** What `GET …/models` is answered, where availability is checked. Default: 404, a provider without that route. */
  readonly list?: Script;
  readonly host?: string;
  /** Default: a free one. */
  readonly port?: number;
}

/** One request that came in. */
export interface ScriptedCall {
  /** Counts from 1. */
  readonly number: number;
  readonly method: string;
  readonly path: string;
  /** Lower-case names. */
  readonly headers: IncomingHttpHeaders;
  /** The JSON object that was sent; empty where the body held none. */
  readonly body: JsonObject;
  readonly bodyText: string;
  /** The `model` of the body; empty where there was none. */
  readonly model: string;
  readonly isStreaming: boolean;
  /** On the clock of `performance.now()`. */
  readonly receivedAtMs: number;
  /** How it ended; `undefined` while it is under way. */
  readonly end: CallEnd | undefined;
  /** Resolves when it has ended. */
  readonly ended: Promise<CallEnd>;
}

export interface CallEnd {
  /** `played`: all that was scripted was sent, a scripted break included; `left`: the client went away before that. */
  readonly how: 'played' | 'left';
  /** On the clock of `performance.now()`. */
  readonly atMs: number;
}

export interface ScriptedModel extends AsyncDisposable {
  /** `http://127.0.0.1:PORT/v1` */
  readonly baseUrl: string;
  /** Every call that asked for an answer (POST), in order of arrival. */
  readonly calls: readonly ScriptedCall[];
  /** Every `GET`: availability checks, which the script does not see. */
  readonly polls: readonly ScriptedCall[];
  /** Another script, from the next call on. */
  use(script: Script): void;
  /** The call of that number (default: the next one), as soon as it is there. Rejects where the server is closed before. */
  waitForCall(number?: number): Promise<ScriptedCall>;
  /** Ends every connection and leaves no handle open. Idempotent. */
  close(): Promise<void>;
}

/**
 * ```ts
 * await using gpt4 = await startScriptedModel([reply.error(503), 'Hello again']);
 * // … point a provider at gpt4.baseUrl, ask …
 * expect(gpt4.calls).toHaveLength(2);
 * ```
 */
export async function startScriptedModel(script: Script, options: ScriptedModelOptions = {}): Promise<ScriptedModel> {
  const calls: RecordedCall[] = [];
  const polls: RecordedCall[] = [];
  const waiting = new Waiting();
  let player = scriptPlayer(script);
  const listPlayer = scriptPlayer(options.list ?? reply.error(404, { type: 'invalid_request_error' }));

  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => failLoudly(response, error));
  });
  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = (await readBody(request)) ?? Buffer.alloc(0);
    const isPoll = request.method === 'GET';
    const list = isPoll ? polls : calls;
    const call = new RecordedCall(list.length + 1, request, body);
    list.push(call);
    call.watch(response);
    if (!isPoll) waiting.tell(calls);
    await playReply(await (isPoll ? listPlayer : player)(call), {
      response,
      number: call.number,
      model: call.model,
      isStreaming: call.isStreaming,
      includeUsage: asObject(call.body['stream_options'])['include_usage'] === true,
    });
    call.hasPlayed = true;
  }

  const { origin, close: closeServer } = await listenOnLoopback(server, options.host, options.port);
  async function close() {
    waiting.giveUp();
    await closeServer();
  }
  return {
    baseUrl: `${origin}/v1`,
    calls,
    polls,
    use(next) {
      player = scriptPlayer(next);
    },
    waitForCall: (number = calls.length + 1) => waiting.for(number, calls),
    close,
    [Symbol.asyncDispose]: close,
  };
}

type ScriptPlayer = (call: ScriptedCall) => Reply | Promise<Reply>;

function scriptPlayer(script: Script): ScriptPlayer {
  if (typeof script === 'function') return script;
  if (!isReplyList(script)) return () => script;
  if (script.length === 0) throw new RangeError('a script needs at least one reply');
  let next = 0;
  return () => script[Math.min(next++, script.length - 1)] ?? '';
}

function isReplyList(script: Reply | readonly Reply[]): script is readonly Reply[] {
  return Array.isArray(script);
}

class RecordedCall implements ScriptedCall {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: JsonObject;
  readonly bodyText: string;
  readonly model: string;
  readonly isStreaming: boolean;
  readonly receivedAtMs = performance.now();
  readonly ended: Promise<CallEnd>;
  end: CallEnd | undefined;
  hasPlayed = false;
  readonly #resolveEnded: (end: CallEnd) => void;

  constructor(
    readonly number: number,
    request: IncomingMessage,
    body: Buffer,
  ) {
    this.method = request.method ?? '';
    this.path = request.url ?? '';
    this.headers = request.headers;
    this.bodyText = body.toString();
    this.body = parseJsonObject(body) ?? {};
    this.model = typeof this.body['model'] === 'string' ? this.body['model'] : '';
    this.isStreaming = this.body['stream'] === true;
    const { promise, resolve } = Promise.withResolvers<CallEnd>();
    this.ended = promise;
    this.#resolveEnded = resolve;
  }

  watch(response: ServerResponse): void {
    // 'finish' comes before the keep-alive socket is anyone else's, 'close' is all that is left of a broken one.
    response.once('finish', () => this.#finish('played'));
    response.once('close', () => this.#finish(this.hasPlayed || response.writableFinished ? 'played' : 'left'));
  }

  #finish(how: CallEnd['how']): void {
    if (this.end !== undefined) return;
    this.end = { how, atMs: performance.now() };
    this.#resolveEnded(this.end);
  }
}

/** Those who wait for a call that has not come yet. */
class Waiting {
  readonly #waiters: {
    readonly number: number;
    readonly resolve: (call: ScriptedCall) => void;
    readonly reject: (error: Error) => void;
  }[] = [];

  for(number: number, calls: readonly ScriptedCall[]): Promise<ScriptedCall> {
    const { promise, resolve, reject } = Promise.withResolvers<ScriptedCall>();
    // A test that has ended awaits nothing any more; its wait must not fail the next one.
    promise.catch(() => undefined);
    this.#waiters.push({ number, resolve, reject });
    this.tell(calls);
    return promise;
  }

  tell(calls: readonly ScriptedCall[]): void {
    for (const { number, resolve } of this.#waiters) {
      const call = calls[number - 1];
      if (call !== undefined) resolve(call);
    }
  }

  giveUp(): void {
    for (const { number, reject } of this.#waiters)
      reject(new Error(`the scripted model was closed before call ${number} came`));
  }
}

/** A script that throws is a fault of the test: whoever reads the answer must see it. */
function failLoudly(response: ServerResponse, error: unknown): void {
  if (response.headersSent || response.destroyed) response.destroy();
  else
    writeJson(response, 500, {
      error: {
        message: `the script of the model failed: ${String(error)}`,
        type: 'script_error',
        code: null,
        param: null,
      },
    });
}
