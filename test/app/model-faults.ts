/**
 * The ways in which the first model fails where the second one is to answer: what is put on the wire, and the class that
 * the attempt must get.
 */
import { reply, type Reply, type ScriptedCall } from '../../src/testing.js';

const HTML = '<!doctype html><html><body>Bad gateway</body></html>';

export interface FaultRow {
  readonly fault: string;
  readonly reply: Reply | ((call: ScriptedCall) => Reply);
  readonly class: string;
  /** Of a stream, where that differs. */
  readonly streamClass?: string;
}

const raw = (head: string, body: string, end: 'close' | 'hang' = 'close') =>
  reply.raw(`HTTP/1.1 200 OK\r\nconnection: close\r\n${head}\r\n\r\n${body}`, { end });

export const FAULTS: readonly FaultRow[] = [
  { fault: '500', reply: reply.error(500), class: 'server_error' },
  { fault: '503', reply: reply.error(503), class: 'server_error' },
  { fault: '503-overloaded', reply: reply.error(503, { code: 'server_is_overloaded' }), class: 'overloaded' },
  { fault: '429', reply: reply.error(429, { code: 'rate_limit_exceeded' }), class: 'rate_limited' },
  { fault: '404', reply: reply.error(404, { code: 'model_not_found' }), class: 'not_found' },
  {
    fault: 'hang-before-headers',
    reply: reply.hang(),
    class: 'timeout_total',
    streamClass: 'timeout_ttft',
  },
  {
    fault: 'hang-after-headers',
    reply: reply.hang({ after: 'headers' }),
    class: 'timeout_total',
    streamClass: 'timeout_ttft',
  },
  { fault: 'reset', reply: reply.reset(), class: 'network' },
  { fault: 'html', reply: raw('content-type: text/html', HTML), class: 'bad_response' },
  {
    fault: 'truncated-json',
    reply: raw('content-type: application/json', '{"id":"chatcmpl-1","object":"chat.completion","choices":[{"ind'),
    class: 'bad_response',
  },
  { fault: 'error-inside-200', reply: reply.errorInside200(), class: 'server_error' },
  { fault: 'empty-answer', reply: reply.text([]), class: 'empty_answer' },
  { fault: 'cut-after-its-role', reply: roleAlone, class: 'bad_response', streamClass: 'stream_cut' },
];

/** Their fault lies with the operator's account: only another provider can answer. */
export const ACCOUNT_FAULTS: readonly FaultRow[] = [
  { fault: '401', reply: reply.error(401, { code: 'invalid_api_key' }), class: 'auth' },
  {
    fault: 'quota',
    reply: reply.error(429, { code: 'insufficient_quota', type: 'insufficient_quota' }),
    class: 'quota',
  },
];

function roleAlone({ isStreaming }: ScriptedCall): Reply {
  return isStreaming
    ? reply.text(['x'], { breakAfter: { deltas: 0, by: 'cut' } })
    : raw('content-length: 99', '{"id":');
}
