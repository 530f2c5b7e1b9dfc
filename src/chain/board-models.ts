/** What of a configuration the board keeps: one entry per model, one retry budget per chain. */
import type { ChainSettings, Settings } from '../config/settings.js';
import type { Policy } from '../policy/policy.js';
import type { BoardModel } from './model-board.js';

/** A model has one breaker, whatever chains ask it. */
export function* boardModels(settings: Settings): Generator<BoardModel> {
  for (const { name, provider, price, weight, maxConcurrent } of settings.models.values()) {
    const policy = breakingChain(settings, name)?.policyByModel.get(name);
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

/** Whose rules a model's breaker has: the default chain's where that asks it, else those of the first chain that does. */
export function breakingChain({ chains }: Settings, model: string): ChainSettings | undefined {
  const asking = [...chains.values()].filter(({ entries }) => entries.flat().some(({ name }) => name === model));
  return asking.find(({ name }) => name === 'default') ?? asking[0] ?? chains.get('default');
}

export function* retryBudgets(settings: Settings): Generator<readonly [chain: string, policy: Policy['retryBudget']]> {
  for (const { name, policy } of settings.chains.values()) yield [name, policy.retryBudget];
}
