/**
 * Reads tables that users hand in, and says what is wrong with them so that they can mend it: which line, what stands
 * there, what may stand there; all faults at once.
 *
 * Pure: text in, rows out. Knows no table's meaning.
 */
import { CsvError, parse } from 'csv-parse/sync';

/** A file of the user's cannot be read; one line per fault. */
export class InputError extends Error {
  override readonly name = 'InputError';
  readonly faults: readonly string[];

  constructor(faults: readonly string[]) {
    const more = faults.length - MAX_SHOWN;
    super([...faults.slice(0, MAX_SHOWN), ...(more > 0 ? [`and ${more} more like these`] : [])].join('\n'));
    this.faults = faults;
  }
}

/** A whole column may be wrong; nobody reads ten thousand lines of it. */
const MAX_SHOWN = 10;
/** Of what stands in the file; a fault stays one line. */
const MAX_QUOTED = 60;

export class InputFaults {
  readonly #faults: string[] = [];

  /** @param line counts from 1. */
  add(line: number, what: string): void {
    this.#faults.push(`line ${line}: ${what}`);
  }

  throwIfAny(): void {
    if (this.#faults.length > 0) throw new InputError(this.#faults);
  }
}

export interface InputRow {
  /** In the file, from 1. */
  readonly line: number;
  /** Trimmed; undefined where the table has no such column, '' where the row leaves it empty. */
  get(column: string): string | undefined;
}

/**
 * A table with comma-separated values and a heading.
 * @param required columns that must be there; an array stands for any one of them.
 * @throws InputError where a column is missing, or a row cannot be split into columns.
 */
export function readTable(text: string, required: readonly (string | readonly string[])[]): InputRow[] {
  const [heading, ...records] = parseCsv(text);
  const columns = new Map((heading?.record ?? []).map((column, at) => [column, at]));
  const missing = required.map((any) => [any].flat()).filter((any) => !any.some((column) => columns.has(column)));
  if (missing.length > 0) {
    const names = missing.map((any) => any.join(' or ')).join(', ');
    throw new InputError([`line 1: no column ${names} in the heading ${quoted([...columns.keys()].join(','))}`]);
  }
  const faults = new InputFaults();
  for (const { line, record } of records) {
    if (record.length !== columns.size) {
      faults.add(line, `${record.length} values, expected ${columns.size}, as the heading has columns`);
    }
  }
  faults.throwIfAny();
  return records.map(({ line, record }) => ({
    line,
    get: (column) => {
      const at = columns.get(column);
      return at === undefined ? undefined : record[at];
    },
  }));
}

interface CsvRecord {
  readonly line: number;
  readonly record: readonly string[];
}

function parseCsv(text: string): CsvRecord[] {
  const records: CsvRecord[] = [];
  try {
    parse(text, {
      bom: true,
      trim: true,
      skip_empty_lines: true,
      relax_column_count: true,
      on_record: (record: string[], { lines }) => {
        records.push({ line: lines, record });
        return null;
      },
    });
    return records;
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    const line = typeof error['lines'] === 'number' ? error['lines'] : 1;
    throw new InputError([`line ${line}: expected comma-separated values, quotes in pairs: ${error.message}`]);
  }
}

/** As it stands in the file, short, on one line, control characters escaped. */
export function quoted(value: string): string {
  return JSON.stringify(value.length > MAX_QUOTED ? `${value.slice(0, MAX_QUOTED)}…` : value);
}
