/**
 * Plays a script through the running app: a Nest application that listens, callers and upstreams on sockets, every byte
 * as in production. Only time and chance are the test's: time goes on when whatever was sent has been read.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { INestApplication, LoggerService } from '@nestjs/common';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { type Clock, systemClock } from '../../src/chain/clock.js';
import { Engine } from '../../src/chain/engine.js';
import { ChainEvents } from '../../src/chain/events.js';
import type { Settings } from '../../src/config/settings.js';
import { SETTINGS } from '../../src/fallback/tokens.js';
import { FallbackModule } from '../../src/fallback.module.js';
import { asArray, asObject, parseJsonObject } from '../../src/simulation/json-value.js';
import { seededRandom } from '../../src/simulation/latency-profile.js';
import { VirtualClock } from '../../src/simulation/virtual-clock.js';
import type { ContinuationRequest } from '../../src/stream/continuation.js';
import type { AttemptLimits, UpstreamRequest } from '../../src/upstream/upstream.js';
import { askGateway, type CallerView } from '../app/ask-gateway.js';
import { Decisions, describeGot, type Played } from './decisions.js';
import { Expectations } from './expectations.js';
import { optionsAt, outcomeOf, requestName, type Script, type ScriptedRequest } from './script.js';
import type { ArrivedAttempt, Scene, ScriptedStage } from './scripted-stage.js';
import { type AttemptWatch, WatchedEngine, WatchedUpstream } from './watched-engine.js';

/** Time goes on when whatever was sent has been read: what happens is exact, on the busiest machine. */
export async function playInApp(script: Script, stage: ScriptedStage): Promise<Played> {
  const clock = new VirtualClock();
  await using running = await startPlay(script, stage, clock);
  const { play } = running;
  play.letCallersCome(running.url);
  while (await play.isUnderWay()) {
    if (!clock.step()) throw new Error(`${script.name}: nothing is left to wait for, but not all were answered`);
  }
  return play.played;
}

export interface PlayedInRealTime extends Played {
  /** How much the machine was in the way: the most by which something could come later than the script says, ms. */
  readonly latestMs: number;
}

/** Nobody begins in the same moment as another. */
const STAGGER_MS = 47;

/** The same on the real clock, side by side, once every app is up. */
export async function playInRealTime(
  scripts: readonly Script[],
  stage: ScriptedStage,
): Promise<readonly PlayedInRealTime[]> {
  await using apps = new AsyncDisposableStack();
  const plays: { readonly play: AppPlay; readonly url: string; readonly clock: WatchedClock }[] = [];
  for (const script of scripts) {
    const clock = new WatchedClock();
    const running = apps.use(await startPlay(script, stage, clock));
    plays.push({ ...running, clock });
  }
  return await Promise.all(
    plays.map(async ({ play, url, clock }, i) => {
      await pause(i * STAGGER_MS);
      clock.begin();
      play.letCallersCome(url);
      await play.answered;
      await play.isUnderWay();
      // An attempt is sent, its model's timer fires, and what it says is read.
      return { ...play.played, latestMs: clock.latestMs + 2 * play.slowestBytesMs };
    }),
  );
}

interface RunningPlay extends AsyncDisposable {
  readonly play: AppPlay;
  readonly url: string;
}

async function startPlay(script: Script, stage: ScriptedStage, clock: Clock): Promise<RunningPlay> {
  const play = new AppPlay(script, clock);
  const app = await startApp(script, stage.add(play), play);
  await app.listen(0, '127.0.0.1');
  const { port } = app.getHttpServer().address() as { port: number };
  return {
    play,
    url: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      // A client may hold one that it has never used; Node would wait a minute for its first request.
      app.getHttpServer().closeAllConnections();
      await app.close();
    },
  };
}

/** The real clock, from a beginning of its own; it sees how late its timers fire. */
class WatchedClock implements Clock {
  latestMs = 0;
  #beginMs = performance.now();

