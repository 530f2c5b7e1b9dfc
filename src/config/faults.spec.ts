import { describe, expect, it } from 'vitest';

import { faultsOf } from '../../test/config/given.js';
import { FallbackConfigError } from './config-error.js';

const WHOLE = 'expected a whole number from';
const URL_EXPECTED = 'expected an http:// or https:// URL without credentials, query or fragment';
const NAME_EXPECTED = 'expected a name of 1 to 64 letters, digits and . _ : / @ -';

describe('a wrong variable is named with its value and what is allowed', () => {
  it.each([
    ['FALLBACK_ENABLED', 'yes', 'expected true or false'],
    ['FALLBACK_ENABLED', '0', 'expected true or false'],
    ['FALLBACK_LOG_CONTENT', 'maybe', 'expected true or false'],
    ['FALLBACK_MAX_RETRIES', 'many', `${WHOLE} 0 to 10`],
    ['FALLBACK_MAX_RETRIES', '11', `${WHOLE} 0 to 10`],
    ['FALLBACK_MAX_RETRIES', '-1', `${WHOLE} 0 to 10`],
    ['FALLBACK_MAX_RETRIES', '1.5', `${WHOLE} 0 to 10`],
    ['FALLBACK_MAX_RETRIES', '0x3', `${WHOLE} 0 to 10`],
    ['FALLBACK_TIMEOUT_MS', '0', `${WHOLE} 1 to 3600000`],
    ['FALLBACK_TIMEOUT_MS', '30s', `${WHOLE} 1 to 3600000`],
    ['FALLBACK_STREAM_IDLE_MS', '0', `${WHOLE} 1 to 3600000`],
    ['FALLBACK_DEADLINE_MS', '99999999', `${WHOLE} 1 to 3600000`],
    ['FALLBACK_BACKOFF_MS', '-5', `${WHOLE} 0 to 3600000`],
    ['FALLBACK_BACKOFF_FACTOR', '0.5', 'expected a number from 1 to 100'],
    ['FALLBACK_BACKOFF_FACTOR', '1,5', 'expected a number from 1 to 100'],
    ['FALLBACK_BACKOFF_MAX_MS', 'NaN', `${WHOLE} 0 to 3600000`],
    ['FALLBACK_PRIMARY_MODEL', 'gpt 4', NAME_EXPECTED],
    ['FALLBACK_PRIMARY_MODEL', 'default', 'no name may be both a model and a chain; chains.default is a chain'],
    ['FALLBACK_MODEL', ',,', `expected names of models, comma-separated, each ${NAME_EXPECTED.slice(9)}`],
    ['FALLBACK_MODEL', 'a,b c', `expected names of models, comma-separated, each ${NAME_EXPECTED.slice(9)}`],
    ['FALLBACK_MODEL', 'a,b,a', 'a stands there twice; expected each model once'],
    ['FALLBACK_MODEL', 'a,gpt-4', 'gpt-4 is the first model of the default chain already; expected each model once'],
    ['OPENAI_BASE_URL', 'api.openai.com/v1', URL_EXPECTED],
    ['OPENAI_BASE_URL', 'ftp://api.openai.com', URL_EXPECTED],
    ['OPENAI_BASE_URL', 'https://', URL_EXPECTED],
  ])('%s=%s: %s', (name, value, expected) => {
    expect(faultsOf({ env: { [name]: value } })).toEqual([`${name}=${value}: ${expected}`]);
  });

  it('an object in place of a text is no value', () => {
    expect(faultsOf({ env: { FALLBACK_ENABLED: { a: 1 } } })).toEqual([
      'FALLBACK_ENABLED=an object: expected true or false',
    ]);
  });

  it('credentials, query and fragment of a URL are refused and not shown', () => {
    expect(
      ['https://user:pass@host/v1', 'https://host/v1?api-key=abc', 'https://host/v1#abc'].flatMap((url) =>
        faultsOf({ env: { OPENAI_BASE_URL: url } }),
      ),
    ).toEqual([
      `OPENAI_BASE_URL=https://[secret]@host/v1: ${URL_EXPECTED}`,
      `OPENAI_BASE_URL=https://host/v1?[secret]: ${URL_EXPECTED}`,
      `OPENAI_BASE_URL=https://host/v1#[secret]: ${URL_EXPECTED}`,
    ]);
  });

  it('a key that no header can carry is refused and not shown', () => {
    const line = 'OPENAI_API_KEY=[secret]: expected a key of printable ASCII characters without spaces';
    expect(
      ['two words', 'line\nbreak', 'schlüssel'].flatMap((key) => faultsOf({ env: { OPENAI_API_KEY: key } })),
    ).toEqual([line, line, line]);
  });
});

