import { describe, expect, it } from 'vitest';
import { drawYears, makeYears } from './incident-scenario.js';
import { chainModels, standardSettings } from './scenarios.js';
import type { Spell } from './trouble.js';

const HOUR_MS = 3_600_000;
const RULES = { settings: standardSettings() };
const [FIRST = '', SECOND = ''] = chainModels(RULES.settings).map(({ provider }) => provider.name);

/** Which model has the spells of which provider, in a chain of one model at FIRST and one at SECOND. */
function dealt(listed: readonly string[]): (string | undefined)[] {
  const spellOf = (at: number): Spell => ({ fromMs: at * HOUR_MS, toMs: (at + 1) * HOUR_MS, errorRatio: 1 });
  const spells = new Map(listed.map((name, at) => [name, [spellOf(at)]]));
  const years = makeYears({ ...RULES, name: 'own', about: '', spanMs: 24 * HOUR_MS, requests: 24, spells });
  return years.natures.map(({ spells: own }) => (own.length === 0 ? undefined : listed[own[0]!.fromMs / HOUR_MS]));
}

describe('incidents of providers', () => {
  it.each([
    { why: 'those of its own name', listed: [SECOND, FIRST], models: [FIRST, SECOND] },
    { why: 'in order, where none is called so', listed: ['east', 'west'], models: ['east', 'west'] },
    { why: 'what is left, beside one of its own name', listed: ['east', FIRST], models: [FIRST, 'east'] },
    { why: 'none, where there are no more', listed: [FIRST], models: [FIRST, undefined] },
  ])('come to its models: $why', ({ listed, models }) => expect(dealt(listed)).toEqual(models));

  it('are drawn for three years, alike for the same seed, and of chance of its own for each provider', () => {
    const draw = (seed: number) => [...drawYears(RULES, seed, 1_000).spells.entries()];
    expect(draw(1)).toEqual(draw(1));
    expect(draw(2)).not.toEqual(draw(1));
    const [[first, ofFirst] = [], [second, ofSecond] = []] = draw(1);
    expect([first, second]).toEqual([FIRST, SECOND]);
    expect(ofFirst!.length).toBeGreaterThan(20);
    expect(ofSecond).not.toEqual(ofFirst);
  });

  it('meet about as many requests as were asked for', () => {
    const years = makeYears(drawYears(RULES, 1, 1_000));
    const arrivals = years.arrivals(() => 0.5);
    let requests = 0;
    for (let next = arrivals.next(); !next.done && next.value.atMs < years.spanMs; next = arrivals.next()) requests++;
    expect(requests).toBeGreaterThan(500);
    expect(requests).toBeLessThan(2_000);
  });
});