  begin(): void {
    this.#beginMs = performance.now();
  }

  nowMs(): number {
    return performance.now() - this.#beginMs;
  }

  wallEpochMs(): number {
    return Date.now();
  }

  setTimer(delayMs: number, fire: () => void): () => void {
    const dueAtMs = this.nowMs() + delayMs;
    return systemClock.setTimer(delayMs, () => {
      this.latestMs = Math.max(this.latestMs, this.nowMs() - dueAtMs);
      fire();
    });
  }
}

async function startApp(
  script: Script,
  baseUrlOf: (provider: string) => string,
  play: AppPlay,
): Promise<INestApplication> {
  const options = { ...optionsAt(script, baseUrlOf), controllers: ['openai'] as const };
  const testing = await Test.createTestingModule({ imports: [FallbackModule.forRoot(options)] })
    .overrideProvider(Engine)
    .useFactory({ factory: (settings: Settings) => play.engineOf(settings), inject: [SETTINGS] })
    .setLogger(SILENT)
    .compile();
  return testing.createNestApplication(new FastifyAdapter(), { logger: false });
}

const say = (): void => {};
/** What hundreds of failing requests say is nobody's news. */
const SILENT: LoggerService = { log: say, error: say, warn: say, debug: say, verbose: say };

class AppPlay implements Scene, AttemptWatch {
  readonly clock: Clock;
  readonly decisions: Decisions;
  /** Resolves when every caller has been answered, or has left. */
  readonly answered: Promise<void>;
  readonly #got: string[] = [];
  readonly #script: Script;
  readonly #events = new ChainEvents();
  readonly #expectations = new Expectations();
  readonly #begun = new Map<string, number>();
  readonly #arrived = new Map<string, number>();
  readonly #over = new Set<string>();
  readonly #onAnswered: () => void;
  readonly #numbers = new Map<string, number>();
  #unanswered = 0;

