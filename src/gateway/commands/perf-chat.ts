/** One chat of `perf`, asked of the module in this process or of a gateway over HTTP: the same answer of both. */
import type { INestApplicationContext } from '@nestjs/common';
import { FallbackError } from '../../chain/errors.js';
import type { AttemptRecord } from '../../chain/events.js';
import { ModelManagerService } from '../../fallback/model-manager.service.js';
import { isFailureClass } from '../../policy/failure.js';

export interface Asked {
  readonly attempts: readonly AttemptRecord[];
  readonly fallbackUsed: boolean;
  /** As whoever asked saw it. */
  readonly latencyMs: number;
  /** Absent: it was answered. */
  readonly fault?: string;
}

/** Never rejects. */
export type Ask = () => Promise<Asked>;

/** Short, so that it costs next to nothing. */
const MESSAGE = 'Reply with the single word: ready';

export function askInProcess(app: INestApplicationContext, chain: string | undefined): Ask {
  const models = app.get(ModelManagerService, { strict: false });
  return timed(async () => {
    try {
      return await models.chat(MESSAGE, chain === undefined ? {} : { chain });
    } catch (error) {
      const attempts = FallbackError.isInstance(error) ? error.attempts : [];
      return { attempts, fallbackUsed: false, fault: codeOf(error) };
    }
  });
}

/** @param apiKey of this environment's FALLBACK_API_KEYS: the gateway's own, where both read one `.env`. */
export function askGatewayAt(url: string, apiKey: string | undefined, chain: string | undefined): Ask {
  const address = new URL('chat', url.endsWith('/') ? url : `${url}/`);
  const headers = {
    'content-type': 'application/json',
    ...(apiKey !== undefined && { authorization: `Bearer ${apiKey}` }),
  };
  const body = JSON.stringify({ message: MESSAGE, chain });
  return timed(async () => {
    try {
      const response = await fetch(address, { method: 'POST', headers, body, redirect: 'error' });
      return readAnswer(response.status, await response.json());
    } catch (error) {
      const cause = error instanceof Error ? (error.cause ?? error) : error;
      return { attempts: [], fallbackUsed: false, fault: codeOf(cause) };
    }
  });
}

function readAnswer(status: number, json: unknown): Omit<Asked, 'latencyMs'> {
  const answer = asRecord(json);
  if (status === 200) {
    return { attempts: attemptsOf(answer['attempts']), fallbackUsed: answer['fallbackUsed'] === true };
  }
  const error = asRecord(answer['error']);
  const fault = typeof error['code'] === 'string' ? `${status} ${error['code']}` : `status ${status}`;
  return { attempts: attemptsOf(error['attempts']), fallbackUsed: false, fault };
}

function attemptsOf(value: unknown): AttemptRecord[] {
  if (!Array.isArray(value)) return [];
  return value.map(asRecord).flatMap((attempt): AttemptRecord[] => {
    const { model, class: outcome, ms } = attempt;
    const isOutcome = typeof outcome === 'string' && (outcome === 'ok' || isFailureClass(outcome));
    return isOutcome && typeof model === 'string' && typeof ms === 'number' ? [{ model, class: outcome, ms }] : [];
  });
}

function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

function codeOf(error: unknown): string {
  if (error instanceof Error) return 'code' in error && typeof error.code === 'string' ? error.code : error.message;
  return String(error);
}

function timed(ask: () => Promise<Omit<Asked, 'latencyMs'>>): Ask {
  return async () => {
    const startedAtMs = performance.now();
    const { attempts, fallbackUsed, fault } = await ask();
    const latencyMs = Math.round(performance.now() - startedAtMs);
    return { attempts, fallbackUsed, latencyMs, ...(fault !== undefined && { fault }) };
  };
}
