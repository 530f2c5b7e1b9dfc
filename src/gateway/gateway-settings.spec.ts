import { describe, expect, it } from 'vitest';

import { faultsIn } from '../../test/config/given.js';
import { type GatewaySettings, isLoopback, loadGatewaySettings } from './gateway-settings.js';

function load(env: Record<string, unknown>): GatewaySettings {
  return loadGatewaySettings((name) => Reflect.get(env, name));
}

const NEEDS_KEYS =
  'expected a loopback address (127.0.0.1, ::1 or localhost) while FALLBACK_API_KEYS is unset; ' +
  'set keys, or FALLBACK_ALLOW_ANONYMOUS=true to let anyone call';

describe("the gateway's own settings", () => {
  it('with nothing set are the defaults', () => {
    expect(load({})).toEqual({
      apiKeys: [],
      allowAnonymous: false,
      logFile: 'logs/fallback.log',
      logLevel: 'info',
      host: '127.0.0.1',
      port: 3000,
      shutdownGraceMs: 30_000,
      secrets: [],
    });
  });

  it('are read from the variables', () => {
    const env = {
      FALLBACK_API_KEYS: 'key-1, key-2,,key-1',
      FALLBACK_ALLOW_ANONYMOUS: 'true',
      FALLBACK_LOG_FILE: '/var/log/f.log',
      FALLBACK_LOG_LEVEL: 'debug',
      FALLBACK_SIMULATED: 'false',
      REDIS_URL: 'rediss://user:p%40ss@redis.example:6380/2',
      HOST: '0.0.0.0',
      PORT: '0',
      SHUTDOWN_GRACE_MS: 0,
    };
    expect(load(env)).toEqual({
      apiKeys: ['key-1', 'key-2'],
      allowAnonymous: true,
      logFile: '/var/log/f.log',
      logLevel: 'debug',
      simulated: false,
      redisUrl: 'rediss://user:p%40ss@redis.example:6380/2',
      host: '0.0.0.0',
      port: 0,
      shutdownGraceMs: 0,
      secrets: ['key-1', 'key-2', 'p%40ss', 'p@ss'],
    });
  });

  it('an empty FALLBACK_LOG_FILE means standard output only', () => {
    expect(load({ FALLBACK_LOG_FILE: '' }).logFile).toBeUndefined();
  });

  it.each([
    [
      'FALLBACK_API_KEYS',
      'two words',
      'FALLBACK_API_KEYS=[secret]: expected one or more comma-separated keys of printable ASCII characters without spaces',
    ],
    [
      'FALLBACK_API_KEYS',
      ' , ',
      'FALLBACK_API_KEYS=[secret]: expected one or more comma-separated keys of printable ASCII characters without spaces',
    ],
    ['FALLBACK_ALLOW_ANONYMOUS', '1', 'FALLBACK_ALLOW_ANONYMOUS=1: expected true or false'],
    [
      'FALLBACK_LOG_LEVEL',
      'loud',
      'FALLBACK_LOG_LEVEL=loud: expected fatal, error, warn, info, debug, trace or silent',
    ],
    ['FALLBACK_SIMULATED', 'maybe', 'FALLBACK_SIMULATED=maybe: expected true or false'],
    ['REDIS_URL', 'http://u:p@h', 'REDIS_URL=http://[secret]@h: expected a redis:// or rediss:// URL with a host'],
    ['REDIS_URL', 'redis://', 'REDIS_URL=redis://: expected a redis:// or rediss:// URL with a host'],
    ['HOST', 'a b', 'HOST=a b: expected a host name or an IP address'],
    ['HOST', '0.0.0.0', `HOST=0.0.0.0: ${NEEDS_KEYS}`],
    ['HOST', '::', `HOST=::: ${NEEDS_KEYS}`],
    ['HOST', 'gateway.example', `HOST=gateway.example: ${NEEDS_KEYS}`],
    ['PORT', '65536', 'PORT=65536: expected a whole number from 0 to 65535'],
    ['PORT', 'http', 'PORT=http: expected a whole number from 0 to 65535'],
    ['SHUTDOWN_GRACE_MS', '-1', 'SHUTDOWN_GRACE_MS=-1: expected a whole number from 0 to 3600000'],
  ])('%s=%s is refused', (name, value, fault) => {
    expect(faultsIn(() => load({ [name]: value }))).toEqual([fault]);
  });

  it('tells every fault at once', () => {
    expect(faultsIn(() => load({ PORT: 'x', HOST: '0.0.0.0', REDIS_URL: 'y' }))).toHaveLength(3);
  });

  it('with keys, any host is allowed', () => {
    expect(load({ HOST: '0.0.0.0', FALLBACK_API_KEYS: 'k' }).host).toBe('0.0.0.0');
  });
});

describe('a loopback address', () => {
  it.each(['127.0.0.1', '127.8.9.10', 'localhost', 'LOCALHOST', 'api.localhost', '::1'])('%s is one', (host) => {
    expect(isLoopback(host)).toBe(true);
  });
  it.each(['0.0.0.0', '::', '128.0.0.1', '127.0.0.1.example', 'localhost.example', '10.0.0.1'])(
    '%s is none',
    (host) => {
      expect(isLoopback(host)).toBe(false);
    },
  );
  it('loses the brackets of a URL', () => {
    expect(load({ HOST: '[::1]' }).host).toBe('::1');
  });
});
