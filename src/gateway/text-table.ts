/** Rows of text in columns; numbers stand to the right. */
export interface Column<Row> {
  readonly title: string;
  readonly align?: 'right';
  readonly of: (row: Row) => string | number;
}

export function textTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string[] {
  const cells = [columns.map(({ title }) => title), ...rows.map((row) => columns.map(({ of }) => String(of(row))))];
  const widths = columns.map((_, column) => Math.max(...cells.map((line) => line[column]?.length ?? 0)));
  return cells.map((line) =>
    line
      .map((cell, column) =>
        columns[column]?.align === 'right' ? cell.padStart(at(widths, column)) : cell.padEnd(at(widths, column)),
      )
      .join('  ')
      .trimEnd(),
  );
}

function at(widths: readonly number[], column: number): number {
  return widths[column] ?? 0;
}
