/**
 * Reads incidents of the user's own (`--incidents FILE`): comma-separated, one incident a row, as tables of status pages
 * have them.
 *
 * | column | meaning |
 * | --- | --- |
 * | `provider` | any name |
 * | `start_utc` | ISO 8601 with a zone: `2026-07-21T15:35:03Z` |
 * | `resolved_utc` or `close_utc` | likewise, when it was over |
 * | `impact` or `impact_level` | `none`, `minor`, `major`, `critical`, `maintenance`, or 0 to 4 |
 * | `monitoring_utc` | optional: when it was fixed; from then until it was closed, only a few requests fail |
 * | `services` | optional, with `|` between: rows without a service that ends in `-api` are left out |
 * | `api_or_models` | optional: rows with `no` are left out |
 *
 * Other columns are not read. Maintenance is left out: it is announced. So is an incident of no length: it was entered
 * when it was over, and nobody knows how long it took; the published figures leave these out too.
 */
import { ERROR_RATIO, type Impact, IMPACTS } from './incident-figures.js';
import { InputFaults, type InputRow, quoted, readTable } from './input-table.js';
import type { Spell } from './trouble.js';

export interface IncidentTable {
  /** When the first incident that counts began. */
  readonly startEpochMs: number;
  /** From there until the last one was over; 0 where none counts. */
  readonly spanMs: number;
  /** Per provider, in the order of their starts, in ms from `startEpochMs`. */
  readonly spells: ReadonlyMap<string, readonly Spell[]>;
  /** Rows that were left out. */
  readonly ignored: number;
}

const ISO_TIME = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)$/;
const GRADES = [...IMPACTS, 'maintenance'] as const;

interface Row {
  readonly provider: string;
  readonly startEpochMs: number;
  readonly endEpochMs: number;
  /** When its height was over. */
  readonly fixedEpochMs: number;
  readonly impact: Impact;
}

/** @throws InputError that names each unreadable row's line, what is wrong there and what is allowed. */
export function readIncidents(text: string): IncidentTable {
  const faults = new InputFaults();
  const table = readTable(text, ['provider', 'start_utc', ['resolved_utc', 'close_utc'], ['impact', 'impact_level']]);
  const rows = table.flatMap((row) => readRow(row, faults) ?? []);
  faults.throwIfAny();
  rows.sort((a, b) => a.startEpochMs - b.startEpochMs);
  const startEpochMs = rows[0]?.startEpochMs ?? 0;
  const spells = new Map<string, Spell[]>();
  for (const row of rows) {
    const own = spells.get(row.provider) ?? [];
    own.push(...spellsOf(row, startEpochMs));
    spells.set(row.provider, own);
  }
  const endEpochMs = rows.reduce((latest, row) => Math.max(latest, row.endEpochMs), startEpochMs);
  for (const own of spells.values()) own.sort((a, b) => a.fromMs - b.fromMs);
  return { startEpochMs, spanMs: endEpochMs - startEpochMs, spells, ignored: table.length - rows.length };
}

/** @returns undefined for a row that is left out, or that has a fault. */
function readRow(row: InputRow, faults: InputFaults): Row | undefined {
  const provider = row.get('provider');
  if (!provider) faults.add(row.line, 'provider is empty, expected a name');
  const startEpochMs = readTime(row, ['start_utc'], faults);
  const endEpochMs = readTime(row, ['resolved_utc', 'close_utc'], faults);
  const impact = readImpact(row, faults);
  const fixedEpochMs = row.get('monitoring_utc') ? readTime(row, ['monitoring_utc'], faults) : endEpochMs;
  if (!provider || startEpochMs === undefined || endEpochMs === undefined) return undefined;
  if (endEpochMs < startEpochMs) {
    faults.add(row.line, `it is over at ${iso(endEpochMs)}, before it starts at ${iso(startEpochMs)}`);
    return undefined;
  }
  if (impact === undefined || impact === 'maintenance' || endEpochMs === startEpochMs || !isAboutApi(row)) {
    return undefined;
  }
  const fixed = Math.min(endEpochMs, Math.max(startEpochMs, fixedEpochMs ?? endEpochMs));
  return { provider, startEpochMs, endEpochMs, fixedEpochMs: fixed, impact };
}

function readTime(row: InputRow, columns: readonly string[], faults: InputFaults): number | undefined {
  const column = columns.find((name) => row.get(name)) ?? columns.find((name) => row.get(name) !== undefined);
  const value = (column && row.get(column)) ?? '';
  const epochMs = ISO_TIME.test(value) ? Date.parse(value) : Number.NaN;
  if (!Number.isNaN(epochMs)) return epochMs;
  faults.add(row.line, `${column} is ${quoted(value)}, expected a time with its zone, such as 2026-07-21T15:35:03Z`);
  return undefined;
}

function readImpact(row: InputRow, faults: InputFaults): (typeof GRADES)[number] | undefined {
  const value = row.get('impact') || row.get('impact_level') || '';
  const impact = GRADES.find((grade, level) => value.toLowerCase() === grade || value === String(level));
  if (!impact) faults.add(row.line, `impact is ${quoted(value)}, expected ${GRADES.join(', ')}, or 0 to 4`);
  return impact;
}

function isAboutApi(row: InputRow): boolean {
  if (row.get('api_or_models')?.toLowerCase() === 'no') return false;
  const services = row.get('services');
  return services === undefined || services.split('|').some((service) => service.trim().endsWith('-api'));
}

function spellsOf({ startEpochMs, fixedEpochMs, endEpochMs, impact }: Row, zeroEpochMs: number): Spell[] {
  const fromMs = startEpochMs - zeroEpochMs;
  const fixedMs = fixedEpochMs - zeroEpochMs;
  const toMs = endEpochMs - zeroEpochMs;
  return [
    { fromMs, toMs: fixedMs, errorRatio: ERROR_RATIO[impact] },
    { fromMs: fixedMs, toMs, errorRatio: ERROR_RATIO.minor },
  ].filter((spell) => spell.fromMs < spell.toMs);
}

function iso(epochMs: number): string {
  return new Date(epochMs).toISOString();
}
