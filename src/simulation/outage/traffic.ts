import type { Arrival } from './run-scenario.js';
export function* poisson(perSecond: number, random: () => number): Generator<Arrival, void, undefined> {
  let atMs = 0;
  for (;;) {
    atMs += (-Math.log(1 - random()) * 1000) / perSecond;
    yield { atMs, inputTokens: 1000, outputTokens: 60 + Math.floor(random() * 200) };
  }
}
export function* regular(perSecond: number): Generator<Arrival, void, undefined> {
  for (let i = 1; ; i++) yield { atMs: (i * 1000) / perSecond, inputTokens: 1000, outputTokens: 60 };
}
