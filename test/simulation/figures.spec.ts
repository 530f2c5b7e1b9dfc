import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readIncidents } from '../../src/simulation/outage/incident-file.js';
import { ERROR_RATIO, INCIDENT_FIGURES } from '../../src/simulation/outage/incident-figures.js';
import { drawIncidents, drawIncidentTimes } from '../../src/simulation/outage/incident-process.js';
import { type InputRow, readTable } from '../../src/simulation/outage/input-table.js';
import { readRequestLog } from '../../src/simulation/outage/request-log.js';
import { arrivals } from '../../src/simulation/outage/traffic.js';
import { seededRandom } from '../../src/simulation/latency-profile.js';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const YEAR_MS = 365 * 24 * HOUR_MS;
/** Years to draw: some twenty thousand incidents, so that what differs is the fit and not chance. */
const YEARS = 300;

interface Period {
  readonly fromMs: number;
  readonly toMs: number;
}

function read(name: string): string {
  return readFileSync(join(import.meta.dirname, 'data', name), 'utf8');
}

function periods(rows: readonly InputRow[], end: string): Period[] {
  return rows
    .map((row) => ({ fromMs: Date.parse(row.get('start_utc') ?? ''), toMs: Date.parse(row.get(end) ?? '') }))
    .filter(({ fromMs, toMs }) => toMs > fromMs)
    .toSorted((a, b) => a.fromMs - b.fromMs);
}

const OLD = readTable(read('incidents-2021-2024.csv'), []).filter((row) => row.get('impact_level') !== '4');
const NEW = readTable(read('incidents-2026-07-09.csv'), []).filter((row) => row.get('api_or_models') === 'yes');

function ofService(service: string): Period[] {
  return periods(
    OLD.filter((row) => row.get('services')?.split('|').includes(service)),
    'close_utc',
  );
}

function of2026(provider: string): Period[] {
  return periods(
    NEW.filter((row) => row.get('provider') === provider),
    'resolved_utc',
  );
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Between the two nearest, as the published figures have it. */
function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const at = share * (sorted.length - 1);
  const below = sorted[Math.floor(at)]!;
  return below + (at % 1) * (sorted[Math.ceil(at)]! - below);
}

function summary(values: readonly number[]): Record<string, number> {
  return {
    p10: quantile(values, 0.1),
    p50: quantile(values, 0.5),
    p90: quantile(values, 0.9),
    mean: mean(values),
  };
}

const lengths = (all: readonly Period[]): number[] => all.map(({ fromMs, toMs }) => (toMs - fromMs) / MINUTE_MS);
const gaps = (all: readonly Period[]): number[] =>
  all.slice(1).map(({ fromMs }, before) => (fromMs - all[before]!.fromMs) / HOUR_MS);

/** Without the parts in which two overlap counted twice. */
function merged(all: readonly Period[]): Period[] {
  const whole: Period[] = [];
  for (const { fromMs, toMs } of all.toSorted((a, b) => a.fromMs - b.fromMs)) {
    const last = whole.at(-1);
    if (last && fromMs <= last.toMs) whole[whole.length - 1] = { ...last, toMs: Math.max(last.toMs, toMs) };
    else whole.push({ fromMs, toMs });
  }
  return whole;
}

function total(all: readonly Period[]): number {
  return all.reduce((sum, { fromMs, toMs }) => sum + toMs - fromMs, 0);
}

function cut(all: readonly Period[], { fromMs, toMs }: Period): Period[] {
  return all
    .map((period) => ({ fromMs: Math.max(fromMs, period.fromMs), toMs: Math.min(toMs, period.toMs) }))
    .filter((period) => period.fromMs < period.toMs);
}

function expectNear(drawn: number, data: number, tolerance: number, what: string): void {
  const off = drawn / data - 1;
  expect(Math.abs(off), `${what}: drawn ${drawn.toFixed(3)}, data ${data.toFixed(3)}`).toBeLessThan(tolerance);
}

