/** No model is starved: who was slow, or failed fast, gets its share again once it is well. */
import { expect, it } from 'vitest';
import { seededRandom } from '../../src/simulation/latency-profile.js';
import { ours } from '../../src/simulation/outage/contestants.js';
import { type Call, Field, type ModelNature } from '../../src/simulation/outage/field.js';
import type { Spell } from '../../src/simulation/outage/trouble.js';
import { VirtualClock } from '../../src/simulation/virtual-clock.js';
import { load } from '../config/given.js';

const MINUTE_MS = 60_000;

/** @returns which part of the requests each minute asked the second of two equals. */
function sharesOfSecond(trouble: Partial<Spell>, perSecond: number, minutes: number): number[] {
  const options = {
    providers: { p: { kind: 'external' }, q: { kind: 'external' } },
    models: { a: { provider: 'p' }, b: { provider: 'q' } },
    chains: { default: [['a', 'b']] },
  };
  const clock = new VirtualClock();
  const asked = Array.from({ length: minutes + 1 }, () => [0, 0]);
  const natures = ['a', 'b'].map((name, place): ModelNature => {
    const spells = place === 1 ? [{ fromMs: MINUTE_MS, toMs: 2 * MINUTE_MS, ...trouble }] : [];
    return { name, latency: { ttftP50Ms: 300, ttftSigma: 0.4, tokensPerSecond: 200 }, everydayErrorRatio: 0, spells };
  });
  const begins = (model: number): void =>
    void asked[Math.min(minutes, Math.floor(clock.nowMs() / MINUTE_MS))]![model]!++;
  const field = new Field(natures, clock, 11, { begins, ends: () => {} });
  const random = seededRandom(12);
  const replicas = ours(field, { settings: load({ options }), replicas: 1, sharedState: false }, random);
  for (let index = 0; clock.nowMs() < minutes * MINUTE_MS; index++) {
    clock.advance((-Math.log(1 - random()) * 1_000) / perSecond);
    replicas.start(
      { index, streaming: false, inputTokens: 9, outputTokens: 20, asked: [0, 0] } satisfies Call,
      () => {},
    );
  }
  while (clock.step());
  return asked.slice(0, minutes).map(([a = 0, b = 0]) => b / (a + b));
}

it.each([1, 20])(
  'a model that was slow for a minute shares the load with its equal again, at %i requests a second',
  (perSecond) => {
    const shares = sharesOfSecond({ slowBy: 50 }, perSecond, 6);
    expect(shares[1]).toBeLessThan(0.3);
    expect(Math.min(...shares.slice(3))).toBeGreaterThan(0.3);
  },
);

it('a model that fails fast is not taken for a fast one', () => {
  const shares = sharesOfSecond({ errorRatio: 0.3, errorMs: 5 }, 5, 6);
  expect(shares[1]).toBeLessThan(0.6);
  expect(Math.min(...shares.slice(3))).toBeGreaterThan(0.3);
});
