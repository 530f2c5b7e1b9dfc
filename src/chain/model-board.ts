/**
 * What is known of all models, from the attempts that ended: who rests and until when, how fast they answer, what they
 * cost. One per module; every request reads it, every ended attempt is recorded here before anyone decides.
 *
 * Rests follow the contract's section 6. A rest is lengthened, never shortened, by a later one; the doubling of rests
 * whose length no provider named happens once per rest, since a burst of requests all meet the same closed door.
 */
import { type AttemptOutcome, type Failure, type FailureClass, traitsOf } from '../policy/failure.js';
import type { Availability, HealthView } from '../policy/health-view.js';
import { LatencyWindow } from '../policy/latency-window.js';
import type { TokenUsage } from '../upstream/upstream.js';
import type { ChainEvents } from './events.js';

/** What the board must know of a model; prices in US dollars per million tokens. */
export interface BoardModel {
  readonly name: string;
  readonly provider: string;
  readonly price?: { readonly inputPerMTok: number; readonly outputPerMTok: number };
}

export interface AttemptReport {
  readonly model: string;
  readonly outcome: AttemptOutcome;
  readonly failure?: Failure;
  /** Cancelled since another model was faster. */
  readonly beaten?: boolean;
  readonly startedAtMs: number;
  readonly latencyMs: number;
  readonly ttftMs?: number;
  readonly usage: TokenUsage;
}

/** Since the start of the process. Times in ms. */
export interface ModelStanding {
  readonly model: string;
  readonly provider: string;
  readonly requests: number;
  readonly successes: number;
  readonly failures: Readonly<Partial<Record<FailureClass, number>>>;
  readonly latencyMs: ReturnType<LatencyWindow['quantiles']>;
  readonly ttftMs: ReturnType<LatencyWindow['quantiles']>;
  readonly tokens: { readonly input: number; readonly output: number };
  readonly costUsd: number;
  /** Monotonic. */
  readonly restUntilMs?: number;
  readonly lastOutcome?: AttemptOutcome;
  readonly lastOutcomeAtMs?: number;
}

interface Rest {
  readonly sinceMs: number;
  readonly untilMs: number;
  readonly reason: FailureClass;
  readonly named: boolean;
}

interface Standing {
  readonly model: BoardModel;
  readonly failures: Partial<Record<FailureClass, number>>;
  readonly latency: LatencyWindow;
  readonly ttft: LatencyWindow;
  requests: number;
  successes: number;
  inputTokens: number;
  outputTokens: number;
  costUsd: number;
  rest?: Rest;
  /** Rests in a row without a success between. */
  restsInARow: number;
  lastOutcome?: AttemptOutcome;
  lastOutcomeAtMs?: number;
}

/** Fewer say too little of a model's usual time. */
const LEAST_TTFT_SAMPLES = 20;
/** How often a chain whose models all rest may be tried. */
const RESTING_TRY_INTERVAL_MS = 1_000;

const USABLE: Availability = { state: 'usable' };

export class ModelBoard implements HealthView {
  readonly #events: ChainEvents;
  readonly #standings = new Map<string, Standing>();
  readonly #providerRests = new Map<string, Rest>();
  /** Models that once refused to go on in the way that the configuration names. */
  readonly #refusing = new Set<string>();
  readonly #restingTries = new Map<string, { live: number; lastAtMs: number }>();

  constructor(models: Iterable<BoardModel>, events: ChainEvents) {
    this.#events = events;
    this.setModels(models);
  }

