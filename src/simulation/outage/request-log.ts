/**
 * Reads a log of the user's own requests (`--log FILE`), so that a simulation replays their traffic and their models:
 *
 * - the gateway's `logs/fallback.log` (JSON lines): when requests came, how their attempts ended and how long they took.
 *   It holds no token counts, so that lengths are drawn from the usual ones;
 * - a table with `offset_ms,context_tokens,generated_tokens`, as Azure's public traces have them: when requests came and
 *   how long they were.
 *
 * Pure: text and chance in, requests out.
 */
import { type FailureClass, isFailureClass, traitsOf } from '../../policy/failure.js';
import { type LatencyProfile, profileFor } from '../latency-profile.js';
import { InputError, InputFaults, type InputRow, quoted, readTable } from './input-table.js';
import type { Arrival } from './run-scenario.js';
import { CONVERSATION_TOKENS, drawTokens } from './traffic.js';

export interface RequestLog {
  /** In the order of time; the first one at 0. */
  readonly arrivals: readonly Arrival[];
  /** From the first request to the last, ms. */
  readonly spanMs: number;
  /** What the log tells of models; of a table: nothing. */
  readonly models: ReadonlyMap<string, ModelRecord>;
}

export interface ModelRecord {
  /** Without those that were cancelled, or refused for what the caller sent. */
  readonly attempts: number;
  /** Part of the attempts that failed, 0 to 1. */
  readonly failureRatio: number;
  /** Absent where too few were answered to tell. */
  readonly latency?: LatencyProfile;
}

const COLUMNS = ['offset_ms', 'context_tokens', 'generated_tokens'] as const;
/** Fewer times than this have no quantiles worth the name. */
const MIN_ANSWERS = 20;
/** The median of CONVERSATION_TOKENS.output. */
const USUAL_OUTPUT_TOKENS = 129;
/** 1.645 standard deviations above the mean, a normal distribution has its p95. */
const P95_SIGMAS = 1.645;
/** No service writes faster; answers may be cached, or shorter than the usual ones. */
const MAX_TOKENS_PER_SECOND = 2_000;

/** @throws InputError that names each unreadable line, what is wrong there and what is allowed. */
export function readRequestLog(text: string, random: () => number): RequestLog {
  return /^\uFEFF?\s*\{/.test(text) ? readLogLines(text, random) : readTrace(text);
}

function readTrace(text: string): RequestLog {
  const faults = new InputFaults();
  const requests = readTable(text, COLUMNS).map((row): Arrival => {
    const [atMs = 0, inputTokens = 0, outputTokens = 0] = COLUMNS.map((column) => readCount(row, column, faults));
    return { atMs, inputTokens, outputTokens };
  });
  faults.throwIfAny();
  if (requests.length === 0) throw new InputError(['no line of a request below the heading']);
  return { ...fromZero(requests), models: new Map() };
}

function readCount(row: InputRow, column: (typeof COLUMNS)[number], faults: InputFaults): number {
  const text = row.get(column) ?? '';
  const number = text === '' ? Number.NaN : Number(text);
  const isCount = Number.isFinite(number) && number >= 0 && (column === 'offset_ms' || Number.isInteger(number));
  if (isCount) return number;
  const allowed = column === 'offset_ms' ? 'milliseconds, 0 or more' : 'a whole number, 0 or more';
  faults.add(row.line, `${column} is ${quoted(text)}, expected ${allowed}`);
  return 0;
}

function readLogLines(text: string, random: () => number): RequestLog {
  const faults = new InputFaults();
  const models = new ModelRecords();
  const requests: Arrival[] = [];
  for (const { line, fields } of jsonLines(text, faults)) {
    const request = requestOf(line, fields, faults);
    if (!request) continue;
    models.note(request);
    requests.push({
      atMs: request.startedAtEpochMs,
      inputTokens: drawTokens(CONVERSATION_TOKENS.input, random),
      outputTokens: drawTokens(CONVERSATION_TOKENS.output, random),
    });
  }
  faults.throwIfAny();
  if (requests.length === 0) {
    throw new InputError([
      'no line of a request: expected lines with time, response_time and attempts, as the gateway logs them at level info',
    ]);
  }
  return { ...fromZero(requests), models: models.told() };
}

interface JsonLine {
  readonly line: number;
  readonly fields: Readonly<Record<string, unknown>>;
}

function* jsonLines(text: string, faults: InputFaults): Generator<JsonLine, void, undefined> {
  let line = 0;
  for (let from = text.startsWith('\uFEFF') ? 1 : 0; from < text.length;) {
    const end = text.indexOf('\n', from);
    const isTorn = end === -1;
    const piece = text.slice(from, isTorn ? text.length : end).trim();
    from = isTorn ? text.length : end + 1;
    line++;
    if (piece === '') continue;
    const fields = parseObject(piece);
    if (fields) yield { line, fields };
    // The last line of a log that is being written may not be whole yet.
    else if (!isTorn) faults.add(line, `${quoted(piece)} is no JSON object, as each line of the log is`);
  }
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? (value as Readonly<Record<string, unknown>>) : undefined;
  } catch {
    return undefined;
  }
}

interface LoggedRequest {
  readonly startedAtEpochMs: number;
  readonly ttftMs: number | undefined;
  readonly attempts: readonly LoggedAttempt[];
}

