import { describe, expect, it } from 'vitest';
import { madeUpReport } from '../../../test/app/made-up-report.js';
import { costText, durationText, percentText, plainNumber, settingInWords } from './simulate-words.js';

describe('the figures of a simulation in words', () => {
  it.each([
    { why: 'all', part: 5, whole: 5, text: '100 %' },
    { why: 'none', part: 0, whole: 5, text: '0.0 %' },
    { why: 'a third lost', part: 2, whole: 3, text: '66.6 %' },
    { why: 'two digits of what is missing', part: 9_995, whole: 10_000, text: '99.950 %' },
    { why: 'exactly three nines', part: 999, whole: 1_000, text: '99.90 %' },
    { why: 'one of a million lost', part: 999_999, whole: 1_000_000, text: '99.99990 %' },
    { why: 'never better than it is', part: 99_999_999, whole: 100_000_000, text: '99.999999 %' },
    { why: 'nothing was asked', part: 0, whole: 0, text: '–' },
  ])('a share, $why: $text', ({ part, whole, text }) => expect(percentText(part, whole)).toBe(text));

  it.each([
    { ms: 0, text: '0 ms' },
    { ms: 0.4, text: '<1 ms' },
    { ms: 412.3, text: '412 ms' },
    { ms: 999.6, text: '1.0 s' },
    { ms: 9_949, text: '9.9 s' },
    { ms: 9_951, text: '10 s' },
    { ms: 59_700, text: '1 min' },
    { ms: 125_000, text: '2 min 5 s' },
    { ms: 3_599_800, text: '1 h' },
    { ms: 12_000_000, text: '3 h 20 min' },
    { ms: 12 * 86_400_000, text: '12 days' },
    { ms: 3 * 365 * 86_400_000, text: '3 years' },
  ])('a length of time, $ms ms: $text', ({ ms, text }) => expect(durationText(ms)).toBe(text));

  it.each([
    { value: 0.021_34, text: '0.0213' },
    { value: 1.044_4, text: '1.04' },
    { value: 1_234.4, text: '1,234' },
  ])('a number, $value: $text', ({ value, text }) => expect(plainNumber(value)).toBe(text));

  it.each([
    { usd: 0, text: '$0.00' },
    { usd: 0.012_34, text: '$0.0123' },
    { usd: 1_234.5, text: '$1,234.50' },
  ])('a cost, $usd: $text', ({ usd, text }) => expect(costText(usd)).toBe(text));

  it('the setting: how long, how many, which chain, what was down', () => {
    expect(settingInWords({ ...madeUpReport(), requests: 3_600 })).toBe(
      '3 min, 3,600 requests, 1 replica; chain: gpt-4, then gpt-3.5-turbo. Down: gpt-4 from 1 min to 2 min.',
    );
    const flapping = [0, 1, 2, 3].map((n) => ({ model: 'gpt-4', fromMs: n * 40_000, toMs: n * 40_000 + 20_000 }));
    expect(settingInWords(madeUpReport({ outages: flapping, replicas: 3, sharedState: true }))).toContain(
      '3 replicas that share what they learnt; chain: gpt-4, then gpt-3.5-turbo. Down: gpt-4 4 times.',
    );
  });
});
