import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CircuitBreaker } from './breaker.js';
import { DEFAULT_POLICY, type Policy } from './policy.js';

function made(more: Partial<Policy['breaker']> = {}) {
  const breaker = new CircuitBreaker({ ...DEFAULT_POLICY.breaker, ...more });
  const ask = (outcome: 'success' | 'failure', nowMs: number, random = 0) => {
    const trial = breaker.begin(nowMs);
    breaker.record({ outcome, trial, rivals: 0 }, nowMs, random);
    if (trial !== undefined) breaker.endTrial(trial, nowMs);
  };
  const fails = (count: number, nowMs: number) => {
    for (let i = 0; i < count; i++) ask('failure', nowMs);
  };
  return { breaker, ask, fails };
}

describe('a closed breaker', () => {
  it('opens after so many failures in a row, and a success between begins the count anew', () => {
    const { breaker, ask, fails } = made();
    fails(4, 0);
    ask('success', 0);
    fails(4, 0);
    expect(breaker.state(0)).toBe('closed');
    fails(1, 0);
    expect(breaker.state(0)).toBe('open');
  });

  it('waits for those under way while it is new: failures are told sooner than answers are given', () => {
    const { breaker } = made();
    for (let i = 0; i < 100; i++) breaker.begin(0);
    for (let i = 0; i < 14; i++) breaker.record({ outcome: 'failure', trial: undefined, rivals: 80 + i }, 150, 0);
    expect(breaker.state(150)).toBe('closed');
    for (let i = 0; i < 10; i++) breaker.record({ outcome: 'success', trial: undefined, rivals: i }, 1_000, 0);
    breaker.record({ outcome: 'failure', trial: undefined, rivals: 90 }, 1_000, 0);
    expect(breaker.state(1_000)).toBe('closed');
  });

  it('waits for them again when it has closed: its traffic comes back all at once', () => {
    const { breaker, ask, fails } = made({ closeAfter: 1 });
    for (let i = 0; i < 20; i++) ask('success', 0);
    fails(10, 0);
    ask('success', 5_000);
    for (let i = 0; i < 100; i++) breaker.begin(5_100);
    for (let i = 0; i < 14; i++) breaker.record({ outcome: 'failure', trial: undefined, rivals: 80 + i }, 5_300, 0);
    expect(breaker.state(5_300)).toBe('closed');
  });

  it('opens, new as it is, when as many have failed as were under way', () => {
    const { breaker } = made();
    for (let i = 0; i < 30; i++) breaker.begin(0);
    for (let i = 0; i < 15; i++)
      breaker.record({ outcome: 'failure', trial: undefined, rivals: Math.min(i, 15) }, 150, 0);
    expect(breaker.state(150)).toBe('open');
  });

  it('opens at the failure rate, once there were enough attempts in the window', () => {
    const { breaker, ask } = made({ consecutive: 1_000 });
    for (let i = 0; i < 4; i++) {
      ask('success', i);
      ask('failure', i);
    }
    ask('success', 10);
    expect(breaker.state(10)).toBe('closed');
    ask('failure', 10);
    expect(breaker.state(10)).toBe('open');
  });

  it('forgets what is older than the window', () => {
    const { breaker, ask } = made({ consecutive: 1_000, minAttempts: 4 });
    for (let i = 0; i < 3; i++) ask('failure', 0);
    ask('failure', 31_000);
    expect(breaker.state(31_000)).toBe('closed');
  });
});

describe('a breaker in the first window of its clock', () => {
  it('has forgotten, once it closed, what came before', () => {
    const { breaker, ask, fails } = made({ consecutive: 1_000, minAttempts: 2, closeAfter: 1 });
    fails(2, 0);
    ask('success', 5_000);
    expect(breaker.state(5_000)).toBe('closed');
    ask('failure', 5_100);
    expect(breaker.state(5_100)).toBe('closed');
  });
});

