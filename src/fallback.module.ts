/**
 * What a host imports: puts the rooms together and decides nothing. The host gets the services; routes, timers and
 * files only where it asks for them.
 */
import {
  type DynamicModule,
  type FactoryProvider,
  Inject,
  Injectable,
  Module,
  type ModuleMetadata,
  type OnApplicationShutdown,
  type Provider,
  type Type,
} from '@nestjs/common';
import { ConfigModule, type ConfigService } from '@nestjs/config';
import { systemClock } from './chain/clock.js';
import { Engine } from './chain/engine.js';
import { ChainEvents } from './chain/events.js';
import { FallbackConfigError } from './config/config-error.js';
import { loadSettings } from './config/load-settings.js';
import type { FallbackOptions } from './config/options.js';
import type { Settings } from './config/settings.js';
import { ChatDesk } from './fallback/chat-desk.js';
import { ConversationMemory } from './fallback/conversation-memory.js';
import { chainNamed, chainNames, getFallbackChainToken } from './fallback/fallback-chain.js';
import { FallbackChainService } from './fallback/fallback-chain.service.js';
import { FallbackEvents } from './fallback/fallback-events.js';
import { HostConfiguration, hostConfiguration } from './fallback/host-configuration.js';
import { ModelManagerService } from './fallback/model-manager.service.js';
import { FALLBACK_OPTIONS, SETTINGS } from './fallback/tokens.js';
import { FallbackHealthIndicator } from './health/fallback-health-indicator.js';
import { healthProviders, healthRouteProviders } from './health/health-providers.js';
import { healthControllers } from './health/health.controller.js';
import { Readiness } from './health/readiness.js';
import { ChatCompletionsController } from './http/chat-completions.controller.js';
import { ChatController } from './http/chat.controller.js';
import { IdleConnections } from './http/idle-connections.js';
import { MetricsController, MetricsText } from './http/metrics.controller.js';
import { ModelsController } from './http/models.controller.js';
import { mountedAt } from './http/mounted.js';
import { SimulatedHost } from './simulation/simulated-host.js';
import { ConversationStore } from './store/conversation-store.js';
import { LocalConversations } from './store/local-conversations.js';
import { EventLog, EventLogOptions } from './telemetry/event-log.js';
import { hostLogSink } from './telemetry/host-log-sink.js';
import { Metrics } from './telemetry/metrics.js';
import { createPrometheus, type Prometheus } from './telemetry/prometheus.js';
import { HttpUpstream } from './upstream/http-upstream.js';

export type RouteGroup = 'chat' | 'openai' | 'metrics' | 'health';

/** Fixed at definition time, so they stand beside a factory, never in its result. */
export interface FallbackExtras {
  isGlobal?: boolean;
  /** Which routes the host gets; default: none. */
  controllers?: boolean | readonly RouteGroup[];
  /** Before every route of ours. */
  path?: string;
  /** A class of the host's, built by Nest with what `imports` gives; default: kept in process. */
  conversationStore?: Type<ConversationStore>;
}

export interface FallbackOptionsFactory {
  createFallbackOptions(): FallbackOptions | Promise<FallbackOptions>;
}

export interface FallbackAsyncOptions extends FallbackExtras, Pick<ModuleMetadata, 'imports'> {
  useFactory?: (...args: never[]) => FallbackOptions | Promise<FallbackOptions>;
  inject?: FactoryProvider['inject'];
  useClass?: Type<FallbackOptionsFactory>;
  useExisting?: Type<FallbackOptionsFactory>;
}

const ROUTE_GROUPS: readonly RouteGroup[] = ['chat', 'openai', 'metrics', 'health'];
const EXTRAS = ['isGlobal', 'controllers', 'path', 'conversationStore'] as const satisfies (keyof FallbackExtras)[];
const PROMETHEUS = Symbol('nestjs-llm-fallback.prometheus');

