import { type DynamicModule, Global, Module } from '@nestjs/common';
import { ConfigModule } from '@nestjs/config';
import { LoggerModule } from 'nestjs-pino';
import pino, { type DestinationStream } from 'pino';
import { FallbackModule } from '../fallback.module.js';
import { EventLogOptions } from '../telemetry/event-log.js';
import type { GatewayConfiguration } from './gateway-configuration.js';

/** The standalone app: imports the module as any host would. */
@Module({})
export class AppModule {
  static forRoot({ gateway, options }: GatewayConfiguration, log: DestinationStream): DynamicModule {
    const logger = pino({ level: gateway.logLevel, base: null }, log);
    return {
      module: AppModule,
      imports: [
        ConfigModule.forRoot({ ignoreEnvFile: true }),
        // No route: the event log writes a line per request, with what only it knows.
        LoggerModule.forRoot({ pinoHttp: { logger }, forRoutes: [] }),
        EventLogOptionsModule.forRoot({
          successLevel: 'info',
          secrets: gateway.secrets,
          sink: logger.child({ context: 'Fallback' }),
        }),
        FallbackModule.forRoot({ ...options, controllers: true }),
      ],
    };
  }
}

/** How the module's own log is to be written: what only the host can say of it. */
@Global()
@Module({})
class EventLogOptionsModule {
  static forRoot(options: EventLogOptions): DynamicModule {
    const provider = { provide: EventLogOptions, useValue: options };
    return { module: EventLogOptionsModule, providers: [provider], exports: [provider] };
  }
}
