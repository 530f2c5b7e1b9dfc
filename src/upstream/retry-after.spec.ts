import * as fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import {
  MAX_RETRY_AFTER_MS,
  parseGoDurationMs,
  readRetryAfterMs,
  readRetryInfoMs,
  readUsedUpMs,
} from './retry-after.js';

const WALL_EPOCH_MS = Date.UTC(2024, 10, 24, 12, 0, 0);

describe('how long a provider asks us to stay away, by its headers', () => {
  it.each([
    { why: 'seconds', headers: { 'retry-after': '20' }, ms: 20_000 },
    { why: 'a fraction of seconds', headers: { 'retry-after': '1.5' }, ms: 1_500 },
    { why: 'a fraction is not rounded up by its noise', headers: { 'retry-after': '2.007' }, ms: 2_007 },
    { why: 'now', headers: { 'retry-after': '0' }, ms: 0 },
    { why: 'milliseconds win over seconds', headers: { 'retry-after': '7', 'retry-after-ms': '6412' }, ms: 6_412 },
    { why: 'unreadable milliseconds do not', headers: { 'retry-after': '7', 'retry-after-ms': 'soon' }, ms: 7_000 },
    { why: 'an HTTP date', headers: { 'retry-after': 'Sun, 24 Nov 2024 12:00:30 GMT' }, ms: 30_000 },
    { why: 'an old HTTP date', headers: { 'retry-after': 'Sunday, 24-Nov-24 12:00:30 GMT' }, ms: 30_000 },
    { why: 'an ISO date', headers: { 'retry-after': '2024-11-24T12:00:30Z' }, ms: 30_000 },
    { why: 'a date that is over', headers: { 'retry-after': 'Sun, 24 Nov 2024 11:00:00 GMT' }, ms: 0 },
    { why: 'a moment in epoch seconds', headers: { 'retry-after': String(WALL_EPOCH_MS / 1_000 + 9) }, ms: 9_000 },
    { why: 'a day is an hour', headers: { 'retry-after': '86400' }, ms: MAX_RETRY_AFTER_MS },
    { why: 'more digits than numbers have', headers: { 'retry-after': '9'.repeat(400) }, ms: MAX_RETRY_AFTER_MS },
    { why: 'no number', headers: { 'retry-after': 'soon 5' }, ms: undefined },
    { why: 'less than nothing', headers: { 'retry-after': '-1' }, ms: undefined },
    { why: 'hexadecimal', headers: { 'retry-after': '0x10' }, ms: undefined },
    { why: 'empty', headers: { 'retry-after': '' }, ms: undefined },
    { why: 'nothing at all', headers: {}, ms: undefined },
    {
      why: 'the longest of the exhausted limits, not that of one with something left',
      headers: {
        'x-ratelimit-remaining-requests': '0',
        'x-ratelimit-remaining-tokens': '0',
        'x-ratelimit-remaining-images': '3',
        'x-ratelimit-reset-requests': '6m0s',
        'x-ratelimit-reset-tokens': '12ms',
        'x-ratelimit-reset-images': '59m',
      },
      ms: 360_000,
    },
    {
      why: 'a reset in plain seconds',
      headers: { 'x-ratelimit-remaining-requests-day': '0', 'x-ratelimit-reset-requests-day': '33.25' },
      ms: 33_250,
    },
    {
      why: 'a reset of a limit of which nothing is known',
      headers: { 'x-ratelimit-reset-tokens': '6m0s' },
      ms: undefined,
    },
    {
      why: 'retry-after wins over a reset',
      headers: { 'retry-after': '2', 'x-ratelimit-remaining-tokens': '0', 'x-ratelimit-reset-tokens': '6m0s' },
      ms: 2_000,
    },
  ])('$why', ({ headers, ms }) => {
    expect(readRetryAfterMs(headers, WALL_EPOCH_MS)).toBe(ms);
  });

  it("C's date is GMT wherever we are", () => {
    vi.stubEnv('TZ', 'Asia/Tokyo');
    expect(readRetryAfterMs({ 'retry-after': 'Sun Nov 24 12:00:30 2024' }, WALL_EPOCH_MS)).toBe(30_000);
    vi.unstubAllEnvs();
  });

  it('is always between now and an hour, whatever the headers say', () => {
    const name = fc.constantFrom(
      'retry-after',
      'retry-after-ms',
      'x-ratelimit-reset-a',
      'x-ratelimit-remaining-a',
      'x-ratelimit-reset-',
    );
    const value = fc.oneof(
      fc.string(),
      fc.double().map(String),
      fc.date({ noInvalidDate: true }).map((d) => d.toUTCString()),
    );
    fc.assert(
      fc.property(fc.dictionary(name, value), (headers) => {
        const ms = readRetryAfterMs(headers, WALL_EPOCH_MS) ?? 0;
        expect(ms >= 0 && ms <= MAX_RETRY_AFTER_MS && Number.isInteger(ms)).toBe(true);
      }),
    );
  });
});

