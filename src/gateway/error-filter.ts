/** Whatever is thrown on the way to a route or in one of another's: OpenAI's error shape, and nothing of our inside. */
import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException, Logger } from '@nestjs/common';
import type { HostReply, HostRequest } from '../http/exchange.js';
import { blotSecrets } from '../upstream/blot.js';
import { refusalOf, refuse } from './http-server.js';

@Catch()
export class ErrorFilter implements ExceptionFilter {
  readonly #logger = new Logger('Gateway');

  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const request = http.getRequest<HostRequest & { readonly method: string; readonly url: string }>();
    const reply = http.getResponse<HostReply>();
    const status = statusOf(error);
    if (status >= 400 && status < 500) {
      const target = status === 404 ? `${request.method} ${pathShown(request.url)}` : '';
      refuse(request, reply, refusalOf(status, target));
      return;
    }
    this.#logger.error({ err: error, method: request.method }, 'a request failed inside the gateway');
    refuse(request, reply, error);
  }
}

function statusOf(error: unknown): number {
  if (error instanceof HttpException) return error.getStatus();
  if (typeof error !== 'object' || error === null || !('statusCode' in error)) return 500;
  return typeof error.statusCode === 'number' ? error.statusCode : 500;
}

/** Without its query, which may hold anything, and without what is shaped like a key. */
function pathShown(url: string): string {
  return blotSecrets(url.split('?')[0] ?? '').slice(0, 128);
}
