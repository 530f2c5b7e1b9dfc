/**
 * What is known of all models, from the attempts that ended: who rests, whose breaker is open, how fast they answer, how
 * many attempts they have under way. One per module; every request reads it, every ended attempt is recorded here before
 * anyone decides, and what an attempt claims (a trial, a place, a retry) is taken in the same synchronous turn.
 */
import { type BreakerState, CircuitBreaker, type Sign, type Trial } from '../policy/breaker.js';
import { type AttemptOutcome, type Failure, type FailureClass, traitsOf } from '../policy/failure.js';
import type { Availability, HealthView } from '../policy/health-view.js';
import type { Quantiles } from '../policy/latency-window.js';
import { DEFAULT_POLICY, type Policy } from '../policy/policy.js';
import { RetryBudget } from '../policy/retry-budget.js';
import type { ChainEvents } from './events.js';
import { HedgeShare } from './hedge-share.js';
import { Places, type Waiter } from './places.js';
import { Rests } from './rests.js';
import { type AttemptReport, type Price, Standing } from './standing.js';
import { StormWatch } from './storm-watch.js';
import { Turns } from './turns.js';

/** What the board must know of a model. */
export interface BoardModel {
  readonly name: string;
  readonly provider: string;
  readonly price?: Price;
  /** Share among equals; 1 where nothing else is said. */
  readonly weight?: number;
  readonly maxConcurrent?: number;
  readonly policy?: Pick<Policy, 'breaker' | 'stream' | 'timeoutMs'>;
}

/** What an attempt has claimed; given back when it ends. */
export interface Claim {
  readonly model: string;
  readonly chain: string;
  /** A trial of a breaker that is half-open. */
  readonly isTrial: boolean;
  /** Its place as a trial is taken until then. */
  holdsTrial: boolean;
  /** Made although every model rests or is open. */
  readonly isUnlikely: boolean;
  /** Attempts that were under way at the model when it began. */
  readonly rivals: number;
  /** Of whom it was claimed: after a reload, others may stand in their place. Undefined: of a model that is not known. */
  readonly from: ClaimedOf | undefined;
}

interface ClaimedOf {
  readonly provider: string;
  readonly places: Places;
  readonly breaker: CircuitBreaker;
  readonly trial: Trial | undefined;
}

export interface EndedAttempt extends AttemptReport {
  readonly failure?: Failure;
  /** Cancelled since another model was faster that had overtaken it. */
  readonly beaten?: boolean;
  /** Cancelled since a hedge was faster: it would have taken longer than it did. */
  readonly hedged?: boolean;
  /** Whether it counts will show: see `judge`. */
  readonly isStormy?: boolean;
  /** The provider's limits are used up for so long, as a good answer said; ms. */
  readonly usedUpForMs?: number;
}

/** Since the start of the process. Times in ms. */
export interface ModelStanding {
  readonly model: string;
  readonly provider: string;
  readonly requests: number;
  readonly successes: number;
  readonly failures: Readonly<Partial<Record<FailureClass, number>>>;
  readonly latencyMs: Quantiles;
  readonly ttftMs: Quantiles;
  readonly tokens: { readonly input: number; readonly output: number };
  readonly costUsd: number;
  readonly breaker: BreakerState;
  /** Monotonic: until then it is skipped, since it rests or is open. */
  readonly restUntilMs?: number;
  readonly lastOutcome?: AttemptOutcome;
  readonly lastOutcomeAtMs?: number;
}

interface Entry {
  model: BoardModel;
  readonly standing: Standing;
  breaker: CircuitBreaker;
  breakerState: BreakerState;
  readonly places: Places;
  readonly storm: StormWatch;
}

/** How often a chain whose models all rest or are open may be tried, at most. */
const UNLIKELY_INTERVAL_MS = 1_000;
/** After the first try, up to so much more by chance. */
const UNLIKELY_JITTER = 0.5;
/** Whoever meets a trial under way may come back after this: when it ends, nobody knows. */
const TRIAL_MS = 1_000;
/** A request that was shed may come back after this. */
const SHED_RETRY_MS = 1_000;
/**
 * An answer, or a stream's first token, that took more than this part of its time limit was slow. A stream that is silent
 * for `ttftMs` is overtaken, where somebody is faster; where nobody is, one that thinks for long still answers.
 */
