/**
 * Whether each model is there, asked directly and outside of every chain: the list of its provider, which costs nothing,
 * and, where it is wanted, one billed token from the model itself. No metric, breaker or rest hears of either; what goes
 * well ends a rest for `auth`, since the key works again.
 */
import { randomUUID } from 'node:crypto';
import type { ModelSettings, ProviderSettings } from '../config/settings.js';
import type { FailureClass } from '../policy/failure.js';
import { type ModelPing, pingModel } from './model-ping.js';
import type { Engine } from './engine.js';
import { type ProviderReading, readModelList } from './model-list.js';

export interface ModelAvailability {
  readonly model: string;
  /** True also where nothing is known: a provider that lists no models, one that is asked by `execute()` alone. */
  readonly available: boolean;
  readonly class?: FailureClass;
  /** Of HTTP, where there was an answer. */
  readonly status?: number;
  /** How long the answer took that this was read from; 0 where none was asked for. */
  readonly ms: number;
}

/** What one provider answered to `GET /models`. */
export interface ProviderCheck {
  readonly reading: ProviderReading;
  readonly ms: number;
}

/** Everything a check has seen of one model. */
export interface ModelInspection {
  readonly model: ModelSettings;
  /** Absent: an `external` provider, which is never polled. */
  readonly list?: ProviderCheck;
  /** Absent: not asked for. */
  readonly ping?: ModelPing;
}

export interface CheckOptions {
  /** Also asks each model for one token. */
  readonly billedPing?: boolean;
  readonly signal?: AbortSignal;
}

/** A list takes well under a second; a provider that needs longer than this would not answer a chat either. */
const LIST_TIMEOUT_MS = 10_000;

/**
 * Asks every provider once. Where a model was asked for a token, that answer counts more than the list.
 * @returns one entry per configured model, in that order. Rejects only with the signal's reason.
 */
export async function checkModels(engine: Engine, options: CheckOptions = {}): Promise<ModelAvailability[]> {
  return (await inspectModels(engine, options)).map(availabilityOf);
}

/** The same with all that was seen. Rejects only with the signal's reason. */
export async function inspectModels(engine: Engine, options: CheckOptions = {}): Promise<ModelInspection[]> {
  const { billedPing = false, signal } = options;
  signal?.throwIfAborted();
  const models = [...engine.settings.models.values()];
  const lists = new Map<string, Promise<ProviderCheck>>();
  for (const { provider } of models) {
    if (isPolled(provider) && !lists.has(provider.name)) lists.set(provider.name, checkProvider(engine, provider));
  }
  // One tiny request per configured model, all at once: their number is the configuration's.
  const inspections = models.map(async (model): Promise<ModelInspection> => {
    const [list, ping] = await Promise.all([
      lists.get(model.provider.name),
      billedPing && isPolled(model.provider) ? checkModel(engine, model, signal) : undefined,
    ]);
    return { model, ...(list && { list }), ...(ping && { ping }) };
  });
  return unlessAborted(Promise.all(inspections), signal);
}

export function isPolled({ kind }: ProviderSettings): boolean {
  return kind !== 'external';
}

/** One `GET /models`. Never rejects. */
export async function checkProvider(engine: Engine, provider: ProviderSettings): Promise<ProviderCheck> {
  const startedAtMs = engine.clock.nowMs();
  const listed = await engine.upstream.getModels(provider, LIST_TIMEOUT_MS);
  const reading = readModelList(provider, listed, engine.clock.wallEpochMs());
  if (reading.type === 'listed') engine.board.endAuthRest(provider.name);
  return { reading, ms: Math.round(engine.clock.nowMs() - startedAtMs) };
}

/** One billed token. Rejects only with the signal's reason. */
export async function checkModel(engine: Engine, model: ModelSettings, signal?: AbortSignal): Promise<ModelPing> {
  const ping = await pingModel(engine, model, `check-${randomUUID()}`, signal);
  if (ping.class === 'ok') engine.board.endAuthRest(model.provider.name);
  return ping;
}

function availabilityOf({ model: { name, id }, list, ping }: ModelInspection): ModelAvailability {
  if (ping) {
    const { class: outcome, status, ms } = ping;
    const known = { model: name, ms, ...(status !== undefined && { status }) };
    return outcome === 'ok' ? { ...known, available: true } : { ...known, available: false, class: outcome };
  }
  if (!list) return { model: name, available: true, ms: 0 };
  const { reading, ms } = list;
  if (reading.type === 'failed') {
    const { class: failureClass, status } = reading.failure;
    return { model: name, available: false, class: failureClass, ...(status !== undefined && { status }), ms };
  }
  const { status } = reading;
  if (reading.type === 'listed' && !reading.has(id)) {
    return { model: name, available: false, class: 'not_found', status, ms };
  }
  return { model: name, available: true, status, ms };
}

/** What was begun ends within its own limits; nobody waits for it any more. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
