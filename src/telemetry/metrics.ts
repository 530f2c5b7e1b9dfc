/**
 * Counts what the chain tells: requests, attempts, switches, streams gone on with, deadlines, cost, breakers (the contract's section 8), and
 * OpenTelemetry's own measures of calls. Listens; nobody calls it, and nothing it does can touch a request.
 *
 * Everything goes to the meter that the host gave OpenTelemetry, and to our own where there is a `/metrics` route.
 * Labels come from the configuration and from closed lists, never from callers.
 */
import { type BatchObservableCallback, type Meter, metrics, type Observable } from '@opentelemetry/api';
import type { Engine } from '../chain/engine.js';
import type {
  AttemptFinished,
  BreakerState,
  ModelSwitched,
  RequestFinished,
  StreamContinued,
} from '../chain/events.js';
import { costUsd } from '../chain/standing.js';
import type { Settings } from '../config/settings.js';
import { GenAiMeasures } from './gen-ai-measures.js';
import { LabelledCounter } from './labelled-counter.js';

/** What of an engine is listened to and read. */
export type MetricsSource = Pick<Engine, 'events' | 'settings' | 'board' | 'clock'>;

const SCOPE = 'nestjs-llm-fallback';

const DEFAULT_CHAIN = 'default';
const OUTCOMES = ['ok', 'failed', 'cancelled'] as const satisfies RequestFinished['outcome'][];
const BREAKER_VALUES: Readonly<Record<BreakerState, number>> = { closed: 0, 'half-open': 1, open: 2 };

export class Metrics {
  readonly #source: MetricsSource;
  readonly #genAi: GenAiMeasures;
  readonly #requests: LabelledCounter;
  readonly #attempts: LabelledCounter;
  readonly #switches: LabelledCounter;
  readonly #continuations: LabelledCounter;
  readonly #deadlines: LabelledCounter;
  readonly #cost: LabelledCounter;
  /** Models that have been shown: what was shown once is shown for ever. */
  readonly #models = new Set<string>();
  readonly #ends: (() => void)[];
  #shown: Settings | undefined;

  /** @param ownMeters nobody else's, beside the host's: that of our `/metrics` route. */
  constructor(source: MetricsSource, ownMeters: readonly Meter[] = []) {
    this.#source = source;
    const host = metrics.getMeter(SCOPE);
    this.#genAi = new GenAiMeasures([host, ...ownMeters]);
    const counter = (name: string, description: string, labels: readonly string[]) =>
      new LabelledCounter(name, description, labels, host.createCounter(name, { description }));
    this.#requests = counter('fallback_requests_total', 'Requests that came to a verdict.', ['chain', 'outcome']);
    this.#attempts = counter('fallback_attempts_total', 'Calls of models, by how they ended.', ['model', 'outcome']);
    this.#switches = counter('fallback_switches_total', 'Fallbacks to another model.', ['from', 'to', 'reason']);
    this.#continuations = counter('fallback_stream_continuations_total', 'Streams that broke and were gone on with.', [
      'from',
      'to',
    ]);
    this.#deadlines = counter('fallback_deadline_exceeded_total', 'Requests without an answer in time.', []);
    this.#cost = counter('fallback_cost_usd_total', 'What tokens cost, of models with a price.', ['model']);
    const { events } = source;
    this.#ends = [
      this.#observeBy(host, []),
      ...ownMeters.map((meter) => this.#observeBy(meter, this.#counters)),
      events.on('request.finished', (request) => this.#countRequest(request)),
      events.on('attempt.finished', (attempt) => this.#countAttempt(attempt)),
      events.on('model.switched', (switched) => this.#countSwitch(switched)),
      events.on('stream.continued', (continued) => this.#countContinuation(continued)),
    ];
  }

  close(): void {
    for (const end of this.#ends.splice(0)) end();
  }

  get #counters(): readonly LabelledCounter[] {
    return [this.#requests, this.#attempts, this.#switches, this.#continuations, this.#deadlines, this.#cost];
  }

  #countRequest({ chain, outcome, drilled, deadlineExceeded }: RequestFinished): void {
    this.#requests.add([chain, outcome], drilled);
    if (deadlineExceeded) this.#deadlines.add([], drilled);
  }

  #countAttempt(attempt: AttemptFinished): void {
    const { model, drilled, usage } = attempt;
    const { settings } = this.#source;
    this.#attempts.add([model, attempt.class], drilled);
    const known = settings.models.get(model);
    if (known?.price && !drilled) this.#cost.add([model], false, costUsd(known.price, usage));
    this.#genAi.record(attempt, settings);
  }

  #countSwitch({ from, to, reason, drilled }: ModelSwitched): void {
    this.#switches.add([from, to, reason], drilled);
  }

  #countContinuation({ from, to, drilled }: StreamContinued): void {
    this.#continuations.add([from, to], drilled);
  }

  #observeBy(meter: Meter, counters: readonly LabelledCounter[]): () => void {
    const observed = counters.map((counter) => {
      const { name, description } = counter;
      return { counter, instrument: meter.createObservableCounter(name, { description }) };
    });
    const breakers = meter.createObservableGauge('fallback_breaker_state', {
      description: 'Breaker per model: 0 closed, 1 half-open, 2 open.',
    });
    const budget = meter.createObservableGauge('fallback_retry_budget_remaining', {
      description: 'Retries and hedges that the default chain can pay for.',
    });
    const instruments: Observable[] = [breakers, budget, ...observed.map(({ instrument }) => instrument)];
    const callback: BatchObservableCallback = (result) => {
      this.#showConfigured();
      for (const { counter, instrument } of observed) {
        counter.observe((value, attributes) => result.observe(instrument, value, attributes));
      }
      const { board, clock } = this.#source;
      for (const model of this.#models) {
        // A breaker is half-open as soon as its time is over, whether anybody asks or not; of a model that went, closed.
        result.observe(breakers, BREAKER_VALUES[board.breakerState(model, clock.nowMs())], { model });
      }
      const remaining = board.retryBudget(DEFAULT_CHAIN);
      if (remaining !== undefined) result.observe(budget, remaining);
    };
    meter.addBatchObservableCallback(callback, instruments);
    return () => meter.removeBatchObservableCallback(callback, instruments);
  }

  /** What has not counted yet is 0, not missing, where the configuration says that it will come. */
  #showConfigured(): void {
    const { settings } = this.#source;
    if (settings === this.#shown) return;
    this.#shown = settings;
    for (const chain of settings.chains.keys()) {
      for (const outcome of OUTCOMES) this.#requests.show([chain, outcome]);
    }
    for (const { name, price } of settings.models.values()) if (price) this.#cost.show([name]);
    this.#deadlines.show([]);
    for (const model of settings.models.keys()) this.#models.add(model);
  }
}
