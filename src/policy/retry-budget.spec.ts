import fc from 'fast-check';
import { expect, it } from 'vitest';
import { RetryBudget } from './retry-budget.js';

it('pays for a burst, then for one retry in ten successes', () => {
  const budget = new RetryBudget({ ratio: 0.1, burst: 10 });
  for (let i = 0; i < 10; i++) expect(budget.tryWithdraw()).toBe(true);
  expect(budget.tryWithdraw()).toBe(false);
  for (let i = 0; i < 10; i++) budget.deposit();
  expect(budget.balance).toBeCloseTo(1);
});

it('is never negative and never above its burst', () => {
  fc.assert(
    fc.property(
      fc.array(fc.boolean(), { maxLength: 200 }),
      fc.double({ min: 0, max: 3, noNaN: true }),
      fc.nat(20),
      (steps, ratio, burst) => {
        const budget = new RetryBudget({ ratio, burst });
        for (const isDeposit of steps) {
          if (isDeposit) budget.deposit();
          else budget.tryWithdraw();
          expect(budget.balance).toBeGreaterThanOrEqual(0);
          expect(budget.balance).toBeLessThanOrEqual(burst);
        }
      },
    ),
  );
});
