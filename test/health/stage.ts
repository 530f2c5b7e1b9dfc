/**
 * The background check in time that the test turns, with real sockets to the models: the engine, what traffic and the
 * check learn, and the timer that the check sleeps by.
 */
import { ChainEvents } from '../../src/chain/events.js';
import { Engine } from '../../src/chain/engine.js';
import { ChatDesk } from '../../src/fallback/chat-desk.js';
import { ConversationMemory } from '../../src/fallback/conversation-memory.js';
import { BackgroundCheck } from '../../src/health/background-check.js';
import { FallbackHealthIndicator } from '../../src/health/fallback-health-indicator.js';
import type { IdleTimer } from '../../src/health/idle-timer.js';
import { ModelHealth } from '../../src/health/model-health.js';
import { VirtualClock } from '../../src/simulation/virtual-clock.js';
import { LocalConversations } from '../../src/store/local-conversations.js';
import { HttpUpstream } from '../../src/upstream/http-upstream.js';
import { load } from '../config/given.js';

interface Sleep {
  readonly delayMs: number;
  readonly wakesAtMs: number;
  readonly fire: () => void;
}

export class HealthStage implements AsyncDisposable {
  readonly clock = new VirtualClock();
  readonly engine: Engine;
  readonly health: ModelHealth;
  readonly indicator: FallbackHealthIndicator;
  readonly check: BackgroundCheck;
  readonly #desk: ChatDesk;
  #sleep: Sleep | undefined;
  #onSleep: (() => void) | undefined;

  constructor(options: object) {
    const { clock } = this;
    const upstream = new HttpUpstream(clock);
    const settings = load({ options });
    this.engine = new Engine({ settings, upstream, events: new ChainEvents(), clock, random: () => 0 });
    this.health = new ModelHealth(this.engine);
    this.indicator = new FallbackHealthIndicator(this.health);
    const timer: IdleTimer = (delayMs, fire) => this.#fallAsleep(delayMs, fire);
    this.check = new BackgroundCheck(this.engine, this.health, timer);
    this.#desk = new ChatDesk(this.engine, new ConversationMemory(new LocalConversations(), () => undefined));
  }

  reload(options: object): void {
    this.engine.useSettings(load({ options }));
  }

  /** How long the check sleeps; undefined: it does not. */
  get sleepMs(): number | undefined {
    return this.#sleep?.delayMs;
  }

  /** Lets so much time pass; the check wakes as often as it wants, and all that it does then is waited for. */
  async pass(ms: number): Promise<void> {
    const untilMs = this.clock.nowMs() + ms;
    for (let sleep = this.#sleep; sleep && sleep.wakesAtMs <= untilMs; sleep = this.#sleep) await this.wake();
    this.clock.advance(Math.max(0, untilMs - this.clock.nowMs()));
  }

  /** Its sleep is over. Resolves when it sleeps again. */
  async wake(): Promise<void> {
    const asleep = new Promise<void>((resolve) => {
      this.#onSleep = resolve;
    });
    const sleep = this.#sleep;
    this.clock.advance(Math.max(0, (sleep?.wakesAtMs ?? 0) - this.clock.nowMs()));
    sleep?.fire();
    await asleep;
  }

  /** One request of a caller, to this model alone. @returns its class. */
  async ask(model: string): Promise<string> {
    this.clock.advance(1);
    try {
      const { attempts } = await this.#desk.chat('hi', { models: [model], fallback: false });
      return attempts.at(-1)?.class ?? 'none';
    } catch (error) {
      return error instanceof Error && 'attempts' in error ? JSON.stringify(error.attempts) : String(error);
    }
  }

  states(): Record<string, string> {
    return Object.fromEntries(this.health.models().map(({ model, state }) => [model, state]));
  }

  isUp(chain = 'default'): boolean {
    return this.health.chain(chain).status === 'up';
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.check.onModuleDestroy();
    await this.engine.close();
  }

  #fallAsleep(delayMs: number, fire: () => void): () => void {
    const sleep = { delayMs, wakesAtMs: this.clock.nowMs() + delayMs, fire };
    this.#sleep = sleep;
    this.#onSleep?.();
    return () => {
      if (this.#sleep === sleep) this.#sleep = undefined;
    };
  }
}