/** How far a quantile or the mean may be off: the fewer incidents, the less their own quantiles say. */
const SETS = [
  { key: 'openai-api-2021-2024', n: 222, data: ofService('openai-api'), tolerance: 0.1 },
  { key: 'anthropic-api-2023-2024', n: 72, data: ofService('anthropic-api'), tolerance: 0.2 },
  { key: 'anthropic-api-2026', n: 37, data: of2026('anthropic'), tolerance: 0.1 },
  { key: 'openai-api-2026', n: 7, data: of2026('openai'), tolerance: 0.4 },
] as const;

describe.each(SETS)('drawn incidents of $key', ({ key, n, data, tolerance }) => {
  const figures = INCIDENT_FIGURES[key];
  const drawn = drawIncidentTimes(figures, YEARS * YEAR_MS, seededRandom(7));

  it(`last and follow each other as the ${n} that were reported`, () => {
    expect(data).toHaveLength(n);
    for (const [what, measure] of [['minutes', lengths] as const, ['gap in hours', gaps] as const]) {
      const reported = summary(measure(data));
      for (const [figure, value] of Object.entries(summary(measure(drawn)))) {
        expectNear(value, reported[figure]!, tolerance, `${what}, ${figure}`);
      }
    }
  });

  it('are open for as much of the time', () => {
    const span = data.at(-1)!.fromMs - data[0]!.fromMs;
    const reported = total(merged(data)) / span;
    expectNear(total(merged(drawn)) / (YEARS * YEAR_MS), reported, Math.max(tolerance, 0.1), 'share of time');
  });
});

/** A day's outage of Anthropic's API that its incident graded "none": 42 % of all the minutes on record. */
const FREAK_DAY = '2024-08-08';

/** Minutes of outage as status pages weigh them, by the minutes in which an incident was open. */
function weighedShare(service: string): { readonly share: number; readonly partial: number } {
  const days = readTable(read('daily-outage-minutes-2021-2024.csv'), [])
    .filter((row) => row.get('service') === service)
    .filter((row) => service !== 'anthropic-api' || row.get('date') !== FREAK_DAY);
  const minutes = (column: string): number => days.reduce((sum, row) => sum + Number(row.get(column)), 0);
  const partial = minutes('partial_minutes');
  const major = minutes('major_minutes');
  const open = total(ofService(service)) / MINUTE_MS;
  return {
    share: (ERROR_RATIO.major * partial + ERROR_RATIO.critical * major) / open,
    partial: partial / (partial + major),
  };
}

describe('how bad drawn incidents are', () => {
  it.each([
    { key: 'openai-api-2021-2024', service: 'openai-api', tolerance: 0.2 },
    { key: 'anthropic-api-2023-2024', service: 'anthropic-api', tolerance: 0.2 },
  ] as const)('agrees with the outage minutes of $service', ({ key, service, tolerance }) => {
    const spells = drawIncidents(INCIDENT_FIGURES[key], YEARS * YEAR_MS, seededRandom(3));
    // What is only degraded weighs nothing on a status page.
    const outages = spells.filter(({ errorRatio = 0 }) => errorRatio > ERROR_RATIO.minor);
    const weighed = outages.reduce((sum, { fromMs, toMs, errorRatio = 0 }) => sum + (toMs - fromMs) * errorRatio, 0);
    const reported = weighedShare(service);
    expectNear(weighed / total(spells), reported.share, tolerance, 'share of requests');
    // A critical incident's recovery is half an outage; a partial outage's is below a third.
    const partial = total(outages.filter(({ errorRatio = 0 }) => errorRatio < 0.5)) / total(outages);
    expect(partial).toBeCloseTo(reported.partial, 1);
  });
});

describe('two providers', () => {
  it('were down together for as long as chance alone gives, and so they are drawn', () => {
    const windows = [
      {
        openai: ofService('openai-api'),
        anthropic: ofService('anthropic-api'),
        window: { fromMs: Date.UTC(2023, 6, 1), toMs: Date.UTC(2024, 7, 21) },
      },
      {
        openai: of2026('openai'),
        anthropic: of2026('anthropic'),
        window: { fromMs: Date.UTC(2026, 7, 4, 12), toMs: Date.UTC(2026, 8, 4, 10) },
      },
    ];
    let bothMs = 0;
    let byChanceMs = 0;
    for (const { openai, anthropic, window } of windows) {
      const [first, second] = [openai, anthropic].map((all) => merged(cut(all, window))) as [Period[], Period[]];
      bothMs += total(first.flatMap((period) => cut(second, period)));
      byChanceMs += (total(first) * total(second)) / (window.toMs - window.fromMs);
    }
    expectNear(bothMs, byChanceMs, 0.2, 'hours together');
  });
});