describe('a wrong option is named by its path', () => {
  it.each<[object, string]>([
    [{ enabled: 'true' }, 'options.enabled="true": expected true or false'],
    [{ policy: { maxRetries: '3' } }, `options.policy.maxRetries="3": ${WHOLE} 0 to 10`],
    [{ policy: { maxRetries: Number.NaN } }, `options.policy.maxRetries=NaN: ${WHOLE} 0 to 10`],
    [{ policy: { timeoutMs: 0.5 } }, `options.policy.timeoutMs=0.5: ${WHOLE} 1 to 3600000`],
    [{ policy: { timeoutMs: null } }, `options.policy.timeoutMs=null: ${WHOLE} 1 to 3600000`],
    [{ policy: { timeoutMs: [1] } }, `options.policy.timeoutMs=a list: ${WHOLE} 1 to 3600000`],
    [{ policy: { timeout: 1 } }, 'options.policy.timeout: unknown key; did you mean timeoutMs?'],
    [{ policy: { idleMs: 1 } }, 'options.policy.idleMs: unknown key; did you mean stream.idleMs?'],
    [{ policy: { backoff: 5 } }, 'options.policy.backoff=5: expected keys and values'],
    [{ policy: { backoff: { factor: 0 } } }, 'options.policy.backoff.factor=0: expected a number from 1 to 100'],
    [
      { policy: { breaker: { failureRate: 2 } } },
      'options.policy.breaker.failureRate=2: expected a number from 0.01 to 1',
    ],
    [{ policy: { breaker: { openMS: 2 } } }, 'options.policy.breaker.openMS: unknown key; did you mean openMs?'],
    [{ policy: { stream: { onBreak: 'stop' } } }, 'options.policy.stream.onBreak="stop": expected continue or error'],
    [{ policy: { onContentFilter: 'skip' } }, 'options.policy.onContentFilter="skip": expected return or next'],
    [{ health: { interval: 5 } }, 'options.health.interval: unknown key; did you mean intervalMs?'],
    [{ timeoutMs: 5 }, 'options.timeoutMs: unknown key; did you mean policy.timeoutMs?'],
    [{ model: {} }, 'options.model: unknown key; did you mean models?'],
    [{ provider: {} }, 'options.provider: unknown key; did you mean providers?'],
    [{ logContent: true }, 'options.logContent: is set by FALLBACK_LOG_CONTENT alone'],
    [
      { controllers: true },
      'options.controllers: is fixed when the module is defined: it stands beside the factory, never in its result',
    ],
    [{ providers: 7 }, 'options.providers=7: expected keys and values'],
    [{ providers: { p: { kind: 'openia' } } }, 'options.providers.p.kind="openia": expected openai, azure or external'],
    [{ providers: { p: { url: 'x' } } }, 'options.providers.p.url: unknown key; did you mean baseUrl?'],
    [
      { providers: { p: { kind: 'azure', apiVersion: 'v' } } },
      'options.providers.p: expected endpoint, which a provider of kind azure needs',
    ],
    [
      { providers: { p: { kind: 'azure', endpoint: 'https://x' } } },
      'options.providers.p: expected apiVersion, which a provider of kind azure needs',
    ],
    [
      { providers: { p: { kind: 'azure', endpoint: 'https://x', apiVersion: 'v', baseUrl: 'https://y' } } },
      'options.providers.p.baseUrl: a provider of kind azure takes no baseUrl',
    ],
    [
      { providers: { p: { kind: 'external', baseUrl: 'https://y' } } },
      'options.providers.p.baseUrl: a provider of kind external takes no baseUrl',
    ],
    [
      { providers: { p: { apiVersion: 'v' } } },
      'options.providers.p.apiVersion: a provider of kind openai takes no apiVersion',
    ],
    [
      { models: { a: { provider: 'opnai' } } },
      'options.models.a.provider="opnai": expected the name of a provider; did you mean openai?',
    ],
    [{ models: { a: { apiKey: 'x' } } }, 'options.models.a.apiKey: unknown key; did you mean providers.NAME.apiKey?'],
    [{ models: { a: { contextWindow: 0 } } }, `options.models.a.contextWindow=0: ${WHOLE} 1 to 1000000000`],
    [
      { models: { a: { price: { inputPerMTok: 1 } } } },
      'options.models.a.price.inputPerMTok: expected outputPerMTok beside inputPerMTok',
    ],
    [
      { models: { a: { continuation: 'auto' } } },
      'options.models.a.continuation="auto": expected prompt, prefix, vllm or none',
    ],
    [{ models: { 'a b': {} } }, `options.models.a b: ${NAME_EXPECTED}`],
    [{ models: { [`m${'x'.repeat(64)}`]: {} } }, `options.models.m${'x'.repeat(64)}: ${NAME_EXPECTED}`],
    [{ chains: { 'a,b': ['gpt-4'] } }, `options.chains.a,b: ${NAME_EXPECTED}`],
    [{ chains: { default: [] } }, 'options.chains.default=an empty list: expected a list of at least one model'],
    [
      { chains: { default: 'gpt-4' } },
      'options.chains.default="gpt-4": expected a list of models, or models and policy keys',
    ],
    [
      { chains: { default: { models: 'gpt-4' } } },
      'options.chains.default.models="gpt-4": expected a list of at least one model',
    ],
    [{ chains: { c: { deadlineMs: 5 } } }, 'options.chains.c: expected models: a list of models'],
    [{ chains: { c: { model: ['a'] } } }, 'options.chains.c.model: unknown key; did you mean models?'],
    [{ chains: { default: [['a', ['b']]] } }, 'options.chains.default[0][1]=a list: expected the name of a model'],
    [{ chains: { default: ['a', []] } }, 'options.chains.default[1]: expected a group of at least one model'],
    [{ chains: { default: ['a', 5] } }, 'options.chains.default[1]=5: expected the name of a model'],
    [
      { chains: { default: ['a', ['b', 'a']] } },
      'options.chains.default[1][1]="a": stands in this chain already; expected each model once',
    ],
    [
      { models: { 'gpt-4-azure': {} }, chains: { default: ['gpt-4-azur'] } },
      'options.chains.default[0]="gpt-4-azur": expected a model that is declared under models; did you mean gpt-4-azure?',
    ],
    [
      { models: { a: {}, b: {} }, chains: { a: ['b'] } },
      'options.models.a: no name may be both a model and a chain; options.chains.a is a chain',
    ],
    [
      { chains: { a: ['a'] } },
      'options.chains.a[0]="a": no name may be both a model and a chain; options.chains.a is a chain',
    ],
    [
      { models: { default: {} } },
      'options.models.default: no name may be both a model and a chain; chains.default is a chain',
    ],
  ])('%j', (options, fault) => expect(faultsOf({ options })).toContain(fault));

  it('options that are no object are refused whole', () => {
    expect(faultsOf({ options: ['gpt-4'] })).toEqual(['options=a list: expected keys and values']);
  });
});

describe('the error', () => {
  it('lists every fault of every layer at once, one per line', () => {
    const given = {
      env: { FALLBACK_MAX_RETRIES: 'many', OPENAI_BASE_URL: 'x' },
      file: 'policy: { timeoutMs: 0 }\nchain: {}',
      options: { enabled: 1, chains: { default: [] } },
    };
    const faults = faultsOf(given);
    expect(faults).toHaveLength(6);
    const error = new FallbackConfigError(faults);
    expect(error.message.split('\n')).toEqual(faults);
    expect(error.name).toBe('FallbackConfigError');
  });

  it('still tells of variables and options where the file cannot be used', () => {
    expect(faultsOf({ env: { FALLBACK_ENABLED: 'x' }, file: '[', options: { enabled: 1 } })).toHaveLength(3);
  });
});
