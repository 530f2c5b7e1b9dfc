import { Controller, Inject, Post, Req, Res, VERSION_NEUTRAL } from '@nestjs/common';
import { bodyFromBytes, bodyFromParams } from '../chain/chat-body.js';
import { Engine } from '../chain/engine.js';
import { MAX_LISTED_MODELS, type Route } from '../chain/routes.js';
import { readCallHeaders } from './call-headers.js';
import { type Exchange, type HostReply, type HostRequest, openExchange } from './exchange.js';
import { BadRequestError } from './http-error.js';
import { cancelWhenLeft, sendError, StreamedReply, WholeReply } from './replies.js';
import { readJsonObject } from './request-body.js';

/** OpenAI's Chat Completions: what we do not know passes through, both ways. */
@Controller({ path: 'v1/chat/completions', version: VERSION_NEUTRAL })
export class ChatCompletionsController {
  readonly #engine: Engine;

  constructor(@Inject(Engine) engine: Engine) {
    this.#engine = engine;
  }

  @Post()
  async create(@Req() request: HostRequest, @Res() reply: HostReply): Promise<void> {
    const exchange = openExchange(request, reply);
    try {
      await this.#answer(exchange);
    } catch (error) {
      sendError(exchange, error);
    }
  }

  async #answer(exchange: Exchange): Promise<void> {
    const { settings } = this.#engine;
    const rules = readCallHeaders(exchange.headers, settings);
    const { bytes, json } = await readJsonObject(exchange);
    const route = routeOf(json);
    const body = bytes ? bodyFromBytes(bytes, json) : bodyFromParams(json);
    const context = { exchange, chainName: route.model ?? 'default', simulated: settings.simulated };
    const call = { requestId: exchange.requestId, route, body, ...rules };
    if (body.streaming) {
      const sink = new StreamedReply(context);
      const running = this.#engine.startChat(call, sink);
      sink.attach(running);
      cancelWhenLeft(exchange, running);
    } else {
      cancelWhenLeft(exchange, this.#engine.startChat(call, new WholeReply(context)));
    }
  }
}

/** @throws BadRequestError for what no upstream could answer. */
function routeOf(json: Readonly<Record<string, unknown>>): Route {
  const { model, models, messages, stream } = json;
  if (!Array.isArray(messages) || messages.length === 0) {
    throw new BadRequestError('messages: expected a list of at least one message.', 'messages');
  }
  if (stream !== undefined && stream !== null && typeof stream !== 'boolean') {
    throw new BadRequestError('stream: expected true or false.', 'stream');
  }
  if (model !== undefined && typeof model !== 'string') {
    throw new BadRequestError('model: expected the name of a chain or a model.', 'model');
  }
  if (models !== undefined && !isListOfNames(models)) {
    throw new BadRequestError(`models: expected a list of 1 to ${MAX_LISTED_MODELS} names of models.`, 'models');
  }
  return { ...(model !== undefined && { model }), ...(models !== undefined && { models }) };
}

function isListOfNames(value: unknown): value is string[] {
  const isList = Array.isArray(value) && value.length > 0 && value.length <= MAX_LISTED_MODELS;
  return isList && value.every((name) => typeof name === 'string');
}
