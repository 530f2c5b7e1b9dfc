/**
 * Lets a closing server close: it waits for every connection, and one that was kept alive after its last answer would
 * hold the host's `close()` for seconds (with Fastify's defaults for more than a minute).
 */
import {
  type BeforeApplicationShutdown,
  Inject,
  Injectable,
  type OnApplicationShutdown,
  Optional,
} from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { Server } from 'node:http';

/** Nobody notices a close() that takes so much longer. */
const LOOK_EVERY_MS = 50;

@Injectable()
export class IdleConnections implements BeforeApplicationShutdown, OnApplicationShutdown {
  readonly #host: HttpAdapterHost | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(@Optional() @Inject(HttpAdapterHost) host?: HttpAdapterHost) {
    this.#host = host;
  }

  /** Next, the host's server is closed; those that are idle by then are ended by Node itself. */
  beforeApplicationShutdown(): void {
    const server: unknown = this.#host?.httpAdapter?.getHttpServer();
    if (!isServer(server)) return;
    this.#timer = setInterval(() => {
      if (!server.listening) server.closeIdleConnections();
    }, LOOK_EVERY_MS).unref();
  }

  onApplicationShutdown(): void {
    clearInterval(this.#timer);
  }
}

/** Over TLS too, and not only of Node's own class. */
function isServer(server: unknown): server is Pick<Server, 'listening' | 'closeIdleConnections'> {
  return typeof server === 'object' && server !== null && 'closeIdleConnections' in server;
}
