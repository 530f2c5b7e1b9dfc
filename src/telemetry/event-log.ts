/**
 * Writes what the chain tells as log lines, so that `grep response_time` answers "what is slow?" and `grep REQUEST_ID`
 * "what happened to this one?". Listens; nobody calls it, but for faults of the conversation store.
 *
 * No line holds a prompt, an answer or a key. What an upstream said of its failure can hold a prompt: it is written
 * only where the configuration allows contents (`FALLBACK_LOG_CONTENT`), keys blotted out.
 */
import type { Engine } from '../chain/engine.js';
import type {
  AttemptFinished,
  AttemptRecord,
  BreakerState,
  ModelSwitched,
  RequestFinished,
  StreamContinued,
} from '../chain/events.js';
import { traceText } from '../chain/trace-text.js';
import { traitsOf } from '../policy/failure.js';
import type { FailureClass } from '../policy/failure.js';
import { blotSecrets } from '../upstream/blot.js';
import type { LogFields, LogSink } from './log-sink.js';
import { RestNotices } from './rest-notices.js';

/** What of an engine is listened to and read. */
export type EventLogSource = Pick<Engine, 'events' | 'settings' | 'clock'>;

export interface EventLogOptions {
  /** Of the line that every answered request gets. Default `debug`: a host did not ask for a line per request. */
  readonly successLevel?: 'debug' | 'info';
  /** Beside those of the settings: callers' keys. At least 4 characters each. */
  readonly secrets?: readonly string[];
  /** Where the lines go. Default: Nest's own logger; past it, a line costs half. */
  readonly sink?: LogSink;
}
export const EventLogOptions = Symbol('EventLogOptions');

/** Ends a text of somebody else's that has no end. */
const MAX_FOREIGN_TEXT = 2_000;
/** Most request ids are UUIDs; nothing can hide in one. */
const UUID = /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/i;

export class EventLog {
  readonly #source: EventLogSource;
  readonly #sink: LogSink;
  readonly #successLevel: 'debug' | 'info';
  readonly #ownSecrets: readonly string[];
  readonly #rests = new RestNotices();
  readonly #ends: (() => void)[];

