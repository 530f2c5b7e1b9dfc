/**
 * The real board, with every claim and every record held against what it may be: places, breakers, rests, retry budgets,
 * hedges, and the one try while everything is down. The rules are written anew here; nothing is asked of the code that is
 * being judged but what it decided.
 */
import { boardModels, retryBudgets } from '../../src/chain/board-models.js';
import type { ChainEvents } from '../../src/chain/events.js';
import { type BoardModel, type Claim, type EndedAttempt, ModelBoard } from '../../src/chain/model-board.js';
import type { Settings } from '../../src/config/settings.js';
import type { FailureClass } from '../../src/policy/failure.js';
import { DEFAULT_POLICY, type Policy } from '../../src/policy/policy.js';
import { type BreakerStep, ShadowBreaker } from './shadow-breaker.js';
import { ShadowRests } from './shadow-rests.js';

type Order = Parameters<ModelBoard['begin']>[0];

/** What the board was told of an attempt that has just begun. */
export interface Begun {
  readonly order: Order;
  readonly atMs: number;
}

interface ShadowModel {
  model: BoardModel;
  breaker: ShadowBreaker;
  /** Attempts under way; after a reload they may be more than there are places. */
  live: number;
}

/** What a claim was made of: a reload may have put others in their place. */
interface Owner {
  readonly shadow: ShadowModel;
  readonly breaker: ShadowBreaker;
  /** After which opening it began: what is older says nothing, and takes no place. */
  readonly opening: number;
  readonly provider: string;
  /** Attempts that were under way when it began. */
  readonly rivals: number;
}

interface ShadowBudget {
  readonly policy: Policy['retryBudget'];
  balance: number;
  deposits: number;
  spent: number;
}

interface ShadowChain {
  requests: number;
  hedges: number;
  /** The largest share that any of its policies has allowed. */
  mostShare: number;
  unlikelyLive: number;
  unlikelyAtMs: number;
}

const COUNTED: ReadonlySet<FailureClass> = new Set([
  'overloaded',
  'server_error',
  'network',
  'bad_response',
  'timeout_ttft',
  'timeout_total',
  'timeout_idle',
  'stream_cut',
  'stream_error',
  'empty_answer',
]);
/** At most one try a second, but for the last digits of a moment. */
const UNLIKELY_MS = 1_000 - 1e-6;
/** So many requests count at least when a share of them is drawn. */
const HEDGE_LEAST_REQUESTS = 20;

export class WatchedBoard extends ModelBoard {
  lastBegun: Begun | undefined;
  readonly rests = new ShadowRests();
  readonly #complain: (what: string) => void;
  readonly #models = new Map<string, ShadowModel>();
  readonly #owners = new Map<Claim, Owner>();
  readonly #budgets = new Map<string, ShadowBudget>();
  readonly #chains = new Map<string, ShadowChain>();

  constructor(events: ChainEvents, random: () => number, complain: (what: string) => void) {
    super([], events, random);
    this.#complain = complain;
  }

