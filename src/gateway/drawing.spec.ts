import { describe, expect, it } from 'vitest';
import { histogram } from './histogram.js';
import { ProgressBar, progressText } from './progress-bar.js';
import { quantilesOf } from './quantiles.js';
import { textTable } from './text-table.js';

it('a table is as wide as its widest cell, numbers to the right', () => {
  const rows = [
    { name: 'gpt-3.5-turbo', count: 7 },
    { name: 'a', count: 1234 },
  ];
  const table = textTable(
    [
      { title: 'MODEL', of: (row: (typeof rows)[number]) => row.name },
      { title: 'COUNT', align: 'right', of: (row) => row.count },
    ],
    rows,
  );
  expect(table).toEqual(['MODEL          COUNT', 'gpt-3.5-turbo      7', 'a               1234']);
});

describe('a histogram', () => {
  it('of nothing is nothing', () => expect(histogram([])).toEqual([]));

  it('counts every value once', () => {
    const values = [1, 1, 2, 3, 5, 8, 13, 21, 1000, 0];
    const counts = histogram(values).map((line) => Number(line.split(' ').at(-1)));
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(values.length);
  });

  it('of equal values has one bar', () => {
    expect(histogram([50, 50, 50]).filter((line) => line.includes('█'))).toHaveLength(1);
  });
});

describe('quantiles', () => {
  it('are of the nearest rank', () => {
    const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);
    expect(quantilesOf(hundred)).toEqual({ p50: 50, p95: 95, p99: 99, mean: 51 });
  });
  it('of one value are that value', () => expect(quantilesOf([7])).toEqual({ p50: 7, p95: 7, p99: 7, mean: 7 }));
  it('of nothing are 0', () => expect(quantilesOf([])).toEqual({ p50: 0, p95: 0, p99: 0, mean: 0 }));
});

const drawn = (isTTY: boolean) => {
  const written: string[] = [];
  const bar = new ProgressBar({ isTTY, write: (text: string) => written.push(text) }, 2);
  bar.step();
  bar.step();
  bar.end();
  return written.join('');
};

describe('a progress bar', () => {
  it('fills from left to right', () => {
    expect(progressText(0, 10)).toBe(`[${'░'.repeat(30)}] 0/10`);
    expect(progressText(5, 10)).toBe(`[${'█'.repeat(15)}${'░'.repeat(15)}] 5/10`);
    expect(progressText(10, 10)).toBe(`[${'█'.repeat(30)}] 10/10`);
  });

  it('is drawn in a terminal up to its end, and taken away', () => {
    expect(drawn(true)).toContain('2/2');
    expect(drawn(true).endsWith('\r\u001b[K')).toBe(true);
  });
  it('is not drawn anywhere else', () => expect(drawn(false)).toBe(''));
});