  /** After a reload: what is known of a model is kept while it stands at the same provider. */
  setModels(models: Iterable<BoardModel>): void {
    const before = new Map(this.#standings);
    this.#standings.clear();
    // The reload may be about just that; learning it again costs one refused attempt.
    this.#refusing.clear();
    for (const model of models) {
      const known = before.get(model.name);
      const kept = known?.model.provider === model.provider ? { ...known, model } : newStanding(model);
      this.#standings.set(model.name, kept);
    }
  }

  availability(model: string, nowMs: number): Availability {
    const standing = this.#standings.get(model);
    if (!standing || (!standing.rest && this.#providerRests.size === 0)) return USABLE;
    const own = standing.rest;
    const shared = this.#providerRests.get(standing.model.provider);
    const rest = own && shared ? (own.untilMs >= shared.untilMs ? own : shared) : (own ?? shared);
    return rest && nowMs < rest.untilMs
      ? { state: 'resting', untilMs: rest.untilMs, reason: rest.reason, named: rest.named }
      : USABLE;
  }

  mayTryResting(chain: string, nowMs: number): boolean {
    const tries = this.#restingTries.get(chain);
    return !tries || (tries.live === 0 && nowMs - tries.lastAtMs >= RESTING_TRY_INTERVAL_MS);
  }

  usualTtftMs(model: string): number | undefined {
    const ttft = this.#standings.get(model)?.ttft;
    return ttft && ttft.size >= LEAST_TTFT_SAMPLES ? ttft.quantile(0.95) : undefined;
  }

  refusesToContinue(model: string): boolean {
    return this.#refusing.has(model);
  }

  /** It rejected the way in which it was asked to go on with another's text. */
  noteRefusal(model: string): void {
    this.#refusing.add(model);
  }

  beginRestingTry(chain: string, nowMs: number): void {
    this.#restingTries.set(chain, { live: (this.#restingTries.get(chain)?.live ?? 0) + 1, lastAtMs: nowMs });
  }

  endRestingTry(chain: string): void {
    const tries = this.#restingTries.get(chain);
    if (tries) tries.live--;
  }

  record(report: AttemptReport, nowMs: number): void {
    const standing = this.#standings.get(report.model);
    if (!standing) return;
    const { outcome, usage } = report;
    standing.requests++;
    standing.lastOutcome = outcome;
    standing.lastOutcomeAtMs = nowMs;
    if (outcome === 'ok') standing.successes++;
    else standing.failures[outcome] = (standing.failures[outcome] ?? 0) + 1;
    standing.inputTokens += usage.inputTokens;
    standing.outputTokens += usage.outputTokens;
    standing.costUsd += costUsd(standing.model, usage);
    if (report.ttftMs !== undefined) standing.ttft.add(report.ttftMs);
    if (report.failure) {
      this.#rest(standing, report.failure, nowMs);
      return;
    }
    standing.latency.add(report.latencyMs);
    const { rest } = standing;
    // An answer that was asked for before the rest began says nothing of what came after.
    if (rest && report.startedAtMs < rest.sinceMs) return;
    standing.restsInARow = 0;
    delete standing.rest;
  }

  /** A check of the provider went well: a rest for `auth` was about a key that works again. */
  endAuthRest(provider: string): void {
    if (this.#providerRests.get(provider)?.reason === 'auth') this.#providerRests.delete(provider);
  }

  standing(model: string, nowMs: number): ModelStanding | undefined {
    const standing = this.#standings.get(model);
    return standing && this.#describe(standing, nowMs);
  }

  standings(nowMs: number): ModelStanding[] {
    return [...this.#standings.values()].map((standing) => this.#describe(standing, nowMs));
  }

  #rest(standing: Standing, failure: Failure, nowMs: number): void {
    const { rest: lengths } = traitsOf(failure.class);
    if (!lengths || failure.restScope === 'none') return;
    const namesTime = failure.class === 'rate_limited' || failure.class === 'overloaded';
    const named = namesTime && failure.retryAfterMs !== undefined;
    const isShared = failure.restScope === 'provider';
    const current = isShared ? this.#providerRests.get(standing.model.provider) : standing.rest;
    const isResting = current !== undefined && nowMs < current.untilMs;
    if (isResting && !named) return;
    const restMs = named
      ? (failure.retryAfterMs ?? 0)
      : Math.min(lengths.maxMs, lengths.ms * 2 ** Math.min(standing.restsInARow, 30));
    if (isResting && nowMs + restMs <= current.untilMs) return;
    if (!isResting) standing.restsInARow++;
    const rest: Rest = { sinceMs: nowMs, untilMs: nowMs + restMs, reason: failure.class, named };
    if (isShared) this.#providerRests.set(standing.model.provider, rest);
    else standing.rest = rest;
    const rested = isShared ? this.#modelsOf(standing.model.provider) : [standing.model.name];
    for (const model of rested) this.#events.emit('model.rested', { model, reason: failure.class, restMs });
  }

  #modelsOf(provider: string): string[] {
    return [...this.#standings.values()].filter((s) => s.model.provider === provider).map((s) => s.model.name);
  }

  #describe(standing: Standing, nowMs: number): ModelStanding {
    const availability = this.availability(standing.model.name, nowMs);
    return {
      model: standing.model.name,
      provider: standing.model.provider,
      requests: standing.requests,
      successes: standing.successes,
      failures: { ...standing.failures },
      latencyMs: standing.latency.quantiles(),
      ttftMs: standing.ttft.quantiles(),
      tokens: { input: standing.inputTokens, output: standing.outputTokens },
      costUsd: standing.costUsd,
      ...(availability.state === 'resting' && { restUntilMs: availability.untilMs }),
      ...(standing.lastOutcome !== undefined && { lastOutcome: standing.lastOutcome }),
      ...(standing.lastOutcomeAtMs !== undefined && { lastOutcomeAtMs: standing.lastOutcomeAtMs }),
    };
  }
}

export function costUsd(model: Pick<BoardModel, 'price'>, usage: TokenUsage): number {
  const { price } = model;
  return price ? (usage.inputTokens * price.inputPerMTok + usage.outputTokens * price.outputPerMTok) / 1e6 : 0;
}

function newStanding(model: BoardModel): Standing {
  return {
    model,
    failures: {},
    latency: new LatencyWindow(),
    ttft: new LatencyWindow(),
    requests: 0,
    successes: 0,
    inputTokens: 0,
    outputTokens: 0,
    costUsd: 0,
    restsInARow: 0,
  };
}
