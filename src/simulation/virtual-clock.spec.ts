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
