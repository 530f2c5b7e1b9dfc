import { describe, expect, it } from 'vitest';
import { loadSettings } from '../config/load-settings.js';
import type { FallbackOptions } from '../config/options.js';
import { weakPoints } from './configuration-summary.js';

const weakPointsOf = (options: FallbackOptions) =>
  weakPoints(loadSettings({ options, readVariable: () => undefined }), { ofProviders: false });

describe('a breaker that a chain would have by its own rules', () => {
  const models = { a: { provider: 'openai' }, b: { provider: 'openai' } };
  const breaker = { consecutive: 2 };

  it('is idle where the default chain asks the model by others', () => {
    const chains = { default: ['a', 'b'], own: { models: ['b', 'a'], breaker } };
    expect(weakPointsOf({ models, chains })).toEqual([
      'chain own: its breaker says nothing of b, whose breaker has the rules of chain default',
      'chain own: its breaker says nothing of a, whose breaker has the rules of chain default',
    ]);
  });

  it('counts where no other chain asks the model', () => {
    const chains = { default: ['a'], own: { models: ['b', 'a'], breaker } };
    expect(weakPointsOf({ models, chains })).toContain(
      'chain own: its breaker says nothing of a, whose breaker has the rules of chain default',
    );
    expect(weakPointsOf({ models, chains }).join()).not.toContain('says nothing of b');
  });

  it('is no weakness where all agree', () => {
    expect(weakPointsOf({ models, chains: { default: ['a', 'b'], own: ['b', 'a'] } })).toEqual([]);
  });
});
