/**
 * The table that a run prints, and the same as JSON. Goals stand beside the figures; none of them fails the run, since a
 * busy machine is no fault of the code.
 */
import { availableParallelism, cpus, loadavg } from 'node:os';

import type { Spread } from './rounds.ts';
import type { Goal } from './scenarios.ts';

export interface Row {
  readonly name: string;
  readonly title: string;
  readonly yardstick: Spread;
  readonly contender: Spread;
  /** Of the two above. */
  readonly unit: 'µs/request' | 'µs/chunk' | 'MB' | 's';
  readonly goal: Goal;
  /** What is held against the goal: a ratio, or the contender's own figure. */
  readonly value: Spread;
}

export interface RunFacts {
  readonly machine: string;
  readonly isNoise: boolean;
  readonly rounds: number;
}

export type Verdict = 'stretch met' | 'met' | 'missed';

const COLUMNS = ['CPU, and what else has a goal', 'yardstick', 'app', 'held against the goal', 'goal', 'verdict'];
const NOISE_COLUMNS = ['the yardstick against itself', 'first', 'second', 'ratio'];

export function describeMachine(): string {
  const [load = 0] = loadavg();
  const busy = load > 1 ? ' (busy with something else: figures will scatter)' : '';
  const model = cpus()[0]?.model.trim() ?? 'unknown CPU';
  return `Node ${process.versions.node}, ${availableParallelism()} cores, ${model}, load ${load.toFixed(1)}${busy}`;
}

export function verdictOf({ goal, value }: Row): Verdict {
  if (goal.stretch !== undefined && value.median <= goal.stretch) return 'stretch met';
  return value.median <= goal.atMost ? 'met' : 'missed';
}

export function jsonOf(rows: readonly Row[], facts: RunFacts): string {
  const figures = facts.isNoise ? rows : rows.map((row) => ({ ...row, verdict: verdictOf(row) }));
  return JSON.stringify({ ...facts, figures }, null, 2);
}

export function tableOf(rows: readonly Row[], { isNoise }: RunFacts): string {
  const cells = rows.map((row) => {
    const { title, yardstick, contender, unit } = row;
    const figures = [title, `${rounded(yardstick.median)} ${unit}`, `${rounded(contender.median)} ${unit}`];
    return isNoise ? [...figures, spread(row.value)] : [...figures, spread(row.value), limit(row.goal), verdictOf(row)];
  });
  const lines = [isNoise ? NOISE_COLUMNS : COLUMNS, ...cells];
  const widths = COLUMNS.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return lines
    .map((line) => line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('   '))
    .map((line) => line.trimEnd())
    .join('\n');
}

function limit({ atMost, stretch }: Goal): string {
  return stretch === undefined ? `≤ ${atMost}` : `≤ ${atMost} (${stretch})`;
}

function spread({ median, min, max }: Spread): string {
  return min === max ? rounded(median) : `${rounded(median)} (${rounded(min)}–${rounded(max)})`;
}

function rounded(value: number): string {
  return value.toFixed(value < 10 ? 2 : 0);
}
