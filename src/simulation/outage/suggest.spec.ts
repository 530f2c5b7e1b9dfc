import { describe, expect, it } from 'vitest';
import type { Settings } from '../../config/settings.js';
import { makeScenario, type ScenarioKind, standardSettings } from './scenarios.js';
import { judge, type Outcome, runsOf, suggestChanges } from './suggest.js';
import { changesOf } from './suggest-changes.js';

const DOWN: ScenarioKind = {
  name: 'down',
  about: 'Every model is down for a minute.',
  perSecond: 20,
  spanMs: 180_000,
  spells: () => [{ fromMs: 60_000, toMs: 120_000, errorRatio: 1 }],
};
const RULES = { mayReorder: false };

const changeNamed = (setting: string, kind = DOWN, rules = RULES) =>
  changesOf(makeScenario(kind, { settings: standardSettings() }), rules).filter((one) => one.setting === setting);

describe('what would help in an outage', () => {
  const found = suggestChanges(makeScenario(DOWN, { settings: standardSettings() }), 1, RULES);

  it('is a model that the outage does not touch, where all others are down', () => {
    expect(found[0]).toMatchObject({
      setting: 'chains.default',
      from: '[gpt-4, gpt-3.5-turbo]',
      to: '[gpt-4, gpt-3.5-turbo, gpt-4-elsewhere]',
      provided: 'gpt-4-elsewhere is at another provider, which this outage does not touch',
    });
    const { before, after, better } = found[0]!;
    expect(better).toContain('answered');
    expect(after.requests).toBe(before.requests);
    // A third of the time nobody else answers.
    expect(after.answered - before.answered).toBeGreaterThan(before.requests * 0.1);
  });

  it('is found again, the same, with the same seed', () => {
    expect(suggestChanges(makeScenario(DOWN, { settings: standardSettings() }), 1, RULES)).toEqual(found);
  });

  it('tells each setting once, and how many runs it takes', () => {
    const settings = found.map(({ setting }) => setting);
    expect(settings).toEqual([...new Set(settings)]);
    let heard = 0;
    const short = makeScenario({ ...DOWN, spanMs: 10_000 }, { settings: standardSettings() });
    suggestChanges(short, 1, { ...RULES, onRun: () => (heard += 1) });
    expect(heard).toBe(runsOf(short, RULES));
  });
});

describe('what is tried', () => {
  it('is each a change of one setting, with the scenario otherwise as it was', () => {
    const scenario = makeScenario(DOWN, { settings: standardSettings(), streaming: true });
    const changes = changesOf(scenario, RULES);
    expect(changes.map(({ setting, from, to }) => `${setting} ${from} ${to}`)).toEqual([
      'policy.timeoutMs 30000 7500',
      'policy.timeoutMs 30000 15000',
      'policy.stream.ttftMs 10000 2500',
      'policy.stream.ttftMs 10000 5000',
      'policy.breaker.openMs 5000 1250',
      'policy.breaker.openMs 5000 2500',
      'policy.breaker.openMs 5000 10000',
      'policy.maxRetries 3 0',
      'policy.maxRetries 3 5',
      'policy.hedge.enabled false true',
      'chains.default [gpt-4, gpt-3.5-turbo] [gpt-4, gpt-3.5-turbo, gpt-4-elsewhere]',
    ]);
    for (const change of changes)
      expect(change.scenario).toMatchObject({ spanMs: scenario.spanMs, arrivals: scenario.arrivals });
  });

  it('is in the policy of the chain and of its models', () => {
    const [change] = changeNamed('policy.timeoutMs');
    const { policy, policyByModel } = defaultChain(change!.scenario.settings);
    expect([policy, ...policyByModel.values()].map(({ timeoutMs }) => timeoutMs)).toEqual([7_500, 7_500, 7_500]);
  });

  it('leaves a model the limit that is its own', () => {
    const settings = standardSettings();
    const chain = defaultChain(settings);
    const own = { ...chain.policy, timeoutMs: 4_000 };
    const policyByModel = new Map(chain.policyByModel).set('gpt-4', own);
    const given = { ...settings, chains: new Map([['default', { ...chain, policyByModel }]]) };
    const [change] = changesOf(makeScenario(DOWN, { settings: given }), RULES);
    const changed = defaultChain(change!.scenario.settings).policyByModel;
    expect([change!.setting, changed.get('gpt-4')?.timeoutMs, changed.get('gpt-3.5-turbo')?.timeoutMs]).toEqual([
      'policy.timeoutMs',
      4_000,
      7_500,
    ]);
  });

  it('is how many requests a model takes at a time, where that is known', () => {
    const [change] = changeNamed('models.gpt-3.5-turbo.maxConcurrent', { ...DOWN, capacityOfOthers: 16 });
    expect([change?.from, change?.to]).toEqual(['unset', '16']);
    expect(change!.scenario.settings.models.get('gpt-3.5-turbo')?.maxConcurrent).toBe(16);
    expect(changeNamed('models.gpt-3.5-turbo.maxConcurrent')).toEqual([]);
  });

  it('is another order only where that would not move the outage along', () => {
    const orders = (mayReorder: boolean) => changeNamed('chains.default', DOWN, { mayReorder }).map(({ to }) => to);
    expect(orders(false)).not.toContain('[gpt-3.5-turbo, gpt-4]');
    expect(orders(true)).toContain('[gpt-3.5-turbo, gpt-4]');
    const [change] = changeNamed('chains.default', DOWN, { mayReorder: true });
    expect(change!.scenario.natures.map(({ name }) => name)).toEqual(['gpt-3.5-turbo', 'gpt-4']);
  });
});

