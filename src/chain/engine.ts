/**
 * Everything one module instance has running: the configuration in force, the board, the driver, the way to the
 * models. What asks (a service, a controller, a command) comes through here.
 */
import type { ModelSettings, Settings } from '../config/settings.js';
import type { FailureClass } from '../policy/failure.js';
import type { RequestPlan } from '../policy/plan.js';
import type { HttpUpstream } from '../upstream/http-upstream.js';
import type { AttemptHandler, RunningAttempt } from '../upstream/upstream.js';
import type { AttemptOrder, RequestSink, RunningRequest } from './chain-request.js';
import { ChainRunner } from './chain-runner.js';
import type { ChatBody } from './chat-body.js';
import type { Clock } from './clock.js';
import { notANumberError, shutDownError } from './errors.js';
import type { ChainEvents } from './events.js';
import { boardModels, retryBudgets } from './board-models.js';
import { ModelBoard } from './model-board.js';
import { type Route, Routes } from './routes.js';

export interface CallRules {
  readonly requestId: string;
  readonly route: Route;
  /** False: the first model only. */
  readonly fallback?: boolean;
  /** Only shortens. */
  readonly deadlineMs?: number;
  /** Honoured where the configuration allows drills. */
  readonly drills?: ReadonlyMap<string, FailureClass>;
}

export interface ChatCall extends CallRules {
  readonly body: ChatBody;
}

export interface EngineDeps {
  readonly settings: Settings;
  readonly upstream: HttpUpstream;
  readonly events: ChainEvents;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

export class Engine {
  readonly board: ModelBoard;
  readonly events: ChainEvents;
  readonly clock: Clock;
  readonly upstream: HttpUpstream;
  readonly #runner: ChainRunner;
  #settings: Settings;
  #routes: Routes;
  #isClosed = false;

  constructor(deps: EngineDeps) {
    const { settings, events, clock, random } = deps;
    this.#settings = settings;
    this.#routes = new Routes(settings);
    this.events = events;
    this.clock = clock;
    this.upstream = deps.upstream;
    this.board = new ModelBoard(boardModels(settings), events, random);
    this.board.setBudgets(retryBudgets(settings));
    this.#runner = new ChainRunner({ board: this.board, events, clock, random });
  }

  get settings(): Settings {
    return this.#settings;
  }

  /** From now on; requests under way end as they began. */
  useSettings(settings: Settings): void {
    this.#settings = settings;
    this.#routes = new Routes(settings);
    this.board.setModels(boardModels(settings));
    this.board.setBudgets(retryBudgets(settings));
  }

  /** @throws FallbackRejectedError for a name that nobody has. */
  startChat(call: ChatCall, sink: RequestSink): RunningRequest {
    const { body, requestId } = call;
    const { models } = this.#settings;
    const plan = this.#plan(call, body.streaming, body.isContinuable, true);
    const ask = (order: AttemptOrder, handler: AttemptHandler): RunningAttempt => {
      const target = models.get(order.model);
      const policy = plan.models.find((model) => model.name === order.model)?.policy ?? plan.policy;
      if (!target) throw new Error(`no model ${order.model}`);
      const { continues } = order;
      const asked = continues ? body.continuing(continues) : body;
      const { bytesWithoutUsage } = asked;
      const request = {
        target,
        body: asked.bytesFor(target),
        ...(bytesWithoutUsage && { bodyWithoutUsage: () => bytesWithoutUsage(target) }),
        // By prompt it repeats the last words at least; otherwise there may be nothing left to say.
        mayBeEmpty: continues !== undefined && continues.way !== 'prompt',
        streaming: body.streaming,
        onInvalidOutput: policy.onInvalidOutput,
        onContentFilter: policy.onContentFilter,
        toolCalls: policy.stream.toolCalls,
        wantsUsage: body.wantsUsage,
        requestId,
        ...(body.wantsJson && { wantsJson: body.wantsJson }),
        ...(body.choices !== undefined && { choices: body.choices }),
      };
      return this.upstream.start(request, order.limits, handler);
    };
    return this.#start(call, plan, ask, sink);
  }

  /** Attempts that are carried out by `ask`, whatever it is; see `execute()`. */
  startExecution(
    call: CallRules,
    ask: (order: AttemptOrder, model: ModelSettings, handler: AttemptHandler) => RunningAttempt,
    sink: RequestSink,
  ): RunningRequest {
    const { models } = this.#settings;
    const plan = this.#plan(call, false, false, false);
    const askModel = (order: AttemptOrder, handler: AttemptHandler): RunningAttempt => {
      const model = models.get(order.model);
      if (!model) throw new Error(`no model ${order.model}`);
      return ask(order, model, handler);
    };
    return this.#start(call, plan, askModel, sink);
  }

  /** How many requests are under way. */
  get liveCount(): number {
    return this.#runner.liveCount;
  }

  /** Ends what is under way with an error that says so: the process ends and cannot wait any longer. */
  shutDown(): void {
    this.#runner.shutDown();
  }

  /** Aborts what is still under way, and lets go of every connection; who asks afterwards is told so at once. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.shutDown();
    await this.upstream.close();
  }

  #plan(call: CallRules, streaming: boolean, isContinuable: boolean, overHttp: boolean): RequestPlan {
    const { deadlineMs } = call;
    if (Number.isNaN(deadlineMs)) throw notANumberError('deadlineMs');
    return this.#routes.plan(call.route, {
      streaming,
      isContinuable,
      overHttp,
      fallback: call.fallback ?? true,
      ...(deadlineMs !== undefined && { deadlineMs }),
    });
  }

  #start(
    call: CallRules,
    plan: RequestPlan,
    ask: (order: AttemptOrder, handler: AttemptHandler) => RunningAttempt,
    sink: RequestSink,
  ): RunningRequest {
    if (this.#isClosed) throw shutDownError(plan.chain);
    const drills = this.#settings.drills ? call.drills : undefined;
    return this.#runner.start({ requestId: call.requestId, plan, ask, sink, ...(drills && { drills }) });
  }
}
