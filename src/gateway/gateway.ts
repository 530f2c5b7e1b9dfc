/**
 * The running gateway: a Nest app on Fastify, its drain and its reload. Knows nothing of the process it runs in:
 * signals, exit codes and what is printed are `serve.ts`'s.
 */
import type { AddressInfo } from 'node:net';
import { type INestApplication, Logger as NestLogger } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { FastifyAdapter, NestFastifyApplication } from '@nestjs/platform-fastify';
import { Logger } from 'nestjs-pino';
import { Engine } from '../chain/engine.js';
import { Readiness } from '../health/readiness.js';
import { SimulatedHost } from '../simulation/simulated-host.js';
import { hostLogSink } from '../telemetry/host-log-sink.js';
import type { LogSink } from '../telemetry/log-sink.js';
import type { LogStreams } from '../telemetry/pino-file.js';
import { AppModule } from './app.module.js';
import { Callers } from './callers.js';
import { ConfigReload } from './config-reload.js';
import { Drain, type DrainLimits } from './drain.js';
import { ErrorFilter } from './error-filter.js';
import { FileWatch } from './file-watch.js';
import { type GatewayConfiguration, readVariable } from './gateway-configuration.js';
import { createHttpServer } from './http-server.js';

export interface Gateway {
  /** `http://127.0.0.1:3000` */
  readonly url: string;
  readonly log: LogSink;
  /** Never rejects; what is wrong is in the log. */
  reload(why: string): Promise<void>;
  /**
   * Leaves without losing a request, as far as the grace goes.
   * @param quietMs how long nobody must have come before the listener closes.
   */
  stop(quietMs: number): Promise<void>;
}

/** After the grace: for the error events to reach those who still read. */
const LAST_WORDS_MS = 1_000;
const CLOSE_AGAIN_MS = 100;

/** Rejects where the port cannot be taken. */
export async function startGateway(configuration: GatewayConfiguration, streams: LogStreams): Promise<Gateway> {
  const { gateway, options, settings } = configuration;
  const drain = new Drain();
  const adapter = createHttpServer({ callers: new Callers(gateway), drain });
  const app = await createApp(configuration, streams, adapter);
  const log = hostLogSink(new NestLogger('Gateway'));
  const engine = app.get(Engine, { strict: false });
  const simulated = app.get(SimulatedHost, { strict: false });
  const configReload = new ConfigReload({ engine, simulated, options, readVariable, log });
  const reload = async (why: string) => void (await configReload.reload(why));
  const { configFile } = settings;
  const watch = configFile === undefined ? undefined : new FileWatch(configFile, () => void reload('file changed'));
  await watch?.start();
  try {
    await app.listen(gateway.port, gateway.host);
  } catch (error) {
    watch?.stop();
    await app.close();
    throw error;
  }
  return {
    url: urlOf(app.getHttpServer().address()),
    log,
    reload,
    stop: async (quietMs) => {
      await finishWhatIsUnderWay(app, { drain, log, quietMs, graceMs: gateway.shutdownGraceMs });
      watch?.stop();
      await closeApp(app);
    },
  };
}

async function createApp(
  configuration: GatewayConfiguration,
  streams: LogStreams,
  adapter: FastifyAdapter,
): Promise<NestFastifyApplication> {
  const app = await NestFactory.create<NestFastifyApplication>(
    AppModule.forRoot(configuration, streams.stream),
    adapter,
    // Which module and which route was set up is nobody's news.
    { bodyParser: false, abortOnError: false, logger: ['warn', 'error', 'fatal'] },
  );
  app.useGlobalFilters(new ErrorFilter());
  await app.init();
  app.useLogger(app.get(Logger));
  return app;
}

interface Leaving extends DrainLimits {
  readonly drain: Drain;
  readonly log: LogSink;
}

async function finishWhatIsUnderWay(app: INestApplication, leaving: Leaving): Promise<void> {
  const { drain, log, quietMs, graceMs } = leaving;
  log.info({ under_way: drain.underWay }, 'Draining: not ready any more, requests under way are finished');
  app.get(Readiness, { strict: false }).drain();
  if (await drain.untilQuiet({ quietMs, graceMs })) return;
  log.warn({ under_way: drain.underWay }, `Not all requests finished within ${graceMs} ms: they are ended`);
  app.get(Engine, { strict: false }).shutDown();
  await drain.untilQuiet({ quietMs: 0, graceMs: LAST_WORDS_MS });
}

/** Connections that carry nothing, or nothing any more, do not keep it. */
async function closeApp(app: NestFastifyApplication): Promise<void> {
  const closeConnections = setInterval(() => app.getHttpServer().closeAllConnections(), CLOSE_AGAIN_MS);
  await app.close();
  clearInterval(closeConnections);
}

function urlOf(address: AddressInfo | string | null): string {
  if (address === null || typeof address === 'string') throw new Error('the gateway listens on no port');
  return `http://${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}`;
}