describe('a change counts', () => {
  const CHANGE = { setting: 'policy.timeoutMs', from: '30000', to: '15000' };
  const WAS: Outcome = {
    requests: 10_000,
    answered: 9_900,
    waitP99Ms: 4_000,
    attemptsPerAnswer: 1.1,
    answerUsd: 0.01,
  };
  const both = (over: Partial<Outcome>) => [over, over];

  it.each([
    { why: 'more is answered', now: both({ answered: 9_980 }), better: ['answered'], worse: [] },
    { why: 'the wait is shorter', now: both({ waitP99Ms: 3_000 }), better: ['waitP99Ms'], worse: [] },
    {
      why: 'it costs something, which is told',
      now: both({ answered: 9_980, attemptsPerAnswer: 1.4 }),
      better: ['answered'],
      worse: ['attemptsPerAnswer'],
    },
  ])('where $why', ({ now, better, worse }) => {
    const after = now.map((over) => ({ ...WAS, ...over }));
    expect(judge(CHANGE, [WAS, WAS], after)).toMatchObject({ ...CHANGE, better, worse });
  });

  it.each([
    { why: 'nothing changes', now: both({}) },
    { why: 'only one seed has more answers', now: [{ answered: 9_980 }, {}] },
    { why: 'only one seed has the shorter wait', now: [{ waitP99Ms: 3_000 }, { waitP99Ms: 3_900 }] },
    { why: 'answers are more by chance', now: both({ answered: 9_930 }) },
    { why: 'the wait is shorter by a hair', now: both({ waitP99Ms: 3_700 }) },
    { why: 'it is only cheaper', now: both({ answerUsd: 0.001 }) },
    { why: 'fewer are answered, sooner', now: both({ answered: 9_700, waitP99Ms: 1_000 }) },
    { why: 'more are answered, much later', now: both({ answered: 9_980, waitP99Ms: 9_000 }) },
  ])('not where $why', ({ now }) => {
    const after = now.map((over) => ({ ...WAS, ...over }));
    expect(judge(CHANGE, [WAS, WAS], after)).toBeUndefined();
  });

  it('not where the seeds differ by more than it does', () => {
    const before = [
      { ...WAS, waitP99Ms: 4_000 },
      { ...WAS, waitP99Ms: 3_000 },
    ];
    const after = [
      { ...WAS, waitP99Ms: 3_200 },
      { ...WAS, waitP99Ms: 2_400 },
    ];
    expect(judge(CHANGE, before, after)).toBeUndefined();
  });
});

function defaultChain(settings: Settings) {
  const chain = settings.chains.get('default');
  if (!chain) throw new Error('no default chain');
  return chain;
}
