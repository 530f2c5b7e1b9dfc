import { describe, expect, it } from 'vitest';
import { loadSettings } from '../../config/load-settings.js';
import type { FallbackOptions } from '../../config/options.js';
import { deadlineFaults } from './verify.js';

function faultsOf(options: FallbackOptions) {
  return deadlineFaults(loadSettings({ options, readVariable: () => undefined }));
}

describe('a deadline', () => {
  it('of the defaults fits a fallback', () => expect(faultsOf({})).toEqual({ problems: [], advice: [] }));

  it('that the first model may use up is a problem', () => {
    expect(faultsOf({ policy: { timeoutMs: 30_000, deadlineMs: 30_000 } })).toEqual({
      problems: [
        'chain default: until gpt-4 timed out (30000 ms), the deadline of 30000 ms is over: they are cut short to leave time for gpt-3.5-turbo',
      ],
      advice: [],
    });
  });

  it('that the first models may use up together is advice', () => {
    const { problems, advice } = faultsOf({
      models: { a: { provider: 'openai' }, b: { provider: 'openai' }, c: { provider: 'openai' } },
      chains: { default: ['a', 'b', 'c'] },
    });
    expect(problems).toEqual([]);
    expect(advice).toEqual([
      'chain default: until a, b timed out (60000 ms), the deadline of 60000 ms is over: they are cut short to leave time for c',
    ]);
  });

  it('counts what a model and a chain say for themselves', () => {
    const options: FallbackOptions = {
      models: { a: { provider: 'openai', timeoutMs: 5_000 }, b: { provider: 'openai' } },
      chains: { default: { models: ['a', 'b'], deadlineMs: 6_000 }, tight: { models: ['a', 'b'], deadlineMs: 5_000 } },
    };
    expect(faultsOf(options).problems).toEqual([expect.stringMatching(/^chain tight: /u)]);
  });

  it('fits no fallback where there is none, which is no fault of its own', () => {
    expect(faultsOf({ enabled: false, policy: { timeoutMs: 30_000, deadlineMs: 1_000 } }).problems).toEqual([]);
  });
});
