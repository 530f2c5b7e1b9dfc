/**
 * The smallest chat there is: one model, one word, one token. Billed, so only who was asked to may send it.
 *
 * Some models refuse `max_tokens` and want `max_completion_tokens`; some refuse to stop after one token of thinking. Both
 * have read the request, and that is all a check wants to know.
 */
import type { ModelSettings } from '../config/settings.js';
import type { AttemptOutcome, Failure } from '../policy/failure.js';
import type { AttemptEnd } from '../upstream/upstream.js';
import type { Engine } from './engine.js';

export interface ModelPing {
  readonly class: AttemptOutcome;
  readonly status?: number;
  readonly ms: number;
}

type TokenLimit = 'max_tokens' | 'max_completion_tokens';

/** Where the configuration names no time for the model: the default of an attempt. */
const PING_TIMEOUT_MS = 30_000;

/** Not booked anywhere. Rejects only with the signal's reason; the request is aborted then. */
export async function pingModel(
  engine: Engine,
  model: ModelSettings,
  requestId: string,
  signal?: AbortSignal,
): Promise<ModelPing> {
  const startedAtMs = engine.clock.nowMs();
  let end = await askForOneToken({ engine, model, requestId, limit: 'max_tokens', signal });
  if (end.type === 'failed' && refusesLimit(end.failure)) {
    end = await askForOneToken({ engine, model, requestId, limit: 'max_completion_tokens', signal });
  }
  const ms = Math.round(engine.clock.nowMs() - startedAtMs);
  const status = end.type === 'completed' ? end.status : end.failure.status;
  const outcome = end.type === 'completed' || hasAnswered(end.failure) ? 'ok' : end.failure.class;
  return { class: outcome, ...(status !== undefined && { status }), ms };
}

function askForOneToken(order: {
  readonly engine: Engine;
  readonly model: ModelSettings;
  readonly requestId: string;
  readonly limit: TokenLimit;
  readonly signal: AbortSignal | undefined;
}): Promise<AttemptEnd> {
  const { engine, model, requestId, limit, signal } = order;
  signal?.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<AttemptEnd>();
  const body = { model: model.id, messages: [{ role: 'user', content: 'ping' }], [limit]: 1 };
  const answerMs = engine.settings.chains.get('default')?.policyByModel.get(model.name)?.timeoutMs ?? PING_TIMEOUT_MS;
  const running = engine.upstream.start(
    {
      target: model,
      body: Buffer.from(JSON.stringify(body)),
      streaming: false,
      onInvalidOutput: 'return',
      onContentFilter: 'return',
      requestId,
    },
    { answerMs, idleMs: answerMs, totalMs: answerMs },
    { onFirstToken() {}, onBytes() {}, onEnd: resolve },
  );
  const abort = (): void => {
    running.cancel();
    reject(signal?.reason);
  };
  signal?.addEventListener('abort', abort, { once: true });
  return promise.finally(() => signal?.removeEventListener('abort', abort));
}

function refusesLimit({ class: failureClass, error }: Failure): boolean {
  if (failureClass === 'unsupported') return true;
  return (
    failureClass === 'invalid_request' && (error.param === 'max_tokens' || /max_completion_tokens/.test(error.message))
  );
}

/** Without text, or refusing to stop so early: it has read the request and taken the key. */
function hasAnswered({ class: failureClass, error }: Failure): boolean {
  if (failureClass === 'empty_answer' || failureClass === 'content_filter') return true;
  return failureClass === 'invalid_request' && /output limit was reached/i.test(error.message);
}
