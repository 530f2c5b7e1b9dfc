import { describe, expect, it } from 'vitest';
import { readIncidents } from './incident-file.js';
import { InputError } from './input-table.js';

const HEAD = 'provider,start_utc,resolved_utc,impact';

function faultsOf(text: string): readonly string[] {
  try {
    readIncidents(text);
  } catch (error) {
    if (error instanceof InputError) return error.faults;
    throw error;
  }
  return [];
}

describe('a file of incidents', () => {
  it('gives spells per provider, counted from the first incident', () => {
    const table = readIncidents(
      [
        HEAD,
        'beta,2026-08-01T02:00:00Z,2026-08-01T03:00:00Z,critical',
        'alpha,2026-08-01T01:00:00Z,2026-08-01T01:30:00Z,minor',
        'alpha,2026-08-01T00:00:00+00:00,2026-08-01T00:10:00.500Z,Major',
      ].join('\n'),
    );
    expect(table).toEqual({
      startEpochMs: Date.UTC(2026, 7, 1),
      spanMs: 3 * 3_600_000,
      spells: new Map([
        [
          'alpha',
          [
            { fromMs: 0, toMs: 600_500, errorRatio: 0.3 },
            { fromMs: 3_600_000, toMs: 5_400_000, errorRatio: 0.05 },
          ],
        ],
        ['beta', [{ fromMs: 7_200_000, toMs: 10_800_000, errorRatio: 1 }]],
      ]),
      ignored: 0,
    });
  });

  it('takes the other names of the columns, impacts as numbers, and the time at which it was fixed', () => {
    const { spells } = readIncidents(
      [
        '\uFEFFprovider,start_utc,close_utc,minutes,impact_level,monitoring_utc,services,title',
        'openai,2024-01-01T00:00:00Z,2024-01-01T01:00:00Z,60,3,2024-01-01T00:20:00Z,openai-api|chatgpt,"Errors, everywhere"',
        '',
      ].join('\r\n'),
    );
    expect(spells.get('openai')).toEqual([
      { fromMs: 0, toMs: 1_200_000, errorRatio: 1 },
      { fromMs: 1_200_000, toMs: 3_600_000, errorRatio: 0.05 },
    ]);
  });

  it.each([
    { why: 'maintenance by name', row: 'x,2024-01-01T00:00:00Z,2024-01-01T01:00:00Z,maintenance,openai-api,yes' },
    { why: 'maintenance by number', row: 'x,2024-01-01T00:00:00Z,2024-01-01T01:00:00Z,4,openai-api,yes' },
    { why: 'no length: entered afterwards', row: 'x,2024-01-01T00:00:00Z,2024-01-01T00:00:00Z,3,openai-api,yes' },
    { why: 'no service with an API', row: 'x,2024-01-01T00:00:00Z,2024-01-01T01:00:00Z,3,chatgpt|dalle,yes' },
    { why: 'neither API nor models', row: 'x,2024-01-01T00:00:00Z,2024-01-01T01:00:00Z,3,openai-api,no' },
  ])('leaves out and counts what says nothing of the API: $why', ({ row }) => {
    const table = readIncidents(`${HEAD},services,api_or_models\n${row}\n`);
    expect(table).toEqual({ startEpochMs: 0, spanMs: 0, spells: new Map(), ignored: 1 });
  });

  it.each([
    {
      why: 'no such column',
      text: 'provider,start_utc,impact\n',
      faults: ['line 1: no column resolved_utc or close_utc in the heading "provider,start_utc,impact"'],
    },
    {
      why: 'empty file',
      text: '',
      faults: [
        'line 1: no column provider, start_utc, resolved_utc or close_utc, impact or impact_level in the heading ""',
      ],
    },
    {
      why: 'no zone',
      text: `${HEAD}\nx,2024-01-01 00:00,2024-01-01T01:00:00Z,minor`,
      faults: ['line 2: start_utc is "2024-01-01 00:00", expected a time with its zone, such as 2026-07-21T15:35:03Z'],
    },
    {
      why: 'no such day',
      text: `${HEAD}\nx,2024-01-01T00:00:00Z,2024-13-01T01:00:00Z,minor`,
      faults: [
        'line 2: resolved_utc is "2024-13-01T01:00:00Z", expected a time with its zone, such as 2026-07-21T15:35:03Z',
      ],
    },
    {
      why: 'no such impact, and every fault of the file at once',
      text: `${HEAD}\nx,2024-01-01T00:00:00Z,2024-01-01T01:00:00Z,huge\n,2024-01-01T00:00:00Z,2024-01-01T01:00:00Z,5`,
      faults: [
        'line 2: impact is "huge", expected none, minor, major, critical, maintenance, or 0 to 4',
        'line 3: provider is empty, expected a name',
        'line 3: impact is "5", expected none, minor, major, critical, maintenance, or 0 to 4',
      ],
    },
    {
      why: 'over before it starts',
      text: `${HEAD}\nx,2024-01-01T01:00:00Z,2024-01-01T00:00:00Z,minor`,
      faults: ['line 2: it is over at 2024-01-01T00:00:00.000Z, before it starts at 2024-01-01T01:00:00.000Z'],
    },
    {
      why: 'a comma too many',
      text: `${HEAD}\nx,2024-01-01T01:00:00Z,2024-01-01T02:00:00Z,minor,more\n`,
      faults: ['line 2: 5 values, expected 4, as the heading has columns'],
    },
    {
      why: 'a quote that is not closed',
      text: `${HEAD}\n"x,2024-01-01T01:00:00Z,2024-01-01T02:00:00Z,minor\n`,
      faults: [expect.stringMatching(/^line \d: expected comma-separated values, quotes in pairs: /)],
    },
  ])('is refused with its lines and what is allowed: $why', ({ text, faults }) => {
    expect(faultsOf(text)).toEqual(faults);
  });

  it('does not fill a screen with faults, nor a line with one', () => {
    const rows = Array.from({ length: 500 }, () => `x,${'\u001B[2J'.repeat(500)},2024-01-01T01:00:00Z,minor`);
    const refuse = () => readIncidents([HEAD, ...rows].join('\n'));
    expect(refuse).toThrow(/and 490 more like these$/);
    expect(refuse).not.toThrow('\u001B');
    expect(faultsOf([HEAD, ...rows].join('\n'))).toHaveLength(500);
  });
});
