import { Controller, Get, Inject, Req, Res, VERSION_NEUTRAL } from '@nestjs/common';
import { ModelManagerService } from '../fallback/model-manager.service.js';
import { type HostReply, type HostRequest, openExchange } from './exchange.js';
import { sendError, sendJson } from './replies.js';

/** Whoever keeps the metrics gives their Prometheus text. */
export interface MetricsText {
  readonly contentType: string;
  render(): Promise<string>;
}
export const MetricsText = Symbol('MetricsText');

@Controller({ path: 'metrics', version: VERSION_NEUTRAL })
export class MetricsController {
  readonly #text: MetricsText;
  readonly #models: ModelManagerService;

  constructor(@Inject(MetricsText) text: MetricsText, @Inject(ModelManagerService) models: ModelManagerService) {
    this.#text = text;
    this.#models = models;
  }

  @Get()
  async prometheus(@Req() request: HostRequest, @Res() reply: HostReply): Promise<void> {
    const exchange = openExchange(request, reply);
    try {
      const text = await this.#text.render();
      exchange.response.writeHead(200, { 'content-type': this.#text.contentType }).end(text);
    } catch (error) {
      sendError(exchange, error);
    }
  }

  @Get('models')
  perModel(@Req() request: HostRequest, @Res() reply: HostReply): void {
    const exchange = openExchange(request, reply);
    sendJson(exchange, 200, this.#models.getMetrics(), { 'x-request-id': exchange.requestId });
  }
}
