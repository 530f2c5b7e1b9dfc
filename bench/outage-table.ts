/** What the outage came to: the simulator, over its seeds, beside the running app. */
import type { PolicyReport, RunningOutage } from './outage-run.ts';
import type { OutagePlan } from './outage-scenario.ts';

export interface Figure {
  readonly title: string;
  readonly unit: string;
  /** Of the simulator, one per seed, in order of size. */
  readonly simulated: readonly number[];
  readonly app: number;
  /** What was promised of the app. */
  readonly atMost?: number;
}

interface Kind {
  readonly title: string;
  readonly unit: string;
  readonly atMost?: (plan: OutagePlan) => number;
  readonly of: (report: PolicyReport, plan: OutagePlan) => number;
}

const KINDS: readonly Kind[] = [
  { title: 'answered, of all', unit: '%', of: (r) => r.availability * 100 },
  { title: 'attempts per request', unit: '', of: (r) => r.attemptsPerRequest },
  {
    title: 'attempts per request in the outage',
    unit: '',
    atMost: () => 1.1,
    of: (r) => r.attemptsPerRequestInOutage ?? 0,
  },
  { title: 'p50 of a refusal in the outage', unit: 'ms', of: (r) => r.refusalMsInOutage?.p50 ?? 0 },
  { title: 'p99 of a refusal in the outage', unit: 'ms', atMost: () => 20, of: (r) => r.refusalMsInOutage?.p99 ?? 0 },
  {
    title: 'attempts on the models while down',
    unit: '/s',
    of: ({ models }, { outageMs }) =>
      (models.reduce((sum, { attemptsWhileDown }) => sum + attemptsWhileDown, 0) * 1_000) / outageMs,
  },
  {
    title: 'normal again, after its end',
    unit: 's',
    atMost: ({ faster }) => 15 / faster,
    of: ({ recoveries }) => Math.max(...recoveries.map((recovery) => recovery.answeredAgainMs ?? Infinity)) / 1_000,
  },
  {
    title: 'peak on a recovering model, usual = 1',
    unit: '',
    atMost: () => 1.5,
    of: ({ recoveries }) => Math.max(...recoveries.map((recovery) => recovery.peak)),
  },
  { title: 'wait for an answer, p50', unit: 'ms', of: (r) => r.waitMs.p50 },
  { title: 'wait for an answer, p99', unit: 'ms', of: (r) => r.waitMs.p99 },
];

export function figuresOf(plan: OutagePlan, simulated: readonly PolicyReport[], app: RunningOutage): Figure[] {
  return KINDS.map(({ title, unit, atMost, of }) => ({
    title,
    unit,
    simulated: simulated.map((report) => of(report, plan)).toSorted((a, b) => a - b),
    app: of(app.report, plan),
    ...(atMost && { atMost: atMost(plan) }),
  }));
}

export function medianOf(sorted: readonly number[]): number {
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? 0;
}

const COLUMNS = ['', 'simulator (least–most)', 'running app', 'app : simulator', 'promised'];

export function tableOf(figures: readonly Figure[], { bareP99Ms, bareMaxMs, callersPeak }: RunningOutage): string {
  const cells = figures.map(({ title, unit, simulated, app, atMost }) => {
    const median = medianOf(simulated);
    const range = `${rounded(simulated[0] ?? 0)}–${rounded(simulated.at(-1) ?? 0)}`;
    return [
      title,
      `${rounded(median)} ${unit} (${range})`,
      `${rounded(app)} ${unit}`,
      median === 0 ? '' : (app / median).toFixed(2),
      atMost === undefined ? '' : `≤ ${atMost} ${unit}`,
    ];
  });
  // What is no better than these is the machine's.
  const machine = [
    ['a bare request beside it, p99', '', `${rounded(bareP99Ms)} ms`, '', ''],
    ['a bare request beside it, slowest', '', `${rounded(bareMaxMs)} ms`, '', ''],
    ['peak of the callers', '', rounded(callersPeak), '', ''],
  ];
  const lines = [COLUMNS, ...cells, ...machine];
  const widths = COLUMNS.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return lines
    .map((line) =>
      line
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('   ')
        .trimEnd(),
    )
    .join('\n');
}

function rounded(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toPrecision(3);
}
