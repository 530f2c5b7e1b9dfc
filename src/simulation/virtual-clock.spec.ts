import fc from 'fast-check';
import { expect, it } from 'vitest';
import { VirtualClock } from './virtual-clock.js';

it('fires timers in the order of their moments, then of their setting, and no cancelled one', () => {
  const timers = fc.array(fc.record({ delayMs: fc.nat(50), cancelled: fc.boolean() }), { maxLength: 60 });
  fc.assert(
    fc.property(timers, (planned) => {
      const clock = new VirtualClock();
      const fired: { delayMs: number; i: number }[] = [];
      planned.forEach(({ delayMs, cancelled }, i) => {
        const cancel = clock.setTimer(delayMs, () => {
          expect(clock.nowMs()).toBe(delayMs);
          fired.push({ delayMs, i });
        });
        if (cancelled) cancel();
      });
      while (clock.step());
      const expected = planned
        .map(({ delayMs, cancelled }, i) => ({ delayMs, i, cancelled }))
        .filter((t) => !t.cancelled)
        .toSorted((a, b) => a.delayMs - b.delayMs || a.i - b.i);
      expect(fired).toEqual(expected.map(({ delayMs, i }) => ({ delayMs, i })));
    }),
  );
});

it('stands still between timers, and lets a timer set another', () => {
  const clock = new VirtualClock();
  const seen: number[] = [];
  clock.setTimer(10, () => clock.setTimer(10, () => seen.push(clock.nowMs())));
  clock.advance(15);
  expect([clock.nowMs(), seen]).toEqual([15, []]);
  clock.advance(5);
  expect(seen).toEqual([20]);
});

it('leaps over what is due, which then fires late and in its order', () => {
  const clock = new VirtualClock();
  const seen: string[] = [];
  for (const ms of [30, 10, 20]) clock.setTimer(ms, () => seen.push(`${ms} at ${clock.nowMs()}`));
  clock.leap(25);
  expect([seen, clock.nextTimerAtMs, clock.liveTimers]).toEqual([[], 10, 3]);
  clock.advance(10);
  expect(seen).toEqual(['10 at 25', '20 at 25', '30 at 30']);
  expect([clock.nowMs(), clock.nextTimerAtMs, clock.liveTimers]).toEqual([35, Infinity, 0]);
});

it('counts a timer that was cancelled, twice or after it fired, once', () => {
  const clock = new VirtualClock();
  const cancels = [1, 2, 3].map((ms) => clock.setTimer(ms, () => {}));
  clock.advance(1);
  for (const cancel of [...cancels.slice(0, 2), ...cancels.slice(0, 2)]) cancel();
  expect(clock.liveTimers).toBe(1);
});

it('does not notice that the wall clock was set back', () => {
  const clock = new VirtualClock(1_000_000);
  clock.advance(10);
  clock.shiftWall(-5_000);
  expect([clock.nowMs(), clock.wallEpochMs()]).toEqual([10, 995_010]);
});
