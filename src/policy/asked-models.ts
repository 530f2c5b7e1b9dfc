/**
 * What one request has learnt by asking: whom it asked how often, how that ended, and so who may still be asked.
 *
 * Only this request's own experience; how the models are doing for everyone is the HealthView's affair.
 */
import { type Failure, type FailureClass, traitsOf } from './failure.js';
import type { PlannedModel, RequestPlan } from './plan.js';

interface Asked {
  attempts: number;
  sameModelRetries: number;
  lastFailure?: Failure;
}

export interface LastFailed {
  readonly model: string;
  readonly reason: FailureClass;
}

export class AskedModels {
  /** In the order in which they happened. */
  readonly failures: Failure[] = [];
  lastFailed: LastFailed | undefined;
  /** Attempts on a model that had been tried before. */
  retries = 0;
  readonly #plan: RequestPlan;
  readonly #asked = new Map<PlannedModel, Asked>();
  readonly #excludedProviders = new Set<string>();
  readonly #excludedModels = new Set<PlannedModel>();
  /** Only a model whose window is larger (or unknown) may still be asked. */
  #windowAbove = 0;

  constructor(plan: RequestPlan) {
    this.#plan = plan;
  }

  has(model: PlannedModel): boolean {
    return this.#asked.has(model);
  }

  attemptsOn(model: PlannedModel): number {
    return this.#asked.get(model)?.attempts ?? 0;
  }

  sameModelRetriesOn(model: PlannedModel): number {
    return this.#asked.get(model)?.sameModelRetries ?? 0;
  }

  /** @param isFree an attempt that no bound counts: the same question, put in another way. */
  noteAttempt(model: PlannedModel, isFree: boolean): void {
    const asked = this.#of(model);
    if (asked.attempts > 0 && !isFree) this.retries++;
    if (asked.attempts === 0 || !isFree) asked.attempts++;
  }

  noteSameModelRetry(model: PlannedModel): void {
    this.#of(model).sameModelRetries++;
  }

  noteFailure(model: PlannedModel, failure: Failure): void {
    this.failures.push(failure);
    this.#of(model).lastFailure = failure;
    this.lastFailed = { model: model.name, reason: failure.class };
    const { fallBack } = traitsOf(failure.class);
    if (fallBack === 'larger-window') this.#windowAbove = Math.max(this.#windowAbove, model.contextWindow ?? 0);
    if (fallBack === 'other-provider' && failure.restScope === 'provider') this.#excludedProviders.add(model.provider);
    if (fallBack === 'other-provider') this.#excludedModels.add(model);
  }

  /** Whether asking this model could help at all, after what the others have said. */
  isEligible(model: PlannedModel): boolean {
    return (
      !this.#excludedModels.has(model) &&
      !this.#excludedProviders.has(model.provider) &&
      (this.#windowAbove === 0 || model.contextWindow === undefined || model.contextWindow > this.#windowAbove)
    );
  }

  /** Whether this request may come back to a model that it has already asked. */
  mayRetry(model: PlannedModel): boolean {
    const asked = this.#asked.get(model);
    const failure = asked?.lastFailure;
    return (
      asked !== undefined &&
      failure !== undefined &&
      this.retries < this.#plan.policy.maxRetries &&
      asked.attempts <= (model.maxRetries ?? Infinity) &&
      !failure.neverRetry &&
      traitsOf(failure.class).retrySame !== 'never'
    );
  }

  /** Retries rotate: the model asked least often; among equals one that spoke up, then the chain's order. */
  leastAsked(models: readonly PlannedModel[]): PlannedModel | undefined {
    return models.reduce<PlannedModel | undefined>(
      (least, model) => (least && this.#rankOf(least) <= this.#rankOf(model) ? least : model),
      undefined,
    );
  }

  /** A silent model stays silent: asked again, it would use up what is left of the time. */
  #rankOf(model: PlannedModel): number {
    const asked = this.#asked.get(model);
    const wasSilent = asked?.lastFailure && traitsOf(asked.lastFailure.class).retrySameModel === 'never';
    return (asked?.attempts ?? 0) + (wasSilent ? 0.5 : 0);
  }

  #of(model: PlannedModel): Asked {
    let asked = this.#asked.get(model);
    if (!asked) this.#asked.set(model, (asked = { attempts: 0, sameModelRetries: 0 }));
    return asked;
  }
}
