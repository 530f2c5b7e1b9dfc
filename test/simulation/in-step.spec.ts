/**
 * Replicas that are hit by the same outage in the same moment know nothing of each other. Their retries, their tries and
 * the requests that wait must not come back in step all the same: forty of them would be a wave.
 */
import { describe, expect, it } from 'vitest';
import { ChainRunner } from '../../src/chain/chain-runner.js';
import { ChainEvents } from '../../src/chain/events.js';
import { ModelBoard } from '../../src/chain/model-board.js';
import { makePlan } from '../../src/policy/plan.js';
import { DEFAULT_POLICY } from '../../src/policy/policy.js';
import { ours } from '../../src/simulation/outage/contestants.js';
import { type Call, Field, type ModelNature } from '../../src/simulation/outage/field.js';
import type { Spell } from '../../src/simulation/outage/trouble.js';
import { seededRandom } from '../../src/simulation/latency-profile.js';
import { VirtualClock } from '../../src/simulation/virtual-clock.js';
import { ownFailure } from '../../src/upstream/classify.js';
import { load } from '../config/given.js';

const REPLICAS = 40;
const PER_SECOND = 2_000;
const FROM_MS = 5_000;
const TO_MS = 25_000;
const SPAN_MS = 45_000;
const BIN_MS = 100;
/** What all replicas ask of a healthy model in 100 ms. */
const USUAL = (PER_SECOND * BIN_MS) / 1_000;
/** Until then every replica has found out. */
const KNOWN_AFTER_MS = 1_000;

interface Bin {
  readonly fromMs: number;
  asked: number;
  /** Of these, attempts of requests that had asked the model before. */
  retries: number;
}

/** What is asked of the first model of the chain, in tenths of a second, and how many callers got an answer. */
function play(models: readonly string[], trouble: Partial<Spell>): { bins: Bin[]; answered: number } {
  const providers = Object.fromEntries(models.map((name) => [`${name}-p`, { kind: 'external' as const }]));
  const named = Object.fromEntries(models.map((name) => [name, { provider: `${name}-p` }]));
  const settings = load({ options: { providers, models: named, chains: { default: models } } });
  const clock = new VirtualClock();
  const bins = Array.from({ length: SPAN_MS / BIN_MS + 1_000 }, (_, i): Bin => {
    return { fromMs: i * BIN_MS, asked: 0, retries: 0 };
  });
  const natures = models.map((name, place): ModelNature => {
    const latency = { ttftP50Ms: 200, ttftSigma: 0.3, tokensPerSecond: 100 };
    const spells = place === 0 ? [{ fromMs: FROM_MS, toMs: TO_MS, errorMs: 50, errorRatio: 1, ...trouble }] : [];
    return { name, latency, everydayErrorRatio: 0, spells };
  });
  const field = new Field(natures, clock, 7, {
    begins(model, _isDown, isRetry) {
      const bin = bins[Math.floor(clock.nowMs() / BIN_MS)];
      if (model !== 0 || !bin) return;
      bin.asked++;
      if (isRetry) bin.retries++;
    },
    ends() {},
  });
  const random = seededRandom(3);
  const replicas = ours(field, { settings, replicas: REPLICAS, sharedState: false }, random);
  let answered = 0;
  for (let index = 0; clock.nowMs() < SPAN_MS; index++) {
    clock.advance((-Math.log(1 - random()) * 1_000) / PER_SECOND);
    const call: Call = { index, streaming: false, inputTokens: 9, outputTokens: 9, asked: models.map(() => 0) };
    replicas.start(call, ({ model }) => {
      if (model !== undefined) answered++;
    });
  }
  while (clock.step());
  return { bins, answered };
}

const most = (bins: readonly Bin[], of: 'asked' | 'retries'): number => Math.max(...bins.map((bin) => bin[of]));
const during = ({ fromMs }: Bin): boolean => fromMs >= FROM_MS + KNOWN_AFTER_MS && fromMs < TO_MS;
const after = ({ fromMs }: Bin): boolean => fromMs >= TO_MS;

describe('forty replicas in one outage', { timeout: 60_000 }, () => {
  it('make their trials apart from each other: never a third of them within 100 ms', () => {
    const { bins } = play(['a', 'b'], {});
    expect(most(bins.filter(during), 'asked')).toBeLessThan(REPLICAS / 3);
  });

  it('try the only model there is apart from each other, once a second each', () => {
    const bins = play(['a'], {}).bins.filter(during);
    expect(most(bins, 'asked')).toBeLessThan(REPLICAS / 2);
    const asked = bins.reduce((sum, bin) => sum + bin.asked, 0);
    expect(asked).toBeLessThan((REPLICAS * (TO_MS - FROM_MS)) / 1_000);
  });

  it.each([{ failsWith: 'overloaded' as const }, { failsWith: 'rate_limited' as const }])(
    'do not retry in step after rests of the same length: $failsWith',
    ({ failsWith }) => {
      const bins = play(['a'], { failsWith }).bins.filter(during);
      expect(most(bins, 'asked')).toBeLessThan(USUAL);
      expect(most(bins, 'retries')).toBeLessThan(REPLICAS / 2);
    },
  );

  it('that are all told to come back in 5 s ask little while it lasts, and come back without a rush', () => {
    const { bins, answered } = play(['a'], { failsWith: 'rate_limited', retryAfterMs: 5_000 });
    expect(most(bins.filter(during), 'asked')).toBeLessThan(USUAL * 1.5);
    expect(most(bins.filter(after), 'asked')).toBeLessThan(USUAL * 3);
    expect(answered).toBeGreaterThan(0.99 * PER_SECOND * (SPAN_MS / 1_000));
  });

  it('come back to a model that recovers without a rush', () => {
    for (const trouble of [{}, { failsWith: 'overloaded' as const }, { hangs: true }]) {
      expect(most(play(['a'], trouble).bins.filter(after), 'asked')).toBeLessThan(USUAL * 2);
    }
  });

  it('retry apart from each other what broke in the same moment', () => {
    const clock = new VirtualClock();
    const random = seededRandom(5);
    const retriedAtMs: number[] = [];
    const policy = DEFAULT_POLICY;
    const models = [{ name: 'a', provider: 'p', policy, entry: 0, continuation: 'none' as const }];
    const request = { streaming: false, isContinuable: false, fallback: true };
    const plan = makePlan({ name: 'default', models, policy }, request);
    for (let i = 0; i < REPLICAS * 3; i++) {
      const events = new ChainEvents();
      const board = new ModelBoard([{ name: 'a', provider: 'p' }], events, random);
      new ChainRunner({ board, events, clock, random }).start({
        requestId: 'r',
        plan,
        ask: ({ number }, handler) => {
          if (number === 2) retriedAtMs.push(clock.nowMs());
          const failure = ownFailure('network', 'reset');
          const usage = { inputTokens: 0, outputTokens: 0, reported: false };
          const end =
            number === 1 ? { type: 'failed' as const, failure, delivered: 'nothing' as const, usage } : undefined;
          const fail = (): void => (end ? handler.onEnd(end) : undefined);
          return { cancel: clock.setTimer(100, fail), pause: () => {}, resume: () => {} };
        },
        sink: { onCommit: () => {}, onBytes: () => {}, onFinish: () => {} },
      });
    }
    clock.advance(2_000);
    expect(retriedAtMs).toHaveLength(REPLICAS * 3);
    const bins = Map.groupBy(retriedAtMs, (atMs) => Math.floor(atMs / BIN_MS));
    expect(Math.max(...[...bins.values()].map((bin) => bin.length))).toBeLessThan(REPLICAS / 2);
  });
});
