/**
 * Interleaved rounds: yardstick and contender do the same work by turns (A B, B A, A B, …), so that what the machine does
 * meanwhile hits both, and one ratio is taken per pair. Medians of pairs say more than one quotient of two sums: a pair
 * that something disturbed is one value among several.
 */
import { cpuMsOf } from './process-tree.ts';

export interface Contender {
  readonly pid: number;
  /** One round. Rejects where the work was not done as ordered. */
  readonly work: () => Promise<void>;
}

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export interface Comparison {
  /** CPU per unit, microseconds. */
  readonly yardstickUs: Spread;
  readonly contenderUs: Spread;
  /** Contender by yardstick, of each pair. */
  readonly ratio: Spread;
}

export interface RoundPlan {
  readonly rounds: number;
  /** Rounds before those that count: code is compiled, connections are opened. */
  readonly warmUps: number;
  readonly unitsPerRound: number;
}

export async function compare(yardstick: Contender, contender: Contender, plan: RoundPlan): Promise<Comparison> {
  const yardstickUs: number[] = [];
  const contenderUs: number[] = [];
  for (let round = 0; round < plan.warmUps + plan.rounds; round++) {
    const pair: { yardstick?: number; contender?: number } = {};
    const takeTurn = async (who: 'yardstick' | 'contender'): Promise<void> => {
      pair[who] = (await cpuOfRound(who === 'yardstick' ? yardstick : contender)) / plan.unitsPerRound;
    };
    const inTurn = round % 2 === 0 ? (['yardstick', 'contender'] as const) : (['contender', 'yardstick'] as const);
    for (const who of inTurn) await takeTurn(who);
    if (round < plan.warmUps || pair.yardstick === undefined || pair.contender === undefined) continue;
    yardstickUs.push(pair.yardstick);
    contenderUs.push(pair.contender);
  }
  const ratios = contenderUs.map((us, at) => us / (yardstickUs[at] ?? Number.NaN));
  return { yardstickUs: spreadOf(yardstickUs), contenderUs: spreadOf(contenderUs), ratio: spreadOf(ratios) };
}

/** Microseconds. */
async function cpuOfRound({ pid, work }: Contender): Promise<number> {
  const beforeMs = cpuMsOf(pid);
  await work();
  return (cpuMsOf(pid) - beforeMs) * 1_000;
}

export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  const median = ((sorted[Math.floor(middle)] ?? Number.NaN) + (sorted[Math.ceil(middle)] ?? Number.NaN)) / 2;
  return { median, min: sorted[0] ?? Number.NaN, max: sorted.at(-1) ?? Number.NaN };
}