  reload(settings: Settings): void {
    const models = [...boardModels(settings)];
    const before = new Map(this.#models);
    this.#models.clear();
    for (const model of models) this.#models.set(model.name, this.#renewed(before.get(model.name), model));
    for (const [name, { policy }] of settings.chains) {
      const { hedge } = policy;
      this.#chain(name).mostShare = Math.max(this.#chain(name).mostShare, hedge.enabled ? hedge.maxShare : 0);
    }
    this.setModels(models);
    for (const [chain, policy] of retryBudgets(settings)) this.#renewBudget(chain, policy);
    this.setBudgets(retryBudgets(settings));
  }

  override noteRequest(chain: string, nowMs: number): void {
    this.#chain(chain).requests++;
    super.noteRequest(chain, nowMs);
  }

  override begin(order: Order, nowMs: number): Claim {
    const shadow = this.#models.get(order.model);
    if (shadow) this.#judgeBegin(order, shadow, nowMs);
    this.#judgeCost(order);
    const claim = super.begin(order, nowMs);
    this.lastBegun = { order, atMs: nowMs };
    if (shadow) {
      shadow.live++;
      this.#owners.set(claim, {
        shadow,
        breaker: shadow.breaker,
        opening: shadow.breaker.opening,
        provider: shadow.model.provider,
        rivals: shadow.live - 1,
      });
      this.#judgeMove(order.model, { what: 'begin', unlikely: order.unlikely }, nowMs);
      if (claim.isTrial !== (shadow.breaker.state === 'half-open'))
        this.#complain(`${order.model}: trial ${claim.isTrial} while ${shadow.breaker.state}`);
      if (claim.isTrial) shadow.breaker.trialsLive++;
    }
    this.#judgeBudget(order.chain);
    return claim;
  }

  override noteFirstToken(claim: Claim, nowMs: number): void {
    const owner = this.#owners.get(claim);
    const { holdsTrial } = claim;
    super.noteFirstToken(claim, nowMs);
    if (holdsTrial && owner && this.#isCurrent(owner, claim.model)) {
      this.#judgeMove(claim.model, { what: 'speaks' }, nowMs);
    }
  }

  override release(claim: Claim, nowMs: number): void {
    const owner = this.#owners.get(claim);
    this.#owners.delete(claim);
    if (owner) owner.shadow.live--;
    if (owner && claim.holdsTrial && owner.opening === owner.breaker.opening) owner.breaker.trialsLive--;
    if (claim.isUnlikely) this.#chain(claim.chain).unlikelyLive--;
    // Whoever waits for the place is woken in here, and may take it at once.
    super.release(claim, nowMs);
    const isCurrent = owner !== undefined && this.#isCurrent(owner, claim.model);
    if (isCurrent && claim.isTrial) this.#judgeMove(claim.model, { what: 'trial over' }, nowMs);
  }

  override record(ended: EndedAttempt, claim: Claim | undefined, nowMs: number): void {
    const hasSpoken = claim?.holdsTrial === false;
    super.record(ended, claim, nowMs);
    const shadow = this.#models.get(ended.model);
    if (claim && !ended.failure) this.#deposit(claim.chain);
    const { model } = shadow ?? {};
    const owner = claim && this.#owners.get(claim);
    // What another provider did says nothing of the one at which the model stands now.
    if (!shadow || !model || (owner && owner.provider !== model.provider)) return;
    const health = ended.isStormy ? undefined : this.#healthOf(ended, model);
    const isOwn = claim?.isTrial === true && owner !== undefined && this.#isCurrent(owner, ended.model);
    // What spoke was a good trial then, and is none any more, unless it breaks.
    const isTrial = isOwn && !(hasSpoken && health === 'success');
    if (health) this.#judgeMove(ended.model, { what: 'record', health, isTrial, rivals: owner?.rivals ?? 0 }, nowMs);
    if (ended.failure) this.rests.noteFailure(model.name, model.provider, ended.failure, nowMs);
    else {
      this.rests.noteSuccess(model.name, ended.startedAtMs);
      if (ended.usedUpForMs !== undefined) this.rests.noteUsedUp(model.name, ended.usedUpForMs, nowMs);
    }
  }

  override countStormy(model: string, nowMs: number): void {
    super.countStormy(model, nowMs);
    this.#judgeMove(model, { what: 'record', health: 'failure', isTrial: false, rivals: 0 }, nowMs);
  }

  /** What the board was told of the attempt that begins now; undefined: nothing, as of a drill. */
  takeBegun(): Begun | undefined {
    const begun = this.lastBegun;
    this.lastBegun = undefined;
    return begun;
  }

  policyOf(model: string): NonNullable<BoardModel['policy']> {
    return this.#models.get(model)?.model.policy ?? DEFAULT_POLICY;
  }

  breakerPolicy(model: string): Policy['breaker'] {
    return this.policyOf(model).breaker;
  }

  /**
   * Nobody sleeps while a place is free, and nobody waits who has left.
   * @param idle requests that have no attempt under way.
   */
  judgeQueues(idle: number): void {
    for (const [name, { model }] of this.#models) {
      const { live, waiting } = this.crowd(name);
      if (waiting > idle) this.#complain(`${name}: ${waiting} wait, and only ${idle} requests could`);
      if (waiting > 0 && live < (model.maxConcurrent ?? Infinity))
        this.#complain(`${name}: ${waiting} wait beside ${live} attempts`);
    }
  }

  /** Once nothing is under way any more. */
  judgeEnd(nowMs: number): void {
    for (const [name, { live }] of this.#models) {
      const crowd = this.crowd(name);
      if (live !== 0 || crowd.live !== 0)
        this.#complain(`${name}: ${crowd.live} places are still taken, ${live} attempts live`);
      if (crowd.waiting !== 0) this.#complain(`${name}: ${crowd.waiting} still wait for a place`);
      const { state } = this.availability(name, nowMs);
      if (state !== 'usable' && state !== 'ramping') this.#complain(`${name}: ${state} for ever`);
    }
    for (const [name, { unlikelyLive }] of this.#chains) {
      if (unlikelyLive !== 0 || !this.mayTryUnlikely(name, nowMs)) this.#complain(`${name}: nobody may try any more`);
    }
  }

  #judgeBegin(order: Order, { model, breaker, live }: ShadowModel, nowMs: number): void {
    const { name, provider, maxConcurrent = Infinity } = model;
    const { softMs, hardMs } = this.rests.untilMs(name, provider);
    const wrong = (what: string): void => this.#complain(`${name} is asked ${what} (chain ${order.chain})`);
    if (live >= maxConcurrent) wrong(`beyond its ${maxConcurrent} places`);
    if (nowMs < hardMs) wrong(`${hardMs - nowMs} ms before it may be tried at all`);
    if (!order.unlikely) {
      if (nowMs < softMs) wrong(`${softMs - nowMs} ms before its rest is over`);
      if (!breaker.admits(nowMs)) wrong(`though it is ${breaker.state} with ${breaker.trialsLive} trials`);
      return;
    }
    const chain = this.#chain(order.chain);
    if (order.isHedge) wrong('as a hedge though it is down');
    if (chain.unlikelyLive > 0) wrong('as a second try at once');
    if (nowMs - chain.unlikelyAtMs < UNLIKELY_MS) wrong(`${nowMs - chain.unlikelyAtMs} ms after the last try`);
    chain.unlikelyLive++;
    chain.unlikelyAtMs = nowMs;
  }

  #judgeMove(name: string, step: BreakerStep, nowMs: number): void {
    const shadow = this.#models.get(name);
    if (!shadow) return;
    const wrong = shadow.breaker.judge(step, this.breakerState(name, nowMs), nowMs);
    if (wrong) this.#complain(`breaker of ${name}: ${wrong} (${JSON.stringify(step)})`);
  }

  #isCurrent({ breaker, opening }: Owner, model: string): boolean {
    return this.#models.get(model)?.breaker === breaker && breaker.opening === opening;
  }

  #judgeCost(order: Order): void {
    const chain = this.#chain(order.chain);
    if (order.isHedge) {
      chain.hedges++;
      // Older requests fade, a thousandth with each that comes.
      const most = (chain.mostShare * Math.max(chain.requests, HEDGE_LEAST_REQUESTS)) / 0.999 ** chain.requests;
      if (chain.hedges > most + 1e-9)
        this.#complain(`${chain.hedges} hedges of ${chain.requests} requests in ${order.chain}`);
    }
    const budget = this.#budgets.get(order.chain);
    if (!order.costs || !budget) return;
    budget.spent++;
    budget.balance--;
    if (budget.balance < -1e-6) this.#complain(`retry budget of ${order.chain}: overdrawn by ${-budget.balance}`);
    const { burst, ratio } = budget.policy;
    if (budget.spent > burst + budget.deposits * ratio + 1e-6)
      this.#complain(`${budget.spent} retries and hedges were paid from ${burst} + ${budget.deposits} deposits`);
  }

  #judgeBudget(chain: string): void {
    const actual = this.retryBudget(chain);
    const balance = this.#budgets.get(chain)?.balance;
    if (actual === undefined || balance === undefined) return;
    if (actual < 0 || Math.abs(actual - balance) > 1e-6)
      this.#complain(`retry budget of ${chain}: ${actual}, expected ${balance}`);
  }

  #deposit(chain: string): void {
    const budget = this.#budgets.get(chain);
    if (!budget) return;
    budget.deposits++;
    budget.balance = Math.min(budget.policy.burst, budget.balance + budget.policy.ratio);
    this.#judgeBudget(chain);
  }

  /** As the contract's table has it; what took three quarters of its time, or longer than it ever does, was slow. */
  #healthOf(ended: EndedAttempt, model: BoardModel): 'success' | 'failure' | undefined {
    if (ended.beaten) return 'failure';
    if (ended.failure) return COUNTED.has(ended.failure.class) ? 'failure' : undefined;
    const { timeoutMs } = model.policy ?? DEFAULT_POLICY;
    const usualMs = this.usualAnswerMs(model.name, ended.streaming) ?? 0;
    const slowMs = Math.max(timeoutMs * 0.75, usualMs);
    const tookMs = ended.streaming ? ended.ttftMs : ended.latencyMs;
    return tookMs !== undefined && tookMs > slowMs ? 'failure' : 'success';
  }

  #renewed(known: ShadowModel | undefined, model: BoardModel): ShadowModel {
    const breaker = (model.policy ?? DEFAULT_POLICY).breaker;
    if (known?.model.provider !== model.provider) {
      this.rests.forget(model.name);
      return { model, breaker: new ShadowBreaker(breaker), live: 0 };
    }
    known.model = model;
    if (JSON.stringify(breaker) !== JSON.stringify(known.breaker.policy)) known.breaker = new ShadowBreaker(breaker);
    return known;
  }

  #renewBudget(chain: string, policy: Policy['retryBudget']): void {
    const known = this.#budgets.get(chain);
    if (known?.policy.ratio === policy.ratio && known.policy.burst === policy.burst) return;
    this.#budgets.set(chain, { policy, balance: policy.burst, deposits: 0, spent: 0 });
  }

  #chain(name: string): ShadowChain {
    let chain = this.#chains.get(name);
    if (!chain) {
      chain = { requests: 0, hedges: 0, mostShare: 0, unlikelyLive: 0, unlikelyAtMs: -Infinity };
      this.#chains.set(name, chain);
    }
    return chain;
  }
}
