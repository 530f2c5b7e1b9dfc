import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { CALLER } from '../http/exchange.js';
import { Callers } from './callers.js';

function request(headers: Record<string, string>, url = '/chat'): IncomingMessage {
  return Object.assign(new IncomingMessage(new Socket()), { url, headers });
}

function basic(text: string): string {
  return `Basic ${Buffer.from(text).toString('base64')}`;
}

/** Whose request it is taken for. */
function callerOf(callers: Callers, authorization: string): string | undefined {
  const admitted: IncomingMessage & { [CALLER]?: string } = request({ authorization });
  callers.admit(admitted);
  return admitted[CALLER];
}

describe('a gateway with keys', () => {
  const callers = new Callers({ apiKeys: ['key-one', 'key-two', 'a:b'], host: '0.0.0.0' });
  const statusFor = (authorization: string | undefined, url?: string) =>
    callers.admit(request(authorization === undefined ? {} : { authorization }, url))?.error.status;

  it.each([
    { why: 'the first key', authorization: 'Bearer key-one' },
    { why: 'the second key', authorization: 'Bearer key-two' },
    { why: 'the scheme in small letters', authorization: 'bearer key-one' },
    { why: 'more than one blank', authorization: 'Bearer   key-one ' },
    { why: 'Basic with the key as password', authorization: basic('prometheus:key-one') },
    { why: 'Basic without a user', authorization: basic(':key-two') },
    { why: 'Basic with a colon in the key', authorization: basic('me:a:b') },
    { why: 'a key with a colon as Bearer', authorization: 'Bearer a:b' },
  ])('admits $why', ({ authorization }) => {
    expect(statusFor(authorization)).toBeUndefined();
  });

  it.each([
    { why: 'nothing', authorization: undefined },
    { why: 'an empty header', authorization: '' },
    { why: 'the key alone', authorization: 'key-one' },
    { why: 'the scheme alone', authorization: 'Bearer' },
    { why: 'the scheme and a blank', authorization: 'Bearer ' },
    { why: 'another key', authorization: 'Bearer key-three' },
    { why: 'the beginning of a key', authorization: 'Bearer key-on' },
    { why: 'a key and more', authorization: 'Bearer key-one1' },
    { why: 'a key in other letters', authorization: 'Bearer KEY-ONE' },
    { why: 'all keys as they are configured', authorization: 'Bearer key-one,key-two' },
    { why: 'another scheme', authorization: 'Digest key-one' },
    { why: 'Basic with the key as user', authorization: basic('key-one:') },
    { why: 'Basic without a colon', authorization: basic('key-one') },
    { why: 'Basic that is no base64', authorization: 'Basic ???' },
    { why: 'the key in Basic as it is', authorization: 'Basic key-one' },
  ])('refuses $why with 401', ({ authorization }) => {
    expect(statusFor(authorization)).toBe(401);
  });

  it.each(['/health/live', '/health/ready', '/health/startup', '/health/ready?verbose=1'])('leaves %s open', (url) => {
    expect(statusFor(undefined, url)).toBeUndefined();
  });

  it.each(['/health', '/health/', '/health/live/', '/health/%6Cive', '//health/live', '/health/live/../../chat', '/'])(
    'does not leave %s open',
    (url) => {
      expect(statusFor(undefined, url)).toBe(401);
    },
  );

  it('knows callers apart by a name that is not their key, whichever way it was presented', () => {
    expect(callerOf(callers, 'Bearer key-one')).toBe(callerOf(callers, basic('me:key-one')));
    expect(callerOf(callers, 'Bearer key-one')).not.toBe(callerOf(callers, 'Bearer key-two'));
    expect(callerOf(callers, 'Bearer key-one')).not.toContain('key-one');
  });

  it('asks browsers for a password', () => {
    expect(callers.admit(request({}))?.headers).toEqual({
      'www-authenticate': 'Basic realm="nestjs-llm-fallback", charset="UTF-8"',
    });
  });

  it('does not look at the Host header', () => {
    expect(callers.admit(request({ authorization: 'Bearer key-one', host: 'gateway.example' }))).toBeUndefined();
  });
});

describe('a gateway without keys on loopback', () => {
  const callers = new Callers({ apiKeys: [], host: '127.0.0.1' });

  it.each([
    '127.0.0.1',
    '127.0.0.1:3000',
    '127.1.2.3:80',
    'localhost',
    'LOCALHOST:3000',
    'app.localhost',
    '[::1]',
    '[::1]:3000',
  ])('answers to the name %s', (host) => {
    expect(callers.admit(request({ host }))).toBeUndefined();
  });

  it.each([
    'evil.example',
    'evil.example:3000',
    '127.0.0.1.evil.example',
    'localhost.evil.example',
    '10.0.0.1',
    '0.0.0.0:3000',
    '[::2]',
    '[::1',
    '::1',
    'user@localhost',
    'localhost:x',
    '',
  ])('refuses the name "%s" with 403, probes included', (host) => {
    expect(callers.admit(request({ host }, '/health/live'))?.error).toMatchObject({
      status: 403,
      code: 'host_not_allowed',
    });
  });

  it('refuses a request without a Host header', () => {
    expect(callers.admit(request({}))?.error.status).toBe(403);
  });
});

it('a gateway that was told to let anyone call answers to every name', () => {
  const callers = new Callers({ apiKeys: [], host: '0.0.0.0' });
  expect(callers.admit(request({ host: 'gateway.example' }))).toBeUndefined();
});