describe('an open breaker', () => {
  it('admits nobody until its time is over, then one trial at a time', () => {
    const { breaker, fails } = made();
    fails(5, 0);
    expect([breaker.admits(4_999), breaker.admits(5_000)]).toEqual([false, true]);
    const trial = breaker.begin(5_000)!;
    expect(breaker.admits(5_000)).toBe(false);
    breaker.record({ outcome: 'success', trial: trial, rivals: 0 }, 5_100, 0);
    breaker.endTrial(trial, 5_100);
    expect([breaker.state(5_100), breaker.admits(5_100)]).toEqual(['half-open', true]);
  });

  it('closes after three good trials', () => {
    const { breaker, ask, fails } = made();
    fails(5, 0);
    for (let i = 0; i < 3; i++) ask('success', 5_000 + i);
    expect(breaker.state(5_003)).toBe('closed');
  });

  it('opens again, for longer, when a trial fails; never for longer than its maximum', () => {
    const { breaker, ask, fails } = made();
    fails(5, 0);
    const lengths: number[] = [];
    for (let i = 0; i < 4; i++) {
      const nowMs = breaker.openUntilMs;
      ask('failure', nowMs);
      lengths.push(breaker.openUntilMs - nowMs);
    }
    expect(lengths).toEqual([10_000, 15_000, 15_000, 15_000]);
  });

  it('is shortened by chance, by a fifth at most', () => {
    for (const random of [0, 0.5, 0.999]) {
      const { breaker, ask } = made({ consecutive: 1 });
      ask('failure', 0, random);
      expect(breaker.openUntilMs).toBeCloseTo(5_000 * (1 - 0.2 * random));
    }
  });

  it('lets the next one try where a trial said nothing', () => {
    const { breaker, fails } = made();
    fails(5, 0);
    breaker.endTrial(breaker.begin(5_000)!, 5_000);
    expect(breaker.admits(5_000)).toBe(true);
  });

  it('stays open until its time where a try before it said nothing', () => {
    const { breaker, fails } = made();
    fails(5, 0);
    const trial = breaker.begin(1_000, true)!;
    expect(breaker.state(1_000)).toBe('half-open');
    breaker.endTrial(trial, 1_100);
    expect([breaker.state(1_100), breaker.admits(1_100), breaker.admits(5_000)]).toEqual(['open', false, true]);
  });

  it('goes on with trials where a try before its time has begun to answer', () => {
    const { breaker, fails } = made();
    fails(5, 0);
    breaker.noteTrialSpeaks(breaker.begin(1_000, true)!, 1_050);
    expect([breaker.state(1_100), breaker.admits(1_100)]).toEqual(['half-open', true]);
  });

  it('closes when three streams have spoken, though none is over', () => {
    const { breaker, fails } = made();
    fails(5, 0);
    for (let i = 0; i < 3; i++) {
      expect(breaker.state(5_000 + i)).toBe('half-open');
      breaker.noteTrialSpeaks(breaker.begin(5_000 + i)!, 5_000 + i);
    }
    expect(breaker.state(5_003)).toBe('closed');
  });

  it('opens again where a stream has spoken and breaks', () => {
    const { breaker, fails } = made();
    fails(5, 0);
    const trial = breaker.begin(5_000)!;
    breaker.noteTrialSpeaks(trial, 5_100);
    breaker.record({ outcome: 'failure', trial: trial, rivals: 0 }, 5_200, 0);
    expect(breaker.state(5_200)).toBe('open');
  });

  it('takes no word and keeps no place for a trial that began before it opened last', () => {
    const { breaker, fails } = made({ openMaxMs: 5_000 });
    fails(5, 0);
    const [silent, failing] = [breaker.begin(5_000)!, breaker.begin(5_000, true)!];
    breaker.record({ outcome: 'failure', trial: failing, rivals: 0 }, 5_100, 0);
    breaker.endTrial(failing, 5_100);
    expect(breaker.admits(10_100)).toBe(true);
    breaker.begin(10_100);
    breaker.record({ outcome: 'failure', trial: silent, rivals: 0 }, 10_200, 0);
    breaker.endTrial(silent, 10_200);
    expect([breaker.state(10_200), breaker.admits(10_200)]).toEqual(['half-open', false]);
  });

  it('is not closed or lengthened by what was asked before it opened', () => {
    const { breaker, fails } = made();
    fails(5, 0);
    const untilMs = breaker.openUntilMs;
    breaker.record({ outcome: 'success', trial: undefined, rivals: 0 }, 10, 0);
    breaker.record({ outcome: 'failure', trial: undefined, rivals: 0 }, 20, 0);
    expect([breaker.state(30), breaker.openUntilMs]).toEqual(['open', untilMs]);
  });
});