  constructor(source: EventLogSource, sink: LogSink, options: EventLogOptions = {}) {
    this.#source = source;
    this.#sink = sink;
    this.#successLevel = options.successLevel ?? 'debug';
    this.#ownSecrets = options.secrets ?? [];
    const { events } = source;
    this.#ends = [
      events.on('request.finished', (request) => this.#logRequest(request)),
      events.on('attempt.finished', (attempt) => this.#logAttempt(attempt)),
      events.on('model.switched', (switched) => this.#logSwitch(switched)),
      events.on('stream.continued', (continued) => this.#logContinued(continued)),
      events.on('model.rested', (rest) => this.#logRest(rest)),
      events.on('breaker.changed', (change) => this.#logBreaker(change)),
    ];
  }

  close(): void {
    for (const end of this.#ends.splice(0)) end();
  }

  /** The conversation store failed; the answer comes all the same. Its own words can hold what was said. */
  memoryFault({ operation, error }: { readonly operation: string; readonly error: unknown }): void {
    const name = error instanceof Error ? error.name : typeof error;
    const words = error instanceof Error ? error.message : '';
    this.#sink.warn({ operation, error_name: name, ...this.#foreign(words) }, `Memory miss: ${operation} failed`);
  }

  /** A listener of the host's threw; nothing came of it. Where, not what: its words can hold what an event holds. */
  listenerFault({ event, error }: { readonly event: string; readonly error: unknown }): void {
    const name = error instanceof Error ? error.name : typeof error;
    const at = error instanceof Error ? /^ {4}at .*$/m.exec(error.stack ?? '')?.[0].trim() : undefined;
    const words = error instanceof Error ? error.message : '';
    const fields = { event, error_name: name, ...(at !== undefined && { at }), ...this.#foreign(words) };
    this.#sink.error(fields, `A listener of ${event} failed`);
  }

  #logRequest(request: RequestFinished): void {
    const { outcome, attempts, latencyMs, ttftMs } = request;
    const last = attempts.at(-1);
    const model = request.model ?? last?.model;
    const fields = {
      response_time: Math.round(latencyMs),
      ...(ttftMs !== undefined && { ttft: Math.round(ttftMs) }),
      ...(model !== undefined && { model }),
      ...this.#about(request),
      attempts: traceText(attempts),
      ...(last && { class: last.class }),
      ...(last?.status !== undefined && { status: last.status }),
    };
    switch (outcome) {
      case 'ok':
        return this.#sink[this.#successLevel](fields, `Successfully used ${model ?? 'no model'}`);
      case 'cancelled':
        return this.#sink.info(fields, 'Request cancelled by its caller');
      case 'failed':
        return this.#logFailed(fields, attempts);
      default:
        return outcome satisfies never;
    }
  }

  #logFailed(fields: LogFields, attempts: readonly AttemptRecord[]): void {
    const last = attempts.at(-1);
    if (!last) return this.#sink.error(fields, 'Request gave up: every model is known to be down, none was asked');
    if (isCallersFault(attempts)) return this.#sink.warn(fields, `Request refused: ${last.class}`);
    const count = attempts.length === 1 ? '1 attempt' : `${attempts.length} attempts`;
    return this.#sink.error(fields, `Request gave up after ${count}: ${last.class}`);
  }

  #logAttempt(attempt: AttemptFinished): void {
    const { failure, model, ms, status, kind } = attempt;
    if (!failure) {
      this.#rests.answered(model);
      return;
    }
    // The request's own line tells that the caller left.
    if (failure.class === 'cancelled') return;
    const fields = {
      response_time: ms,
      model,
      ...this.#about(attempt),
      class: attempt.class,
      ...(status !== undefined && { status }),
      kind,
      ...this.#foreign(failure.error.message),
    };
    this.#sink.warn(fields, `Attempt on ${model} failed: ${attempt.class}`);
  }

  /** Its time is that of the model that is left, and so is its `model`: who groups by model must not blame the next. */
  #logSwitch(switched: ModelSwitched): void {
    const { from, to, reason, kind, ms } = switched;
    const fields = { response_time: ms, model: from, ...this.#about(switched), from, to, class: reason, kind };
    this.#sink.warn(fields, `Switching to model: ${to}`);
  }

  /** Its time is how long the caller's stream stood still. */
  #logContinued(continued: StreamContinued): void {
    const { from, to, reason, ms, sentChars } = continued;
    const about = this.#about(continued);
    const fields = { response_time: ms, model: to, ...about, from, to, class: reason, sent_chars: sentChars };
    this.#sink.info(fields, `Continuing with model: ${to}`);
  }

  #logRest({ model, reason, restMs }: { model: string; reason: FailureClass; restMs: number }): void {
    if (!this.#rests.isNews({ model, reason, restMs }, this.#source.clock.nowMs())) return;
    const fields = { model, class: reason, rest_ms: Math.round(restMs), ...this.#simulated() };
    this.#sink.warn(fields, `Model ${model} rests for ${(restMs / 1000).toFixed(1)} s: ${reason}`);
  }

  #logBreaker({ model, state }: { model: string; state: BreakerState }): void {
    const fields = { model, breaker: state, ...this.#simulated() };
    this.#sink[state === 'open' ? 'warn' : 'info'](fields, `Breaker of ${model}: ${state}`);
  }

  #about(event: { readonly requestId: string; readonly chain: string; readonly drilled: boolean }): LogFields {
    const { requestId, chain, drilled } = event;
    // A caller may have named the request, and callers have put keys into ids.
    const id = UUID.test(requestId) ? requestId : this.#blot(requestId);
    return { request_id: id, chain, ...(drilled && { drill: true }), ...this.#simulated() };
  }

  #simulated(): LogFields | undefined {
    return this.#source.settings.simulated ? { simulated: true } : undefined;
  }

  #foreign(text: string): LogFields | undefined {
    if (!this.#source.settings.logContent || text === '') return undefined;
    // Blotted before it is cut: half a key is no shape that anyone knows.
    return { error: this.#blot(text).slice(0, MAX_FOREIGN_TEXT) };
  }

  #blot(text: string): string {
    return blotSecrets(text, [...this.#source.settings.secrets, ...this.#ownSecrets]);
  }
}

/** The operator can do nothing about it: the request was refused for what it is. */
function isCallersFault(attempts: readonly AttemptRecord[]): boolean {
  const faults = attempts.map((attempt) => attempt.class !== 'ok' && traitsOf(attempt.class).callersFault);
  return faults.at(-1) === 'yes' || faults.every((fault) => fault === 'alone');
}
