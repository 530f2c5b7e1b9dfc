/** What of a configuration the board keeps: one entry per model, one retry budget per chain. */
import type { Settings } from '../config/settings.js';
import type { Policy } from '../policy/policy.js';
import type { BoardModel } from './model-board.js';

/** A model has one breaker, whatever chains ask it: its rules are the model's own, or the default chain's. */
export function* boardModels(settings: Settings): Generator<BoardModel> {
  const policies = settings.chains.get('default')?.policyByModel;
  for (const { name, provider, price, weight, maxConcurrent } of settings.models.values()) {
    const policy = policies?.get(name);
    yield {
      name,
      provider: provider.name,
      weight,
      ...(price && { price }),
      ...(maxConcurrent !== undefined && { maxConcurrent }),
      ...(policy && { policy }),
    };
  }
}

export function* retryBudgets(settings: Settings): Generator<readonly [chain: string, policy: Policy['retryBudget']]> {
  for (const { name, policy } of settings.chains.values()) yield [name, policy.retryBudget];
}