describe('a breaker that has closed', () => {
  it('lets traffic back over the slow start', () => {
    const { breaker, ask, fails } = made();
    expect(breaker.share(0)).toBe(1);
    fails(5, 0);
    for (let i = 0; i < 3; i++) ask('success', 5_000);
    expect([5_000, 20_000, 35_000].map((ms) => Math.round(breaker.share(ms) * 100))).toEqual([10, 55, 100]);
  });
});

describe('a model that is down for a minute, asked every four seconds', () => {
  it('is asked at most nine times while it is down, and again within 16 s of its recovery, whatever the chance', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0, max: 0.999_999, noNaN: true }), { minLength: 12, maxLength: 12 }),
        fc.nat(3_999),
        (chances, phaseMs) => {
          const { breaker, ask } = made();
          let asked = 0;
          let draw = 0;
          let usedAgainMs = Infinity;
          for (let nowMs = phaseMs; nowMs < 100_000 && usedAgainMs === Infinity; nowMs += 4_000) {
            if (!breaker.admits(nowMs)) continue;
            const isDown = nowMs < 60_000;
            if (isDown) asked++;
            else usedAgainMs = nowMs;
            ask(isDown ? 'failure' : 'success', nowMs, chances[draw++ % chances.length]);
          }
          expect(asked).toBeLessThanOrEqual(9);
          expect(usedAgainMs - 60_000).toBeLessThanOrEqual(16_000);
        },
      ),
      { numRuns: 2_000 },
    );
  });
});

describe('whatever happens', () => {
  it('makes legal moves only, and never more trials at once than it says', () => {
    const steps = fc.array(
      fc.tuple(
        fc.constantFrom('begin', 'success', 'failure', 'drop'),
        fc.nat(6_000),
        fc.double({ min: 0, max: 0.99, noNaN: true }),
      ),
      { maxLength: 80 },
    );
    fc.assert(
      fc.property(steps, fc.integer({ min: 1, max: 3 }), (all, halfOpenAttempts) => {
        const { breaker } = made({ halfOpenAttempts, consecutive: 2, minAttempts: 4 });
        const live: (number | undefined)[] = [];
        let nowMs = 0;
        for (const [what, afterMs, random] of all) {
          nowMs += afterMs;
          const before = breaker.state(nowMs);
          if (what === 'begin') {
            if (breaker.admits(nowMs)) live.push(breaker.begin(nowMs));
          } else {
            if (live.length === 0) continue;
            const trial = live.shift();
            if (what !== 'drop')
              breaker.record(
                { outcome: what === 'success' ? 'success' : 'failure', trial: trial, rivals: 0 },
                nowMs,
                random,
              );
            if (trial !== undefined) breaker.endTrial(trial, nowMs);
          }
          const after = breaker.state(nowMs);
          const moves = { closed: ['closed', 'open'], open: ['open'], 'half-open': ['half-open', 'open', 'closed'] };
          expect(moves[before]).toContain(after);
          const ofThisOpening = live.filter(
            (trial) => trial !== undefined && trial === Math.max(...live.map((t) => t ?? 0)),
          );
          expect(ofThisOpening.length).toBeLessThanOrEqual(halfOpenAttempts);
        }
      }),
      { numRuns: 1_000 },
    );
  });
});
