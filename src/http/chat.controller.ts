import { Controller, Delete, Inject, Post, Req, Res, VERSION_NEUTRAL } from '@nestjs/common';
import { FallbackError } from '../chain/errors.js';
import { Engine } from '../chain/engine.js';
import { didYouMean } from '../config/nearest.js';
import { ChatDesk, type DeskOptions } from '../fallback/chat-desk.js';
import { answerHeaders, readCallHeaders } from './call-headers.js';
import { type Exchange, type HostReply, type HostRequest, openExchange } from './exchange.js';
import { BadRequestError, quoted } from './http-error.js';
import { sendError } from './replies.js';
import { readJsonObject } from './request-body.js';
import { replyWithStream, replyWhole } from './chat-replies.js';

const MAX_USER_ID_LENGTH = 256;

/** A chat in our own words: a message, a user, an answer. */
@Controller({ path: 'chat', version: VERSION_NEUTRAL })
export class ChatController {
  readonly #desk: ChatDesk;
  readonly #engine: Engine;

  constructor(@Inject(ChatDesk) desk: ChatDesk, @Inject(Engine) engine: Engine) {
    this.#desk = desk;
    this.#engine = engine;
  }

  @Post()
  async chat(@Req() request: HostRequest, @Res() reply: HostReply): Promise<void> {
    const exchange = openExchange(request, reply);
    const left = new AbortController();
    exchange.response.once('close', () => left.abort());
    try {
      const rules = readCallHeaders(exchange.headers, this.#engine.settings);
      const { json } = await readJsonObject(exchange);
      const body = readChatBody(json);
      const { owner, requestId } = exchange;
      const options = { ...rules, ...body.options, owner, requestId, signal: left.signal };
      if (rules.fallback === false) options.fallback = false;
      const context = { exchange, simulated: this.#engine.settings.simulated, left: left.signal };
      if (body.stream) {
        await replyWithStream(context, (onCommit) => this.#desk.stream(body.message, { ...options, onCommit }));
      } else replyWhole(context, await this.#desk.chat(body.message, options));
    } catch (error) {
      if (!left.signal.aborted) sendError(exchange, error, this.#headersOf(exchange, error));
    }
  }

  @Delete(':userId')
  async forget(@Req() request: HostRequest, @Res() reply: HostReply): Promise<void> {
    const exchange = openExchange(request, reply);
    try {
      const { userId } = request.params as { userId: string };
      await this.#desk.memory.forget(exchange.owner, readUserId(userId));
      exchange.response.writeHead(204, { 'x-request-id': exchange.requestId }).end();
    } catch (error) {
      sendError(exchange, error);
    }
  }

  #headersOf(exchange: Exchange, error: unknown): Record<string, string> {
    const attempts = FallbackError.isInstance(error) ? error.attempts : [];
    const first = attempts[0]?.model;
    const soFar = { attempts, fallbackUsed: attempts.some((attempt) => attempt.model !== first) };
    return answerHeaders(exchange.requestId, soFar, this.#engine.settings.simulated);
  }
}

interface ChatRequest {
  readonly message: string;
  readonly stream: boolean;
  readonly options: Pick<DeskOptions, 'userId' | 'fallback' | 'chain' | 'system'>;
}

const KEYS = ['message', 'userId', 'user_id', 'fallback', 'chain', 'system', 'stream'] as const;

/** @throws BadRequestError that names the key and what is allowed. */
function readChatBody(json: Readonly<Record<string, unknown>>): ChatRequest {
  for (const key of Object.keys(json)) {
    if ((KEYS as readonly string[]).includes(key)) continue;
    const shown = quoted(key);
    throw new BadRequestError(`${shown}: no such key${didYouMean(key, KEYS)}`, shown);
  }
  const message = readOptional(json, 'message', 'string');
  if (message === undefined || message === '') throw new BadRequestError('message: expected a text.', 'message');
  const named = readOptional(json, 'userId', 'string') ?? readOptional(json, 'user_id', 'string');
  const fallback = readOptional(json, 'fallback', 'boolean');
  const chain = readOptional(json, 'chain', 'string');
  const system = readOptional(json, 'system', 'string');
  return {
    message,
    stream: readOptional(json, 'stream', 'boolean') ?? false,
    options: {
      ...(named !== undefined && { userId: readUserId(named) }),
      ...(fallback !== undefined && { fallback }),
      ...(chain !== undefined && { chain }),
      ...(system !== undefined && { system }),
    },
  };
}

interface Kinds {
  string: string;
  boolean: boolean;
}

const KIND_WORDS = { string: 'a text', boolean: 'true or false' } as const;

function readOptional<K extends keyof Kinds>(
  json: Readonly<Record<string, unknown>>,
  key: (typeof KEYS)[number],
  kind: K,
): Kinds[K] | undefined {
  const value = json[key];
  if (value === undefined || value === null) return undefined;
  if (typeof value === kind) return value as Kinds[K];
  throw new BadRequestError(`${key}: expected ${KIND_WORDS[kind]}.`, key);
}

function readUserId(userId: string): string {
  if (userId.length > 0 && userId.length <= MAX_USER_ID_LENGTH) return userId;
  throw new BadRequestError(`userId: expected 1 to ${MAX_USER_ID_LENGTH} characters.`, 'userId');
}