const SLOW_SHARE = 0.75;

const USABLE: Availability = { state: 'usable' };
const RAMPING: Availability = { state: 'ramping' };

export class ModelBoard implements HealthView {
  readonly #events: ChainEvents;
  readonly #random: () => number;
  readonly #entries = new Map<string, Entry>();
  readonly #rests = new Rests();
  readonly #hedges = new HedgeShare();
  readonly #turns = new Turns();
  readonly #budgets = new Map<string, RetryBudget>();
  /** Models that once refused to go on in the way that the configuration names. */
  readonly #refusing = new Set<string>();
  readonly #unlikely = new Map<string, { live: number; nextAtMs: number }>();

  /** @param random uniform in [0, 1): spreads the open times of breakers. */
  constructor(models: Iterable<BoardModel>, events: ChainEvents, random: () => number = Math.random) {
    this.#events = events;
    this.#random = random;
    this.setModels(models);
  }

  /** After a reload: what is known of a model is kept while it stands at the same provider. */
  setModels(models: Iterable<BoardModel>): void {
    const before = new Map(this.#entries);
    this.#entries.clear();
    // The reload may be about just that; learning it again costs one refused attempt.
    this.#refusing.clear();
    for (const model of models) {
      const known = before.get(model.name);
      if (known?.model.provider === model.provider) this.#entries.set(model.name, renewed(known, model));
      else {
        this.#rests.forget(model.name);
        this.#entries.set(model.name, newEntry(model));
      }
    }
    for (const [name, { places }] of before) {
      const entry = this.#entries.get(name);
      // Whoever waits for a place that is no more must look elsewhere.
      places.resize(entry?.places === places ? entry.model.maxConcurrent : undefined);
    }
    // Once everything stands as it will.
    for (const { places } of before.values()) places.wake();
  }

  /** What a chain may spend on retries; a budget that is known is kept unless its rules change. */
  setBudgets(budgets: Iterable<readonly [chain: string, policy: Policy['retryBudget']]>): void {
    const before = new Map(this.#budgets);
    this.#budgets.clear();
    for (const [chain, policy] of budgets) {
      const known = before.get(chain);
      this.#budgets.set(chain, known?.isOf(policy) ? known : new RetryBudget(policy));
    }
  }

  availability(model: string, nowMs: number, lot = 0): Availability {
    const entry = this.#entries.get(model);
    if (!entry) return USABLE;
    const rest = this.#rests.current(model, entry.model.provider, nowMs);
    const { breaker, places } = entry;
    const full = places.isFull && { isFull: true as const };
    if (rest) return { state: 'resting', untilMs: rest.untilMs, reason: rest.reason, named: rest.named, ...full };
    if (!breaker.admits(nowMs)) return { state: 'open', untilMs: mayEndAtMs(breaker, nowMs), ...full };
    if (full) return { state: 'full', hasRoom: places.hasRoom, untilMs: nowMs + SHED_RETRY_MS };
    return lot < breaker.share(nowMs) ? USABLE : RAMPING;
  }

  breakerState(model: string, nowMs: number): BreakerState {
    return this.#entries.get(model)?.breaker.state(nowMs) ?? 'closed';
  }

  mayTryUnlikely(chain: string, nowMs: number): boolean {
    const tries = this.#unlikely.get(chain);
    return !tries || (tries.live === 0 && nowMs >= tries.nextAtMs);
  }

  canPayRetry(chain: string): boolean {
    return this.#budgets.get(chain)?.canPay ?? true;
  }

  /** What is left of a chain's retry budget; undefined: there is no such chain. */
  retryBudget(chain: string): number | undefined {
    return this.#budgets.get(chain)?.balance;
  }

  mayHedge(chain: string, maxShare: number): boolean {
    return this.#hedges.mayHedge(chain, maxShare);
  }

  nextTurnMs(model: string, chain: string, fromMs: number): number {
    return this.#turns.next(model, chain, fromMs);
  }

  takeTurn(model: string, turnMs: number): void {
    this.#turns.take(model, turnMs);
  }

  load(model: string, nowMs: number): number {
    const entry = this.#entries.get(model);
    if (!entry) return 0;
    return ((entry.places.live + 1) * entry.standing.meanLatencyMs(nowMs)) / (entry.model.weight ?? 1);
  }

  usualTtftMs(model: string): number | undefined {
    return this.usualAnswerMs(model, true);
  }

  usualAnswerMs(model: string, streaming: boolean): number | undefined {
    return this.#entries.get(model)?.standing.quantileMs(0.95, streaming);
  }

  leastAnswerMs(model: string, streaming: boolean, nowMs: number): number | undefined {
    return this.#entries.get(model)?.standing.leastMs(streaming, nowMs);
  }

  hedgeAfterMs(model: string, streaming: boolean, hedge: Policy['hedge']): number | undefined {
    const usualMs = this.#entries.get(model)?.standing.quantileMs(hedge.afterQuantile, streaming);
    return usualMs === undefined ? undefined : Math.max(hedge.minMs, usualMs);
  }

  refusesToContinue(model: string): boolean {
    return this.#refusing.has(model);
  }

  /** It rejected the way in which it was asked to go on with another's text. */
  noteRefusal(model: string): void {
    this.#refusing.add(model);
  }

  /** A request begins: hedges are a share of them. */
  noteRequest(chain: string, nowMs: number): void {
    this.#hedges.noteRequest(chain);
    this.#turns.noteRequest(chain, nowMs);
  }

  /** An attempt begins, and takes what it needs. */
  begin(
    order: { model: string; chain: string; unlikely: boolean; costs: boolean; isHedge: boolean },
    nowMs: number,
  ): Claim {
    const { model, chain, unlikely } = order;
    const entry = this.#entries.get(model);
    if (order.costs) this.#budgets.get(chain)?.tryWithdraw();
    if (order.isHedge) this.#hedges.noteHedge(chain);
    if (unlikely) this.#noteUnlikely(chain, nowMs);
    const rivals = entry?.places.live ?? 0;
    const what = { model, chain, isUnlikely: unlikely, rivals };
    if (!entry) return { ...what, isTrial: false, holdsTrial: false, from: undefined };
    const { breaker, places } = entry;
    places.take();
    const trial = breaker.begin(nowMs, unlikely);
    const isTrial = trial !== undefined;
    this.#tellBreaker(entry, nowMs);
    const from = { provider: entry.model.provider, places, breaker, trial };
    return { ...what, isTrial, holdsTrial: isTrial, from };
  }

  /** A stream speaks: a good trial, and the next one may begin, though this one is not over. */
  noteFirstToken(claim: Claim, nowMs: number): void {
    const { from, holdsTrial } = claim;
    if (!holdsTrial || from?.trial === undefined) return;
    claim.holdsTrial = false;
    from.breaker.noteTrialSpeaks(from.trial, nowMs);
    const entry = this.#entries.get(claim.model);
    if (entry?.breaker === from.breaker) this.#tellBreaker(entry, nowMs);
  }

  /** Gives back what an attempt took; its place goes to whoever waits for one. */
  release(claim: Claim, nowMs: number): void {
    const { from, holdsTrial } = claim;
    const tries = claim.isUnlikely ? this.#unlikely.get(claim.chain) : undefined;
    if (tries) tries.live--;
    if (!from) return;
    claim.holdsTrial = false;
    if (holdsTrial && from.trial !== undefined) from.breaker.endTrial(from.trial, nowMs);
    const entry = this.#entries.get(claim.model);
    if (entry?.breaker === from.breaker) this.#tellBreaker(entry, nowMs);
    from.places.free();
  }

  /** Waits for a place at one of these models. @returns what ends the wait. */
  wait(models: readonly string[], waiter: Waiter): () => void {
    const places = models.flatMap((model) => this.#entries.get(model)?.places ?? []);
    for (const place of places) place.wait(waiter);
    return () => {
      for (const place of places) place.leave(waiter);
    };
  }

  /**
   * What a failure is to be taken for. In a storm of 400s, a caller's fault is taken for the provider's, as long as
   * another model may be asked; whether it was, that model's answer shows (`endStorm`, `countStormy`).
   */
  judge(model: string, failure: Failure, nowMs: number): { failure: Failure; isStormy: boolean } {
    const entry = this.#entries.get(model);
    const code = stormCode(failure);
    if (!entry || code === null) return { failure, isStormy: false };
    entry.storm.note(code, false, nowMs);
    if (!entry.storm.isStorm(code, nowMs)) return { failure, isStormy: false };
    return { failure: { ...failure, class: 'server_error', underlying: failure.class }, isStormy: true };
  }

  /** The next model said the same: it was the caller's mistake, nothing counts, and the storm is over. */
  endStorm(model: string): void {
    this.#entries.get(model)?.storm.end();
  }

  /** The next model did not say the same: what was taken for the provider's fault counts as one. */
  countStormy(model: string, nowMs: number): void {
    const entry = this.#entries.get(model);
    if (entry) this.#count(entry, { outcome: 'failure', trial: undefined, rivals: 0 }, nowMs);
  }

  record(ended: EndedAttempt, claim: Claim | undefined, nowMs: number): void {
    if (claim && !ended.failure) this.#budgets.get(claim.chain)?.deposit();
    const entry = this.#entries.get(ended.model);
    // What another provider did says nothing of the one at which the model stands now.
    if (!entry || (claim?.from && claim.from.provider !== entry.model.provider)) return;
    entry.standing.note(ended, entry.model.price, nowMs);
    const health = healthOf(ended, entry);
    // A stream that is a trial was a good one when it spoke.
    const isCounted = health === 'success' && claim?.holdsTrial === false;
    const trial = claim?.from?.breaker === entry.breaker && !isCounted ? claim.from.trial : undefined;
    if (health !== undefined && !ended.isStormy) {
      this.#count(entry, { outcome: health, trial, rivals: claim?.rivals ?? 0 }, nowMs);
    }
    if (ended.failure) {
      if (stormCode(ended.failure) === null && !ended.isStormy) entry.storm.note(null, false, nowMs);
      this.#rest(entry, ended.failure, nowMs);
      return;
    }
    entry.storm.note(null, true, nowMs);
    this.#rests.noteSuccess(ended.model, ended.startedAtMs);
    if (ended.usedUpForMs !== undefined) {
      const rest = this.#rests.noteUsedUp(ended.model, ended.usedUpForMs, nowMs);
      if (rest) this.#tellRest([ended.model], rest.reason, ended.usedUpForMs);
    }
  }

  /** A check of the provider went well: a rest for `auth` was about a key that works again. */
  endAuthRest(provider: string): void {
    this.#rests.endAuth(provider);
  }

  /** Attempts under way at a model, and requests that wait for a place there. */
  crowd(model: string): { readonly live: number; readonly waiting: number } {
    const places = this.#entries.get(model)?.places;
    return { live: places?.live ?? 0, waiting: places?.waiting ?? 0 };
  }

  standing(model: string, nowMs: number): ModelStanding | undefined {
    const entry = this.#entries.get(model);
    return entry && this.#describe(entry, nowMs);
  }

  standings(nowMs: number): ModelStanding[] {
    return [...this.#entries.values()].map((entry) => this.#describe(entry, nowMs));
  }

  #count(entry: Entry, sign: Sign, nowMs: number): void {
    entry.breaker.record(sign, nowMs, this.#random());
    this.#tellBreaker(entry, nowMs);
  }

  #tellBreaker(entry: Entry, nowMs: number): void {
    const state = entry.breaker.state(nowMs);
    if (state === entry.breakerState) return;
    entry.breakerState = state;
    this.#events.emit('breaker.changed', { model: entry.model.name, state });
  }

  #rest({ model }: Entry, failure: Failure, nowMs: number): void {
    const noted = this.#rests.note(model.name, model.provider, failure, nowMs);
    if (!noted) return;
    const rested = noted.isShared ? this.#modelsOf(model.provider) : [model.name];
    this.#tellRest(rested, noted.rest.reason, noted.rest.untilMs - nowMs);
  }

  #tellRest(models: readonly string[], reason: FailureClass, restMs: number): void {
    for (const model of models) this.#events.emit('model.rested', { model, reason, restMs: Math.round(restMs) });
  }

  #noteUnlikely(chain: string, nowMs: number): void {
    const { live = 0, nextAtMs = -Infinity } = this.#unlikely.get(chain) ?? {};
    // Replicas that found out in the same moment do not go on in step.
    const isFirst = nowMs > nextAtMs + UNLIKELY_INTERVAL_MS;
    const waitMs = UNLIKELY_INTERVAL_MS * (isFirst ? 1 + UNLIKELY_JITTER * this.#random() : 1);
    this.#unlikely.set(chain, { live: live + 1, nextAtMs: nowMs + waitMs });
  }

  #modelsOf(provider: string): string[] {
    return [...this.#entries.values()].filter((e) => e.model.provider === provider).map((e) => e.model.name);
  }

  #describe(entry: Entry, nowMs: number): ModelStanding {
    const { standing, breaker, model } = entry;
    const { requests, successes, failures, latencyMs, ttftMs, lastOutcome, lastOutcomeAtMs } = standing;
    const availability = this.availability(model.name, nowMs);
    const isSkipped = availability.state === 'resting' || availability.state === 'open';
    return {
      model: model.name,
      provider: model.provider,
      requests,
      successes,
      failures: { ...failures },
      latencyMs,
      ttftMs,
      tokens: { input: standing.inputTokens, output: standing.outputTokens },
      costUsd: standing.costUsd,
      breaker: breaker.state(nowMs),
      ...(isSkipped && { restUntilMs: availability.untilMs }),
      ...(lastOutcome !== undefined && { lastOutcome }),
      ...(lastOutcomeAtMs !== undefined && { lastOutcomeAtMs }),
    };
  }
}