@Module({})
export class FallbackModule {
  /** Reads the host's configuration; options win over it. @throws FallbackConfigError when the app is compiled. */
  static forRoot(options: FallbackOptions & FallbackExtras = {}): DynamicModule {
    const given = Object.fromEntries(Object.entries(options).filter(([key]) => !(EXTRAS as string[]).includes(key)));
    const provideOptions: Provider = { provide: FALLBACK_OPTIONS, useValue: given };
    return define(options, [provideOptions], [], Object.keys(options.chains ?? {}));
  }

  /** The same with options that are made when the app is compiled. */
  static forRootAsync(options: FallbackAsyncOptions): DynamicModule {
    return define(options, optionsProviders(options), options.imports ?? [], []);
  }
}

function optionsProviders(options: FallbackAsyncOptions): Provider[] {
  const { useFactory, inject, useClass, useExisting } = options;
  if (useFactory) {
    // What the host's factory looks up in its configuration is there by then.
    const make = async (_: ConfigService, ...args: never[]) => givenBy(await useFactory(...args));
    return [{ provide: FALLBACK_OPTIONS, useFactory: make, inject: [HostConfiguration, ...(inject ?? [])] }];
  }
  const factory = useExisting ?? useClass;
  if (!factory) throw new TypeError('FallbackModule.forRootAsync: expected useFactory, useClass or useExisting');
  const create: Provider = {
    provide: FALLBACK_OPTIONS,
    useFactory: async (_: ConfigService, made: FallbackOptionsFactory) => givenBy(await made.createFallbackOptions()),
    inject: [HostConfiguration, factory],
  };
  return useExisting ? [create] : [factory, create];
}

/** A factory that gives nothing has forgotten to: unlike `forRoot()`, which has nothing to say. */
function givenBy(made: FallbackOptions | undefined): FallbackOptions {
  if (made !== undefined && made !== null) return made;
  throw new FallbackConfigError([`options=${String(made)}: expected an object, made by the factory of forRootAsync`]);
}

function define(
  extras: FallbackExtras,
  options: Provider[],
  imports: NonNullable<ModuleMetadata['imports']>,
  declaredChains: readonly string[],
): DynamicModule {
  const { controllers = false, path = '', isGlobal = false, conversationStore } = extras;
  const asked = controllers === true ? ROUTE_GROUPS : controllers === false ? [] : controllers;
  const groups = ROUTE_GROUPS.filter((group) => asked.includes(group));
  const store: Provider = conversationStore
    ? { provide: ConversationStore, useClass: conversationStore }
    : { provide: ConversationStore, useFactory: () => new LocalConversations() };
  return {
    module: FallbackModule,
    global: isGlobal,
    imports: [ConfigModule, ...imports, ...(groups.includes('health') ? [healthChecks()] : [])],
    controllers: controllersOf(groups, path),
    // Read when the app is compiled: by then every `@InjectFallbackChain` of the host has been seen.
    get providers() {
      const chains = chainNames(declaredChains).map(chainProvider);
      return [...checkedGroups(asked), ...options, store, ...CORE, ...chains, ...routeProviders(groups), Shutdown];
    },
    get exports() {
      return [...EXPORTS, ...chainNames(declaredChains).map((name) => getFallbackChainToken(name)), ...INTERNAL];
    },
  };
}

const EXPORTS = [
  FALLBACK_OPTIONS,
  ModelManagerService,
  FallbackChainService,
  FallbackEvents,
  FallbackHealthIndicator,
  ConversationStore,
];

function chainProvider(name: string): FactoryProvider {
  return {
    provide: getFallbackChainToken(name),
    useFactory: (models: ModelManagerService, chain: FallbackChainService) => chainNamed(name, models, chain),
    inject: [ModelManagerService, FallbackChainService],
  };
}

/** Shows at `compile()`, as every fault of the options does. */
function checkedGroups(asked: readonly string[]): Provider[] {
  const unknown = asked.filter((group) => !(ROUTE_GROUPS as readonly string[]).includes(group));
  if (unknown.length === 0) return [];
  const faults = unknown.map((group) => `options.controllers: ${group}: expected any of ${ROUTE_GROUPS.join(', ')}`);
  const fail = (): never => {
    throw new FallbackConfigError(faults);
  };
  return [{ provide: Symbol('nestjs-llm-fallback.faults'), useFactory: fail }];
}

