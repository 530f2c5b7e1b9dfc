/**
 * What was decided, in the order in which it was: the same words whether the simulator or the running app decided it.
 * What the listeners are told of, every attempt as it is asked for, and in the end what each caller got.
 */
import type { AttemptOrder } from '../../src/chain/chain-request.js';
import type { ChainEvents } from '../../src/chain/events.js';

export interface Decision {
  readonly atMs: number;
  /** Must be the same on both sides in any case. */
  readonly said: string;
  /** Lengths of time: the same where both sides share their clock. */
  readonly lengths: string;
}

export class Decisions {
  readonly list: Decision[] = [];
  readonly #nowMs: () => number;

  constructor(events: ChainEvents, nowMs: () => number) {
    this.#nowMs = nowMs;
    events.on('attempt.finished', (e) => this.#add(`${e.requestId}: ${e.model} ${e.class} (${e.kind})`, e.ms));
    events.on('model.switched', (e) =>
      this.#add(`${e.requestId}: from ${e.from} to ${e.to} for ${e.reason} (${e.kind})`),
    );
    events.on('stream.continued', (e) =>
      this.#add(`${e.requestId}: ${e.to} goes on for ${e.from} after ${e.sentChars} characters, ${e.reason}`, e.ms),
    );
    events.on('model.rested', (e) => this.#add(`${e.model} rests for ${e.reason}`, e.restMs));
    events.on('breaker.changed', (e) => this.#add(`${e.model} is ${e.state}`));
    events.on('request.finished', (e) => {
      const attempts = e.attempts.map((attempt) => `${attempt.model} ${attempt.class}`).join(', ');
      const late = e.deadlineExceeded ? ', too late' : '';
      this.#add(`${e.requestId}: ${e.outcome} by ${e.model ?? 'nobody'} [${attempts}]${late}`, e.latencyMs);
    });
  }

  noteAsked(requestId: string, { model, number, limits, continues }: AttemptOrder): void {
    const goesOn = continues ? `, to go on with ${continues.text.length} characters by ${continues.way}` : '';
    this.#add(`${requestId}: asks ${model}, attempt ${number}${goesOn}`, limits.answerMs);
  }

  #add(said: string, lengthMs?: number): void {
    const lengths = lengthMs === undefined ? '' : lengthMs.toFixed(1);
    this.list.push({ atMs: this.#nowMs(), said, lengths });
  }
}

/** What a caller read: `200 from b [a server_error, b ok] fallback; done`. */
export interface CallerGot {
  readonly status: number;
  readonly model: string | undefined;
  /** As the headers told it. */
  readonly attempts: readonly string[];
  readonly fallbackUsed: boolean;
  readonly retryAfterS: number | undefined;
  /** `-`: not streamed. */
  readonly end: 'done' | 'error' | '-';
}

export function describeGot(got: CallerGot | 'left'): string {
  if (got === 'left') return 'left';
  const { status, model, attempts, fallbackUsed, retryAfterS, end } = got;
  const wait = retryAfterS === undefined ? '' : `, again in ${retryAfterS} s`;
  return `${status} from ${model ?? 'nobody'} [${attempts.join(', ')}]${fallbackUsed ? ' fallback' : ''} ${end}${wait}`;
}

export interface Played {
  readonly decisions: readonly Decision[];
  /** By request, in order. */
  readonly got: readonly string[];
}

/** One line per decision, to be compared. */
export function linesOf({ decisions, got }: Played, isExact: boolean): string[] {
  const decided = decisions.map(({ atMs, said, lengths }) =>
    isExact ? `${atMs.toFixed(2)} ${said} ${lengths}` : said,
  );
  return [...decided, ...got];
}