/** @returns a moment to come: who waited until now would wait for ever. */
function mayEndAtMs({ openUntilMs }: CircuitBreaker, nowMs: number): number {
  return openUntilMs > nowMs ? openUntilMs : nowMs + TRIAL_MS;
}

/** @returns the code that a storm could be of; null where the failure is no 400 or 422. */
function stormCode({ class: failureClass, status, error, underlying }: Failure): string | null {
  const isCallers = failureClass === 'invalid_request' || underlying === 'invalid_request';
  return isCallers && (status === 400 || status === 422) ? (error.code ?? error.type ?? String(status)) : null;
}

/** What an ended attempt says of the model's health; undefined: nothing. A slow answer is a bad sign too. */
function healthOf(ended: EndedAttempt, { model, standing }: Entry): 'success' | 'failure' | undefined {
  if (ended.beaten) return 'failure';
  if (ended.failure) return traitsOf(ended.failure.class).hurtsHealth ? 'failure' : undefined;
  const { timeoutMs } = model.policy ?? DEFAULT_POLICY;
  const tookMs = ended.streaming ? ended.ttftMs : ended.latencyMs;
  const slowMs = Math.max(timeoutMs * SLOW_SHARE, standing.quantileMs(0.95, ended.streaming) ?? 0);
  return tookMs !== undefined && tookMs > slowMs ? 'failure' : 'success';
}

function newEntry(model: BoardModel): Entry {
  return {
    model,
    standing: new Standing(),
    breaker: new CircuitBreaker((model.policy ?? DEFAULT_POLICY).breaker),
    breakerState: 'closed',
    places: new Places(model.maxConcurrent),
    storm: new StormWatch(),
  };
}

/** What has not changed goes on as it was; other rules begin anew. */
function renewed(known: Entry, model: BoardModel): Entry {
  const sameBreaker = JSON.stringify(known.model.policy?.breaker) === JSON.stringify(model.policy?.breaker);
  const { breaker } = newEntry(model);
  return { ...known, model, ...(!sameBreaker && { breaker, breakerState: 'closed' as const }) };
}
