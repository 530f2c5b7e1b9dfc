import { describe, expect, it } from 'vitest';
import { classifyWireError } from './classify.js';

function withCode(code: string, cause?: unknown): Error {
  return Object.assign(new Error('at 10.0.0.1:443', { cause }), { code });
}

describe('what the transport reports', () => {
  it.each([
    { why: 'refused', error: withCode('ECONNREFUSED'), is: 'network' },
    { why: 'reset', error: withCode('ECONNRESET'), is: 'network' },
    { why: 'no such host', error: withCode('ENOTFOUND'), is: 'network' },
    { why: 'a certificate', error: withCode('DEPTH_ZERO_SELF_SIGNED_CERT'), is: 'network' },
    { why: 'plain HTTP where TLS should be', error: withCode('ERR_SSL_WRONG_VERSION_NUMBER'), is: 'network' },
    { why: 'closed', error: withCode('UND_ERR_SOCKET'), is: 'network' },
    { why: 'no HTTP', error: withCode('HPE_INVALID_CONSTANT'), is: 'bad_response' },
    {
      why: 'a cause',
      error: new TypeError('fetch failed', { cause: withCode('HPE_INVALID_CONSTANT') }),
      is: 'bad_response',
    },
    { why: 'each address', error: new AggregateError([withCode('ECONNREFUSED')]), is: 'network' },
    { why: 'nothing known', error: 'boom', is: 'network' },
  ])('before a response head: $why', ({ error, is }) => {
    const failure = classifyWireError(error, 'head');
    expect(failure).toMatchObject({ class: is, restScope: 'none' });
    expect(failure.error.message).not.toContain('10.0.0.1');
  });

  it('is told in our words, with its code', () => {
    const error = new AggregateError([withCode('ECONNREFUSED'), withCode('ECONNREFUSED')]);
    expect(classifyWireError(error, 'head').error.message).toBe('connection refused (ECONNREFUSED)');
  });

  it('in a body is a bad response, in a stream a cut one', () => {
    expect(classifyWireError(withCode('ECONNRESET'), 'body').class).toBe('bad_response');
    expect(classifyWireError(withCode('ECONNRESET'), 'stream').class).toBe('stream_cut');
  });
});