function withDelay(retryDelay: unknown): unknown {
  return { error: { details: [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay }] } };
}

describe("Google's RetryInfo", () => {
  it.each([
    { why: 'in a list', payload: [withDelay('34s')], ms: 34_000 },
    { why: 'with a fraction, rounded up', payload: withDelay('34.0742s'), ms: 34_075 },
    { why: 'as an object', payload: withDelay({ seconds: '2', nanos: 500_000_000 }), ms: 2_500 },
    { why: 'no duration', payload: withDelay('soon'), ms: undefined },
    { why: 'other details only', payload: { error: { details: [{ '@type': 'x', retryDelay: '1s' }] } }, ms: undefined },
    { why: 'no error', payload: 'text', ms: undefined },
  ])('$why', ({ payload, ms }) => {
    expect(readRetryInfoMs(payload)).toBe(ms);
  });
});

describe('a Go duration', () => {
  it.each([
    { text: '6m0s', ms: 360_000 },
    { text: '1h2m3s', ms: 3_723_000 },
    { text: '1.5s', ms: 1_500 },
    { text: '246ms', ms: 246 },
    { text: '2m59.56s', ms: 179_560 },
    { text: '500µs', ms: 0.5 },
    { text: '0', ms: 0 },
    { text: '.5s', ms: 500 },
    { text: '5', ms: undefined },
    { text: 's', ms: undefined },
    { text: '-1s', ms: undefined },
    { text: '1d', ms: undefined },
    { text: '1s and more', ms: undefined },
    { text: '', ms: undefined },
  ])('"$text" is $ms ms', ({ text, ms }) => {
    expect(parseGoDurationMs(text)).toBe(ms);
  });
});

describe('what a good answer says of limits that are used up', () => {
  it.each([
    {
      why: 'requests',
      headers: { 'x-ratelimit-remaining-requests': '0', 'x-ratelimit-reset-requests': '1.2s' },
      ms: 1_200,
    },
    { why: 'tokens', headers: { 'x-ratelimit-remaining-tokens': '0', 'x-ratelimit-reset-tokens': '246ms' }, ms: 246 },
    {
      why: 'both: the longer',
      headers: {
        'x-ratelimit-remaining-requests': '0',
        'x-ratelimit-reset-requests': '1s',
        'x-ratelimit-remaining-tokens': '0',
        'x-ratelimit-reset-tokens': '6m0s',
      },
      ms: 360_000,
    },
    {
      why: 'something is left',
      headers: { 'x-ratelimit-remaining-requests': '1', 'x-ratelimit-reset-requests': '1s' },
    },
    { why: 'no reset is named', headers: { 'x-ratelimit-remaining-requests': '0' } },
    { why: 'nothing is said', headers: {} },
  ])('$why', ({ headers, ms }) => expect(readUsedUpMs(headers, WALL_EPOCH_MS)).toBe(ms));
});
