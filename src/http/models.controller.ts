import { Controller, Get, Inject, Req, Res, VERSION_NEUTRAL } from '@nestjs/common';
import { Engine } from '../chain/engine.js';
import { type HostReply, type HostRequest, openExchange } from './exchange.js';
import { sendJson } from './replies.js';

/** What may be asked for by name, in OpenAI's list shape. */
@Controller({ path: 'v1/models', version: VERSION_NEUTRAL })
export class ModelsController {
  readonly #engine: Engine;
  readonly #created = Math.floor(Date.now() / 1_000);

  constructor(@Inject(Engine) engine: Engine) {
    this.#engine = engine;
  }

  @Get()
  list(@Req() request: HostRequest, @Res() reply: HostReply): void {
    const exchange = openExchange(request, reply);
    const { chains, models } = this.#engine.settings;
    const entry = (id: string, ownedBy: string) => ({ id, object: 'model', created: this.#created, owned_by: ownedBy });
    const data = [
      ...[...chains.keys()].map((name) => entry(name, 'chain')),
      ...[...models.values()].map((model) => entry(model.name, model.provider.name)),
    ];
    sendJson(exchange, 200, { object: 'list', data }, { 'x-request-id': exchange.requestId });
  }
}
