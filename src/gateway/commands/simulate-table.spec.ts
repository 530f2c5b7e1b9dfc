import { expect, it } from 'vitest';
import { madeUpReport } from '../../../test/app/made-up-report.js';
import { simulationLines } from './simulate-table.js';

function rows(lines: readonly string[]): Map<string, string[]> {
  return new Map(lines.map((line) => line.split(/ {2,}/u)).map(([title = '', ...cells]) => [title, cells]));
}

it('a simulation is a table with a column for each policy and a row for each measure', () => {
  const lines = simulationLines(madeUpReport());
  expect(lines.slice(0, 2)).toEqual([
    'first model down (seed 7)',
    'The first model of the chain answers nothing but errors for a minute; the others are well.',
  ]);
  const table = rows(lines);
  expect(table.get('POLICY')).toEqual(['first only', 'plain loop', 'fixed cooldown', 'ours']);
  expect(table.get('Answered')).toEqual(['66.6 %', '99.69 %', '100 %', '100 %']);
  expect(table.get('Refusal, 1 of 100')).toEqual(['2.3 s', '2.3 s', '–', '–']);
  expect(table.get('Load on gpt-4 while down')).toEqual(['1 ×', '1.2 ×', '0.35 ×', '0.02 ×']);
  expect(table.get('gpt-4 answers again after')).toEqual(['8.8 s', 'never', '7.5 s', '6.8 s']);
  expect(table.has('Attempts per request, all down')).toBe(false);
});

it('what is measured while every model is down has a row of its own', () => {
  const table = rows(simulationLines(madeUpReport({ down: ['gpt-4', 'gpt-3.5-turbo'] })));
  expect(table.get('Attempts per request, all down')?.at(-1)).toBe('0.04');
  expect(table.get('Refusal, 1 of 100, all down')?.at(-1)).toBe('3 ms');
});

it('many recoveries are told by the usual one, the worst, and those that never came', () => {
  const report = madeUpReport();
  const recoveries = [6_000, null, 9_000, 14_000].map((usedAgainMs) => {
    return { model: 'gpt-4', usedAgainMs, backMs: null, answeredAgainMs: 0, peak: 1 };
  });
  const policies = report.policies.map((policy) => ({ ...policy, recoveries }));
  const table = rows(simulationLines({ ...report, policies }));
  expect(table.get('gpt-4 answers again after')?.[0]).toBe('9.0 s');
  expect(table.get('gpt-4 answers again after, worst')?.[0]).toBe('14 s, 1 never');
  expect(table.get('gpt-4 has its share again after')?.[0]).toBe('never');
  expect(table.get('All answered again, gpt-4 back')?.[0]).toBe('0 ms');
});

it('a model that a policy never asks has nothing to recover', () => {
  const table = rows(simulationLines(madeUpReport({ down: ['gpt-3.5-turbo'] })));
  expect(table.get('gpt-3.5-turbo answers again after')?.[0]).toBe('–');
});

it('a load that is hardly ever there is counted, and recoveries that nobody saw are left out', () => {
  const DAY_MS = 86_400_000;
  const report = madeUpReport({ stepMs: DAY_MS, spanMs: 90 * DAY_MS });
  const policies = report.policies.map((policy) => ({
    ...policy,
    models: policy.models.map((load) => ({ ...load, share: 0.01, attemptsWhileDown: 7 })),
  }));
  const table = rows(simulationLines({ ...report, policies }));
  expect(table.get('Load on gpt-4 while down')).toEqual(['7 attempts', '7 attempts', '7 attempts', '7 attempts']);
  expect(table.has('gpt-4 answers again after')).toBe(false);
  expect(table.has('Peak on gpt-4 after')).toBe(false);
});