/** For the gateway, which works on the same instance. */
const INTERNAL = [Engine, SimulatedHost, SETTINGS, ChatDesk, Readiness];

const CORE: Provider[] = [
  hostConfiguration,
  {
    provide: SETTINGS,
    inject: [FALLBACK_OPTIONS, HostConfiguration],
    useFactory: (options: FallbackOptions, config: ConfigService): Settings =>
      loadSettings({ options, readVariable: (name) => config.get(name) }),
  },
  SimulatedHost,
  {
    provide: Engine,
    inject: [SETTINGS, SimulatedHost],
    useFactory: async (settings: Settings, simulated: SimulatedHost): Promise<Engine> => {
      return new Engine({
        settings: await simulated.apply(settings),
        upstream: new HttpUpstream(systemClock),
        events: new ChainEvents(),
        clock: systemClock,
        random: Math.random,
      });
    },
  },
  {
    provide: ConversationMemory,
    inject: [ConversationStore, EventLog],
    useFactory: (store: ConversationStore, log: EventLog) =>
      new ConversationMemory(store, (fault) => log.memoryFault(fault)),
  },
  {
    provide: ChatDesk,
    inject: [Engine, ConversationMemory],
    useFactory: (engine: Engine, memory: ConversationMemory) => new ChatDesk(engine, memory),
  },
  ModelManagerService,
  FallbackChainService,
  {
    provide: FallbackEvents,
    inject: [Engine, EventLog],
    useFactory: (engine: Engine, log: EventLog) => new FallbackEvents(engine, (fault) => log.listenerFault(fault)),
  },
  ...healthProviders,
  {
    provide: EventLog,
    inject: [Engine, { token: EventLogOptions, optional: true }],
    useFactory: (engine: Engine, options?: EventLogOptions) =>
      new EventLog(engine, options?.sink ?? hostLogSink(), options),
  },
  {
    provide: Metrics,
    inject: [Engine, { token: PROMETHEUS, optional: true }],
    useFactory: (engine: Engine, prometheus?: Prometheus) => new Metrics(engine, prometheus ? [prometheus.meter] : []),
  },
];

/** Terminus is loaded only for a host that has health routes. */
async function healthChecks(): Promise<DynamicModule> {
  const { HealthChecksModule } = await import('./health/health-checks.module.js');
  return { module: HealthChecksModule };
}

function controllersOf(groups: readonly RouteGroup[], path: string): Type[] {
  const byGroup: Record<RouteGroup, readonly Type[]> = {
    chat: [ChatController],
    openai: [ChatCompletionsController, ModelsController],
    metrics: [MetricsController],
    health: healthControllers,
  };
  return groups.flatMap((group) => byGroup[group].map((controller) => mountedAt(path, controller)));
}

function routeProviders(groups: readonly RouteGroup[]): Provider[] {
  const metrics: Provider[] = [
    { provide: PROMETHEUS, useFactory: createPrometheus },
    { provide: MetricsText, useExisting: PROMETHEUS },
  ];
  return [
    ...(groups.length > 0 ? [IdleConnections] : []),
    ...(groups.includes('metrics') ? metrics : []),
    ...(groups.includes('health') ? healthRouteProviders : []),
  ];
}

/** What is under way runs on until the host's server has closed; then it is aborted and every handle let go. */
@Injectable()
class Shutdown implements OnApplicationShutdown {
  constructor(
    @Inject(Engine) private readonly engine: Engine,
    @Inject(SimulatedHost) private readonly simulated: SimulatedHost,
    @Inject(Metrics) private readonly metrics: Metrics,
  ) {}

  async onApplicationShutdown(): Promise<void> {
    this.metrics.close();
    await this.engine.close();
    await this.simulated.close();
  }
}
