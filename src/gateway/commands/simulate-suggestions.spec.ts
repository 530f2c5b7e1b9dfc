import { describe, expect, it } from 'vitest';
import type { Suggestion } from '../../simulation/outage/suggest.js';
import { suggestionLines } from './simulate-suggestions.js';

const BEFORE = { requests: 1_000, answered: 900, waitP99Ms: 30_000, attemptsPerAnswer: 1.02, answerUsd: 0.02 };
const TIMEOUT: Suggestion = {
  setting: 'policy.timeoutMs',
  from: '30000',
  to: '7500',
  before: BEFORE,
  after: { ...BEFORE, waitP99Ms: 8_200, answerUsd: 0.01, attemptsPerAnswer: 1.3 },
  better: ['waitP99Ms', 'answerUsd'],
  worse: ['attemptsPerAnswer'],
};

describe('what would help is told', () => {
  it('with what it gains and what it costs', () => {
    expect(suggestionLines('slow', [TIMEOUT])).toEqual([
      'slow: policy.timeoutMs 7500 instead of 30000: p99 wait 8.2 s instead of 30 s, ' +
        '1,000 answers for $10.00 instead of $20.00; but attempts per answer 1.3 instead of 1.02',
    ]);
  });

  it('with what it takes for granted', () => {
    const after = { ...BEFORE, answered: 1_000 };
    const change = { setting: 'chains.default', from: '[a]', to: '[a, b]', provided: 'b is well' };
    expect(suggestionLines('hang', [{ ...change, before: BEFORE, after, better: ['answered'], worse: [] }])).toEqual([
      'hang: chains.default [a, b] instead of [a] (b is well): answered 100 % instead of 90.0 %',
    ]);
  });

  it('or that nothing does', () => {
    expect(suggestionLines('blip', [])).toEqual(['blip: no change that was tried helps beyond chance']);
  });
});
