/** The figures of a simulation in words and units, alike in the terminal and on the page. */
import type { Outage, ScenarioReport } from '../../simulation/outage/report.js';

/** Where there is nothing to say. */
export const NOTHING = '–';

/**
 * `66.6 %`, `99.9987 %`: with two digits of what is missing, and never better than it is.
 * @param part of `whole`, both counts.
 */
export function percentText(part: number, whole: number): string {
  if (whole === 0) return NOTHING;
  if (part >= whole) return '100 %';
  const lostPercent = ((whole - part) / whole) * 100;
  const digits = Math.min(MOST_DIGITS, Math.max(1, Math.ceil(-Math.log10(lostPercent)) + 1));
  const lost = Math.ceil(lostPercent * 10 ** digits - ROUNDING_FAULT) / 10 ** digits;
  return `${(100 - lost).toFixed(digits)} %`;
}

const MOST_DIGITS = 6;
/** What dividing and multiplying again may have added. */
const ROUNDING_FAULT = 1e-6;

/** `412 ms`, `7.1 s`, `2 min 5 s`, `3 h 20 min`, `12 days`. */
export function durationText(ms: number): string {
  if (ms < 1) return ms > 0 ? '<1 ms' : '0 ms';
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 9_950) return `${(ms / SECOND_MS).toFixed(1)} s`;
  if (ms < MINUTE_MS - SECOND_MS / 2) return `${Math.round(ms / SECOND_MS)} s`;
  if (ms < HOUR_MS - SECOND_MS / 2) return inTwo(ms, MINUTE_MS, 'min', SECOND_MS, 's');
  if (ms < 2 * DAY_MS) return inTwo(ms, HOUR_MS, 'h', MINUTE_MS, 'min');
  if (ms < YEAR_MS) return `${Math.round(ms / DAY_MS)} days`;
  return `${plainNumber(ms / YEAR_MS)} years`;
}

const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
const YEAR_MS = 365 * DAY_MS;

function inTwo(ms: number, largeMs: number, large: string, smallMs: number, small: string): string {
  const smalls = Math.round(ms / smallMs);
  const perLarge = largeMs / smallMs;
  const rest = smalls % perLarge;
  return `${Math.floor(smalls / perLarge)} ${large}${rest === 0 ? '' : ` ${rest} ${small}`}`;
}

/** `12,345`. */
export function countText(count: number): string {
  return Math.round(count).toLocaleString('en-US');
}

/** Three digits of it: `1.04`, `0.0213`, `17.3`, `1,234`. */
export function plainNumber(value: number): string {
  if (Math.abs(value) >= 100) return countText(value);
  return String(Number(value.toPrecision(3)));
}

/** `0.02 ×`, of the usual. */
export function timesText(ratio: number): string {
  return `${plainNumber(ratio)} ×`;
}

/** US dollars; as many digits as tell small ones apart. */
export function costText(usd: number): string {
  const digits = usd >= 1 || usd === 0 ? 2 : 4;
  return `$${usd.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })}`;
}

/** `1 request`, `2 requests`. */
export function countOf(count: number, singular: string): string {
  return `${countText(count)} ${singular}${count === 1 ? '' : 's'}`;
}

/** `3 min, 3,600 requests, 1 replica; gpt-4, then gpt-3.5-turbo. Down: gpt-4 from 1 min to 2 min.` */
export function settingInWords({ spanMs, requests, replicas, sharedState, models, outages }: ScenarioReport): string {
  const state = replicas === 1 ? '' : sharedState ? ' that share what they learnt' : ' that know nothing of each other';
  const setting = `${durationText(spanMs)}, ${countOf(requests, 'request')}, ${countOf(replicas, 'replica')}${state}; chain: ${models.join(', then ')}.`;
  return `${setting} ${outagesInWords(outages)}`;
}

/** More are counted instead of told. */
const MOST_OUTAGES_TOLD = 3;

function outagesInWords(outages: readonly Outage[]): string {
  if (outages.length === 0) return 'No model is down.';
  if (outages.length <= MOST_OUTAGES_TOLD) {
    const told = outages.map(({ model, fromMs, toMs }) => {
      const until = toMs === null ? 'to the end' : `to ${durationText(toMs)}`;
      return `${model} from ${durationText(fromMs)} ${until}`;
    });
    return `Down: ${told.join('; ')}.`;
  }
  const models = [...new Set(outages.map(({ model }) => model))];
  const counted = models.map((name) => {
    return `${name} ${countOf(outages.filter(({ model }) => model === name).length, 'time')}`;
  });
  return `Down: ${counted.join(', ')}.`;
}
