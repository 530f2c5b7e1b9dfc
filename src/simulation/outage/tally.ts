/**
 * Counts what a policy did in a simulation: in one pass, and in memory that grows by one number per request, so that three
 * years fit as well as two minutes.
 */
import type { FieldWatch } from './field.js';
import { RecoveryWatch } from './recovery-watch.js';
import type { ModelLoad, PolicyName, PolicyReport, Recovery } from './report.js';
import { Samples, StepCounts } from './samples.js';

export interface TallyFrame {
  readonly models: readonly string[];
  readonly spanMs: number;
  /** Requests that come before are played and not counted; ms. */
  readonly countedFromMs: number;
  /** Of single models, in the order in which they end. */
  readonly outages: readonly { readonly model: number; readonly fromMs: number; readonly toMs: number }[];
  /** Times in which no model is left, less the time that a breaker has to find that out; in order. */
  readonly totalOutages: readonly { readonly fromMs: number; readonly toMs: number }[];
  readonly stepMs: number;
  readonly nowMs: () => number;
}

const SECOND_MS = 1_000;
/** No request takes longer. */
const SLOWEST_MS = 3_600_000;

interface ModelCount {
  attempts: number;
  answered: number;
  attemptsWhileDown: number;
  readonly downMs: number;
  /** The second that is running, and the attempts in it. */
  second: number;
  inThisSecond: number;
}

export class Tally implements FieldWatch {
  readonly #frame: TallyFrame;
  readonly #models: readonly ModelCount[];
  readonly #waits = new Samples();
  readonly #refusals = new Samples();
  readonly #outageRefusals = new Samples();
  readonly #steps: StepCounts;
  readonly #recoveries: RecoveryWatch[] = [];
  #watched: RecoveryWatch[] = [];
  #nextOutage = 0;
  #nextTotal = 0;
  #requests = 0;
  #answered = 0;
  #attempts = 0;
  #retries = 0;
  #costUsd = 0;
  #outageRequests = 0;
  #outageAttempts = 0;