interface LoggedAttempt {
  readonly model: string;
  readonly class: FailureClass | 'ok';
  readonly ms: number;
}

/** @returns undefined for a line that is about something else, a drill, or that has a fault. */
function requestOf(line: number, fields: JsonLine['fields'], faults: InputFaults): LoggedRequest | undefined {
  const { attempts: trace, response_time: tookMs, time, ttft, drill } = fields;
  if (typeof trace !== 'string' || drill === true) return undefined;
  const endedAtEpochMs = typeof time === 'string' ? Date.parse(time) : time;
  const attempts = trace === '' ? [] : trace.split(', ').map(attemptOf);
  if (typeof endedAtEpochMs !== 'number' || !Number.isFinite(endedAtEpochMs)) {
    faults.add(line, `time is ${shown(time)}, expected milliseconds since 1970, or ISO 8601`);
  } else if (typeof tookMs !== 'number' || !(tookMs >= 0)) {
    faults.add(line, `response_time is ${shown(tookMs)}, expected milliseconds, 0 or more`);
  } else if (!attempts.every((attempt) => attempt !== undefined)) {
    faults.add(
      line,
      `attempts is ${quoted(trace)}, expected a list such as "gpt-4;server_error;143ms, gpt-3.5-turbo;ok;412ms"`,
    );
  } else {
    const ttftMs = typeof ttft === 'number' ? ttft : undefined;
    return { startedAtEpochMs: endedAtEpochMs - tookMs, ttftMs, attempts };
  }
  return undefined;
}

function attemptOf(text: string): LoggedAttempt | undefined {
  const [, model, outcome = '', ms] = /^([^;]+);([a-z_]+);(\d+(?:\.\d+)?)ms$/.exec(text) ?? [];
  if (model === undefined || (outcome !== 'ok' && !isFailureClass(outcome))) return undefined;
  return { model, class: outcome, ms: Number(ms) };
}

function shown(value: unknown): string {
  return value === undefined ? 'absent' : quoted(typeof value === 'string' ? value : JSON.stringify(value));
}

interface ModelTimes {
  attempts: number;
  failures: number;
  readonly answersMs: number[];
  readonly ttftsMs: number[];
}

class ModelRecords {
  readonly #models = new Map<string, ModelTimes>();

  note({ attempts, ttftMs }: LoggedRequest): void {
    for (const attempt of attempts) {
      if (!saysSomething(attempt)) continue;
      let times = this.#models.get(attempt.model);
      if (!times) this.#models.set(attempt.model, (times = { attempts: 0, failures: 0, answersMs: [], ttftsMs: [] }));
      times.attempts++;
      if (attempt.class !== 'ok') times.failures++;
      else {
        times.answersMs.push(attempt.ms);
        // The caller's first token is the model's own only where nothing went before.
        if (ttftMs !== undefined && attempts.length === 1) times.ttftsMs.push(ttftMs);
      }
    }
  }

  told(): Map<string, ModelRecord> {
    return new Map(
      [...this.#models].map(([model, times]) => {
        const latency = latencyOf(model, times);
        const { attempts, failures } = times;
        return [model, { attempts, failureRatio: failures / attempts, ...(latency && { latency }) }];
      }),
    );
  }
}

function saysSomething({ class: outcome }: LoggedAttempt): boolean {
  return outcome === 'ok' || (outcome !== 'cancelled' && traitsOf(outcome).callersFault === 'no');
}

/**
 * As fast as the median answer, if answers are of the usual length. Where no stream tells of first tokens, a model has
 * the usual part of its time before and after them.
 */
function latencyOf(model: string, { answersMs, ttftsMs }: ModelTimes): LatencyProfile | undefined {
  if (answersMs.length < MIN_ANSWERS) return undefined;
  const answers = lognormalOf(answersMs);
  const usual = profileFor(model);
  const usualWritingMs = (USUAL_OUTPUT_TOKENS * 1_000) / usual.tokensPerSecond;
  const first =
    ttftsMs.length >= MIN_ANSWERS
      ? lognormalOf(ttftsMs)
      : {
          median: (answers.median * usual.ttftP50Ms) / (usual.ttftP50Ms + usualWritingMs),
          sigma: answers.sigma,
        };
  const writingMs = Math.max(answers.median - first.median, (USUAL_OUTPUT_TOKENS * 1_000) / MAX_TOKENS_PER_SECOND);
  return {
    ttftP50Ms: first.median,
    ttftSigma: first.sigma,
    tokensPerSecond: (USUAL_OUTPUT_TOKENS * 1_000) / writingMs,
  };
}

/** @param times at least one; sorted in place. */
function lognormalOf(times: number[]): { readonly median: number; readonly sigma: number } {
  times.sort((a, b) => a - b);
  const median = Math.max(1, times[Math.floor(times.length / 2)]!);
  const p95 = Math.max(median, times[Math.floor(times.length * 0.95)]!);
  return { median, sigma: Math.log(p95 / median) / P95_SIGMAS };
}

function fromZero(requests: Arrival[]): Pick<RequestLog, 'arrivals' | 'spanMs'> {
  requests.sort((a, b) => a.atMs - b.atMs);
  const zeroMs = requests[0]?.atMs ?? 0;
  const arrivals = requests.map((request) => ({ ...request, atMs: request.atMs - zeroMs }));
  return { arrivals, spanMs: arrivals.at(-1)?.atMs ?? 0 };
}