  constructor(script: Script, clock: Clock) {
    this.#script = script;
    this.clock = clock;
    ({ promise: this.answered, resolve: this.#onAnswered } = Promise.withResolvers<void>());
    this.decisions = new Decisions(this.#events, () => clock.nowMs());
    this.#events.on('request.finished', ({ requestId }) => this.#expectations.meet(`${requestId} is over`));
  }

  /** The longest that anything was on its way between two sockets, ms. */
  get slowestBytesMs(): number {
    return this.#expectations.slowestMs;
  }

  get played(): Played {
    return { decisions: this.decisions.list, got: this.#got };
  }

  engineOf(settings: Settings): Engine {
    const { clock } = this;
    const random = seededRandom(this.#script.seed);
    const deps = { settings, events: this.#events, clock, random, upstream: new WatchedUpstream(clock, this) };
    return new WatchedEngine(deps, (requestId) => this.#expectations.meet(`${requestId} has begun`));
  }

  letCallersCome(url: string): void {
    this.#unanswered = this.#script.requests.length;
    for (const [index, request] of this.#script.requests.entries()) {
      this.clock.setTimer(request.atMs, () => void this.#call(url, request, index));
    }
  }

  /** Resolves when all that was sent has been read. @returns whether a caller still waits. */
  async isUnderWay(): Promise<boolean> {
    await this.#expectations.settled();
    return this.#unanswered > 0;
  }

  asks(request: UpstreamRequest, limits: AttemptLimits): { spoke(): void; isOver(): void } {
    const { requestId, target } = request;
    const number = (this.#numbers.get(requestId) ?? 0) + 1;
    this.#numbers.set(requestId, number);
    const key = keyOf(this.#begun, requestId, target.name);
    const continues = continuationOf(request);
    this.decisions.noteAsked(requestId, { model: target.name, number, limits, ...(continues && { continues }) });
    this.#expectations.expect(`${key} arrives`);
    return {
      spoke: () => this.#expectations.meet(`${key} speaks`),
      isOver: () => {
        this.#over.add(key);
        for (const what of ['arrives', 'speaks', 'ends']) this.#expectations.meet(`${key} ${what}`);
      },
    };
  }

  arrived(requestId: string, model: string): ArrivedAttempt {
    const key = keyOf(this.#arrived, requestId, model);
    const nth = (this.#arrived.get(`${requestId} ${model}`) ?? 1) - 1;
    const expectations = this.#expectations;
    const over = this.#over;
    expectations.meet(`${key} arrives`);
    return {
      outcome: outcomeOf(this.#script, requestId, model, nth),
      get isOver() {
        return over.has(key);
      },
      speaks: () => expectations.expect(`${key} speaks`),
      ends: () => expectations.expect(`${key} ends`),
    };
  }

  async #call(url: string, request: ScriptedRequest, index: number): Promise<void> {
    const requestId = requestName(index);
    const leaving = new AbortController();
    let hasLeft = false;
    this.#expectations.expect(`${requestId} has begun`);
    if (request.leavesAtMs !== undefined) {
      this.clock.setTimer(request.leavesAtMs - this.clock.nowMs(), () => {
        if (this.#got[index] !== undefined) return;
        hasLeft = true;
        this.#expectations.expect(`${requestId} is over`);
        leaving.abort();
      });
    }
    try {
      const view = await askGateway(url, bodyOf(request), {
        headers: headersOf(request, requestId),
        signal: leaving.signal,
      });
      this.#got[index] = hasLeft ? 'left' : describeView(view);
    } catch (error) {
      this.#got[index] = hasLeft ? 'left' : `nothing: ${String(error)}`;
      this.#expectations.meet(`${requestId} has begun`);
    }
    if (--this.#unanswered === 0) this.#onAnswered();
  }
}

/** `r3 gpt-4 2`: the attempt's own number among those of its request on this model. */
function keyOf(counts: Map<string, number>, requestId: string, model: string): string {
  const times = (counts.get(`${requestId} ${model}`) ?? 0) + 1;
  counts.set(`${requestId} ${model}`, times);
  return `${requestId} ${model} ${times}`;
}

/** What the model is asked to go on with, read from what is sent to it. */
function continuationOf({ body }: UpstreamRequest): ContinuationRequest | undefined {
  const json = parseJsonObject(body) ?? {};
  const soFar = asObject(asArray(json['messages'])[1]);
  if (typeof soFar['content'] !== 'string') return undefined;
  const way = json['continue_final_message'] === true ? 'vllm' : soFar['prefix'] === true ? 'prefix' : 'prompt';
  return { text: soFar['content'], way, writtenTokens: 0 };
}

function bodyOf({ streaming = false, model, models, wantsJson }: ScriptedRequest): object {
  return {
    messages: [{ role: 'user', content: 'Tell me.' }],
    stream: streaming,
    ...(model !== undefined && { model }),
    ...(models && { models }),
    ...(wantsJson && { response_format: { type: 'json_object' } }),
  };
}

function headersOf({ fallback, deadlineMs }: ScriptedRequest, requestId: string): Record<string, string> {
  return {
    'x-request-id': requestId,
    ...(fallback === false && { 'x-fallback': 'off' }),
    ...(deadlineMs !== undefined && { 'x-fallback-deadline-ms': String(deadlineMs) }),
  };
}

function describeView(view: CallerView): string {
  const { headers, status, trace, events } = view;
  const model = headers['x-fallback-model'];
  const retryAfter = headers['retry-after'];
  const last = events.at(-1)?.kind;
  return describeGot({
    status,
    model: typeof model === 'string' ? model : undefined,
    attempts: trace.map((attempt) => `${attempt.model} ${attempt.class}`),
    fallbackUsed: headers['x-fallback-used'] === 'true',
    retryAfterS: retryAfter === undefined ? undefined : Number(retryAfter),
    end: last === 'done' || last === 'error' ? last : '-',
  });
}