  constructor(frame: TallyFrame) {
    this.#frame = frame;
    const { models, outages, spanMs, countedFromMs } = frame;
    this.#steps = new StepCounts(Math.ceil(spanMs / frame.stepMs), models.length);
    this.#models = models.map((_, model) => {
      const downMs = outages
        .filter((outage) => outage.model === model)
        .reduce(
          (sum, { fromMs, toMs }) => sum + Math.max(0, Math.min(toMs, spanMs) - Math.max(fromMs, countedFromMs)),
          0,
        );
      return { attempts: 0, answered: 0, attemptsWhileDown: 0, downMs, second: -1, inThisSecond: 0 };
    });
  }

  begins(model: number, isDown: boolean, isRetry: boolean): void {
    const nowMs = this.#frame.nowMs();
    const count = this.#models[model]!;
    this.#steps.attempt(model, Math.floor(nowMs / this.#frame.stepMs));
    const second = Math.floor(nowMs / SECOND_MS);
    if (second !== count.second) {
      count.second = second;
      count.inThisSecond = 0;
    }
    count.inThisSecond++;
    this.#beginRecoveries(nowMs);
    for (const each of this.#watched) if (each.model === model) each.noteAttempt(nowMs, count.inThisSecond);
    if (nowMs < this.#frame.countedFromMs) return;
    this.#attempts++;
    if (isRetry) this.#retries++;
    count.attempts++;
    if (isDown) count.attemptsWhileDown++;
  }

  ends(_model: number, costUsd: number): void {
    if (this.#frame.nowMs() >= this.#frame.countedFromMs) this.#costUsd += costUsd;
  }

  /**
   * A request is over.
   * @param answeredBy undefined: it got no answer.
   * @param endedAtMs when its answer, its first token or its error was there.
   */
  finished(startedAtMs: number, attempts: number, answeredBy: number | undefined, endedAtMs: number): void {
    const waitMs = endedAtMs - startedAtMs;
    this.#steps.request(Math.floor(startedAtMs / this.#frame.stepMs), answeredBy === undefined ? undefined : waitMs);
    const nowMs = this.#frame.nowMs();
    this.#beginRecoveries(nowMs);
    for (const each of this.#watched) each.noteRequest(startedAtMs, answeredBy, nowMs);
    if (startedAtMs < this.#frame.countedFromMs) return;
    this.#requests++;
    if (answeredBy === undefined) this.#refusals.add(waitMs);
    else {
      this.#answered++;
      this.#models[answeredBy]!.answered++;
      this.#waits.add(waitMs);
    }
    if (this.#isInTotalOutage(startedAtMs)) {
      this.#outageRequests++;
      this.#outageAttempts += attempts;
      if (answeredBy === undefined) this.#outageRefusals.add(waitMs);
    }
  }

  report(policy: PolicyName): PolicyReport {
    const requests = this.#requests;
    return {
      policy,
      requests,
      answered: this.#answered,
      availability: share(this.#answered, requests),
      waitMs: this.#waits.spread(),
      refusalMs: this.#refusals.spread(),
      attempts: this.#attempts,
      attemptsPerRequest: share(this.#attempts, requests),
      attemptsPerRequestInOutage: this.#outageRequests === 0 ? null : this.#outageAttempts / this.#outageRequests,
      refusalMsInOutage: this.#outageRequests === 0 ? null : this.#outageRefusals.spread(),
      retryShare: share(this.#retries, this.#attempts),
      costUsd: this.#costUsd,
      models: this.#models.map((count, model) => this.#loadOf(model, count)),
      recoveries: this.#recoveries.map((recovery) => this.#describe(recovery)),
      timeline: this.#steps.timeline(),
    };
  }

  #describe({ model, usedAgainMs, backMs, answeredAgainMs, peakPerSecond }: RecoveryWatch): Recovery {
    const { spanMs, countedFromMs } = this.#frame;
    const usual = share(this.#requests * SECOND_MS, spanMs - countedFromMs);
    return {
      model: this.#frame.models[model]!,
      usedAgainMs: rounded(usedAgainMs),
      backMs: rounded(backMs),
      answeredAgainMs: rounded(answeredAgainMs),
      peak: usual > 0 ? peakPerSecond / usual : 0,
    };
  }

  #loadOf(model: number, count: ModelCount): ModelLoad {
    const { attempts, answered, attemptsWhileDown, downMs } = count;
    const usual = this.#usualPerMs(count);
    return {
      model: this.#frame.models[model]!,
      attempts,
      answered,
      share: share(answered, this.#answered),
      attemptsWhileDown,
      loadWhileDown: downMs > 0 && usual > 0 ? attemptsWhileDown / downMs / usual : null,
    };
  }

  #usualPerMs({ attempts, attemptsWhileDown, downMs }: ModelCount): number {
    return share(attempts - attemptsWhileDown, this.#frame.spanMs - this.#frame.countedFromMs - downMs);
  }

  #isInTotalOutage(atMs: number): boolean {
    const { totalOutages } = this.#frame;
    // Requests end in another order than they come: one that is long over is not asked for any more.
    while ((totalOutages[this.#nextTotal]?.toMs ?? Infinity) < this.#frame.nowMs() - SLOWEST_MS) this.#nextTotal++;
    for (let at = this.#nextTotal; at < totalOutages.length && totalOutages[at]!.fromMs <= atMs; at++) {
      if (atMs < totalOutages[at]!.toMs) return true;
    }
    return false;
  }

  #beginRecoveries(nowMs: number): void {
    const { outages } = this.#frame;
    for (let next = outages[this.#nextOutage]; next && next.toMs <= nowMs; next = outages[++this.#nextOutage]) {
      const usual = share(this.#models[next.model]!.answered, this.#answered);
      const watch = new RecoveryWatch(next.model, next.toMs, usual);
      this.#recoveries.push(watch);
      this.#watched.push(watch);
    }
    if (this.#watched.some((each) => each.isOver(nowMs))) {
      this.#watched = this.#watched.filter((each) => !each.isOver(nowMs));
    }
  }
}

function rounded(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms);
}

function share(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}