describe('the public trace of conversations', () => {
  const log = readRequestLog(read('azure-llm-conv-2023-sample.csv'), seededRandom(1));
  const times = log.arrivals.map(({ atMs }) => atMs);
  const between = times.slice(1).map((atMs, before) => atMs - times[before]!);

  it('is read whole', () => {
    expect(log.arrivals).toHaveLength(6_000);
    expect(log.arrivals[1]).toEqual({ atMs: 4_315, inputTokens: 396, outputTokens: 109 });
    expect(log.spanMs / MINUTE_MS).toBeCloseTo(20, 0);
    expect(log.models.size).toBe(0);
  });

  it('comes nearly as independent requests do', () => {
    const variation = Math.sqrt(mean(between.map((gap) => (gap - mean(between)) ** 2))) / mean(between);
    expect(variation).toBeCloseTo(1.06, 1);
    const perSecond = 1_000 / mean(between);
    const requests = arrivals({ perSecond, pattern: 'bursts', burstCv: variation }, seededRandom(1));
    const counts = countsPerSecond(Array.from({ length: 60_000 }, () => requests.next().value.atMs));
    const reported = countsPerSecond(times);
    expectNear(mean(counts), mean(reported), 0.05, 'requests per second');
    expectNear(quantile(counts, 0.99), quantile(reported, 0.99), 0.1, 'requests of a busy second');
  });

  it('has the long requests that are drawn; its first minutes have longer answers than the whole hour', () => {
    const requests = arrivals({ perSecond: 1, pattern: 'regular' }, seededRandom(1));
    const drawn = Array.from({ length: 60_000 }, () => requests.next().value);
    for (const key of ['inputTokens', 'outputTokens'] as const) {
      const [ours, theirs] = [drawn, log.arrivals].map((all) => all.map((request) => request[key])) as [
        number[],
        number[],
      ];
      expectNear(quantile(ours, 0.9), quantile(theirs, 0.9), 0.15, `${key}, p90`);
      expectNear(quantile(ours, 0.99), quantile(theirs, 0.99), 0.15, `${key}, p99`);
      expectNear(quantile(ours, 0.1), quantile(theirs, 0.1), 0.25, `${key}, p10`);
    }
  });
});

function countsPerSecond(times: readonly number[]): number[] {
  const counts = Array.from({ length: Math.floor(times.at(-1)! / 1_000) }, () => 0);
  for (const atMs of times) {
    const second = Math.floor(atMs / 1_000);
    if (second < counts.length) counts[second]!++;
  }
  return counts;
}

describe('the published tables of incidents', () => {
  it.each([
    { name: 'incidents-2021-2024.csv', rows: 542, days: 1_276, openai: 222, anthropic: 72 },
    { name: 'incidents-2026-07-09.csv', rows: 75, days: 45, openai: 7, anthropic: 37 },
  ])('are read as they are: $name', ({ name, rows, days, openai, anthropic }) => {
    const { spells, spanMs, ignored } = readIncidents(read(name));
    expect(rows - ignored).toBe(openai + anthropic);
    expect(spanMs / (24 * HOUR_MS)).toBeCloseTo(days, -0.5);
    expect([...spells.keys()].toSorted()).toEqual(['anthropic', 'openai']);
    for (const all of spells.values()) {
      expect(all.every(({ fromMs, toMs }) => fromMs >= 0 && fromMs < toMs && toMs <= spanMs)).toBe(true);
      expect(all.map(({ fromMs }) => fromMs)).toEqual(all.map(({ fromMs }) => fromMs).toSorted((a, b) => a - b));
    }
  });
});
