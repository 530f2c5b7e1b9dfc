/**
 * The ways in which an attempt fails before it has said anything, each as a provider puts it on the wire, and as the
 * simulator is told of it.
 */
import type { Fate } from '../../src/simulation/outage/virtual-model.js';
import { reply, type ScriptedReply } from '../../src/testing.js';
import type { FailureClass } from '../../src/policy/failure.js';
import type { ContinuationWay } from '../../src/policy/plan.js';
import type { Outcome } from './script.js';

type Fails = Extract<Outcome, { what: 'fails' }>;
type Says = NonNullable<Extract<Fate, { what: 'fails' }>['says']>;

interface Fault {
  readonly class: FailureClass;
  readonly wire: (code: string | null, headers: Readonly<Record<string, string>>) => ScriptedReply;
  /** Beside the class; where nothing is said, an error says no more than that. */
  readonly says?: Says;
  readonly code?: string;
}

const HTML = '<!doctype html><html><body>Bad gateway</body></html>';

/** An HTTP error in OpenAI's words. */
function status(number: number, failureClass: FailureClass, code: string | null, says: Says = {}): Fault {
  return {
    class: failureClass,
    wire: (ownCode, headers) => reply.error(number, { code: ownCode, message: 'scripted' }, { headers }),
    says: { status: number, ...says },
    ...(code !== null && { code }),
  };
}

export const FAULTS = {
  invalid_request: status(400, 'invalid_request', 'invalid_value'),
  unprocessable: status(422, 'invalid_request', 'invalid_value'),
  unsupported: status(400, 'unsupported', 'unsupported_parameter'),
  context_length: status(400, 'context_length', 'context_length_exceeded'),
  content_filter: status(400, 'content_filter', 'content_filter'),
  auth: status(401, 'auth', 'invalid_api_key'),
  permission: status(403, 'permission', 'request_forbidden'),
  permission_of_model: {
    class: 'permission',
    wire: (code, headers) =>
      reply.error(403, { code, message: 'Your project does not have access to the model `a-1`.' }, { headers }),
    says: { status: 403, restScope: 'model' },
    code: 'request_forbidden',
  },
  quota: status(429, 'quota', 'insufficient_quota'),
  not_found: status(404, 'not_found', 'model_not_found'),
  rate_limited: status(429, 'rate_limited', 'rate_limit_exceeded'),
  /** Larger than the limit itself: no wait can help. */
  too_large: {
    class: 'rate_limited',
    wire: (code, headers) =>
      reply.error(429, { code, message: 'Request too large: Limit 100, Requested 200.' }, { headers }),
    says: { status: 429, restScope: 'none', neverRetry: true },
    code: 'rate_limit_exceeded',
  },
  overloaded: status(503, 'overloaded', 'server_is_overloaded'),
  server_error: status(500, 'server_error', null),
  /** `x-should-retry: false` */
  no_retry: {
    class: 'server_error',
    wire: (_code, headers) => reply.error(500, {}, { headers: { ...headers, 'x-should-retry': 'false' } }),
    says: { status: 500, neverRetry: true },
  },
  network: { class: 'network', wire: () => reply.reset() },
  html: {
    class: 'bad_response',
    wire: () => reply.raw(`HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n${HTML}`),
    says: { status: 200 },
  },
  inside_200: {
    class: 'server_error',
    wire: (_code, headers) => reply.errorInside200({}, { headers }),
    says: { status: 200 },
  },
  empty_answer: {
    class: 'empty_answer',
    wire: (_code, headers) => reply.text([], { headers }),
    says: { status: 200 },
  },
  /** Shows only where JSON was asked for, and no stream. */
  invalid_output: {
    class: 'invalid_output',
    wire: (_code, headers) => reply.text(['no JSON'], { headers }),
    says: { status: 200 },
  },
  /** A failure only with `onContentFilter: next`. */
  filtered: {
    class: 'content_filter',
    wire: (_code, headers) => reply.text([], { headers, finishReason: 'content_filter' }),
    says: { status: 200 },
  },
} as const satisfies Record<string, Fault>;

export type FaultName = keyof typeof FAULTS;

export function wireOf(fails: Fails): ScriptedReply {
  const fault: Fault = FAULTS[fails.fault];
  const { retryAfterMs } = fails;
  const headers = retryAfterMs === undefined ? {} : { 'retry-after-ms': String(retryAfterMs) };
  return fault.wire(fails.code ?? fault.code ?? null, { connection: 'close', ...headers });
}

const BREAKS = { cut: 'stream_cut', reset: 'stream_cut', error: 'stream_error', malformed: 'bad_response' } as const;

/**
 * The same for the simulator.
 * @param way how the attempt was asked to go on with a text; undefined: it was not.
 */
export function fateOf(outcome: Outcome, way?: ContinuationWay): Fate {
  switch (outcome.what) {
    case 'answers': {
      const { filtered, ...fate } = outcome;
      return { ...fate, ...(filtered && { outcome: 'content_filter' }) };
    }
    case 'fails': {
      const { fault: name, afterMs, retryAfterMs } = outcome;
      const fault: Fault = FAULTS[name];
      // Whoever is not asked to repeat anything may have nothing more to say.
      if (name === 'empty_answer' && way !== undefined && way !== 'prompt') {
        return { what: 'answers', ttftMs: afterMs, totalMs: afterMs };
      }
      const code = outcome.code ?? fault.code ?? null;
      const says = { error: { message: 'scripted', type: null, code, param: null }, ...fault.says };
      return {
        what: 'fails',
        afterMs,
        failsWith: fault.class,
        says,
        ...(retryAfterMs !== undefined && { retryAfterMs }),
      };
    }
    case 'breaks': {
      const { by, ...fate } = outcome;
      return { ...fate, failsWith: BREAKS[by] };
    }
    case 'stalls':
      return outcome;
    case 'hangs':
      return { what: 'hangs' };
    default:
      return outcome satisfies never;
  }
}
