import { describe, expect, it } from 'vitest';

import { chainOf, load } from '../../test/config/given.js';
import { DEFAULT_POLICY } from '../policy/policy.js';
import { loadSettings } from './load-settings.js';
import type { ExplainedSetting, Settings } from './settings.js';

/** The contract's own example. */
const EXAMPLE = `
providers:
  openai:   { baseUrl: https://api.openai.com/v1, apiKey: "\${OPENAI_API_KEY}" }
  azure-eu: { kind: azure, endpoint: https://x.openai.azure.com, apiVersion: "2025-04-01-preview", apiKey: "\${AZURE_KEY}" }
  local:    { baseUrl: http://127.0.0.1:11434/v1 }
  claude:   { kind: external }            # answered by execute() with another SDK; never polled
models:
  gpt-4:         { provider: openai, id: gpt-4, contextWindow: 8192, price: { inputPerMTok: 30, outputPerMTok: 60 } }
  gpt-4-azure:   { provider: azure-eu, id: my-gpt4-deployment }
  gpt-3.5-turbo: { provider: openai, contextWindow: 16385, timeoutMs: 15000, continuation: prompt }
chains:
  default: [gpt-4, gpt-4-azure, gpt-3.5-turbo]
  patient: { models: [gpt-4, gpt-3.5-turbo], deadlineMs: 120000 }
policy:                                   # these values are the defaults
  maxRetries: 3
  timeoutMs: 30000
  deadlineMs: 60000
  backoff: { baseMs: 1000, factor: 1.5, maxMs: 20000 }
  retrySameModel: { attempts: 0, maxWaitMs: 2500 }
  stream: { ttftMs: 10000, idleMs: 15000, totalMs: 600000, onBreak: continue, toolCalls: hold }   # or error; or pass
  breaker: { windowMs: 30000, minAttempts: 10, failureRate: 0.5, consecutive: 5, openMs: 5000, openMaxMs: 15000, halfOpenAttempts: 1, closeAfter: 3, slowStartMs: 30000 }
  retryBudget: { ratio: 0.1, burst: 10 }
  hedge: { enabled: false, afterQuantile: 0.95, minMs: 500, maxShare: 0.05 }
  onContentFilter: return                           # or next
  onInvalidOutput: next                             # or return
`;
const KEYS = { OPENAI_API_KEY: 'sk-openai-0001', AZURE_KEY: 'azure-key-0002' };

describe('with nothing set', () => {
  const settings = load({});

  it('the default chain is gpt-4, then gpt-3.5-turbo, both at openai', () => {
    expect(chainOf(settings)).toEqual(['gpt-4', 'gpt-3.5-turbo']);
    expect([...settings.models.values()].map((model) => model.provider.baseUrl)).toEqual([
      'https://api.openai.com/v1',
      'https://api.openai.com/v1',
    ]);
  });

  it('knows context window and price of both', () => {
    expect(settings.models.get('gpt-4')).toMatchObject({
      id: 'gpt-4',
      contextWindow: 8192,
      price: { inputPerMTok: 30, outputPerMTok: 60 },
      weight: 1,
      continuation: 'prompt',
    });
    expect(settings.models.get('gpt-3.5-turbo')).toMatchObject({
      contextWindow: 16385,
      price: { inputPerMTok: 0.5, outputPerMTok: 1.5 },
    });
  });

  it('everything else is as the contract says', () => {
    expect(settings.chains.get('default')?.policy).toEqual(DEFAULT_POLICY);
    expect(settings).toMatchObject({
      enabled: true,
      simulated: false,
      drills: false,
      logContent: false,
      health: { intervalMs: 30_000, ping: false },
      secrets: [],
    });
    expect(settings.configFile).toBeUndefined();
  });
});

describe("the contract's example file", () => {
  const settings = load({ file: EXAMPLE, env: KEYS });

  it('loads, and its policy equals the defaults', () => {
    expect(settings.chains.get('default')?.policy).toEqual(DEFAULT_POLICY);
    expect(chainOf(settings)).toEqual(['gpt-4', 'gpt-4-azure', 'gpt-3.5-turbo']);
    expect(chainOf(settings, 'patient')).toEqual(['gpt-4', 'gpt-3.5-turbo']);
  });

  it('gives each model its provider, id and own policy', () => {
    expect(settings.models.get('gpt-4-azure')).toMatchObject({
      id: 'my-gpt4-deployment',
      provider: {
        kind: 'azure',
        baseUrl: 'https://x.openai.azure.com',
        apiVersion: '2025-04-01-preview',
        apiKey: KEYS.AZURE_KEY,
      },
    });
    expect(settings.models.get('gpt-3.5-turbo')?.id).toBe('gpt-3.5-turbo');
    const chain = settings.chains.get('patient');
    expect(chain?.policy.deadlineMs).toBe(120_000);
    expect(chain?.policyByModel.get('gpt-3.5-turbo')?.timeoutMs).toBe(15_000);
    expect(chain?.policyByModel.get('gpt-4')?.timeoutMs).toBe(30_000);
    expect(settings.chains.get('default')?.policy.deadlineMs).toBe(60_000);
  });

  it('knows the secrets, and never calls an external provider', () => {
    expect(settings.secrets).toEqual(Object.values(KEYS));
    expect(settings.providers.get('claude')).toEqual({ name: 'claude', kind: 'external', baseUrl: '' });
  });

  it('is the same as JSON', () => {
    const json = load({ file: '{\n\t"chains": {\n\t\t"default": ["a", ["b", "c"]]\n\t}\n}' });
    expect(chainOf(json)).toEqual(['a', ['b', 'c']]);
  });
});

describe('precedence', () => {
  it('options win over variables, variables over the file, the file over defaults, each key for itself', () => {
    const file = 'policy: { timeoutMs: 1, deadlineMs: 1, maxRetries: 1, backoff: { baseMs: 1, maxMs: 1 } }';
    const env = { FALLBACK_DEADLINE_MS: '2', FALLBACK_MAX_RETRIES: '2', FALLBACK_BACKOFF_MS: '2' };
    const settings = load({ file, env, options: { policy: { maxRetries: 4, backoff: { maxMs: 4 } } } });
    expect(settings.chains.get('default')?.policy).toEqual({
      ...DEFAULT_POLICY,
      timeoutMs: 1,
      deadlineMs: 2,
      maxRetries: 4,
      backoff: { baseMs: 2, factor: 1.5, maxMs: 4 },
    });
  });

  it.each([
    { variable: 'FALLBACK_MAX_RETRIES', value: '7', path: ['maxRetries'] },
    { variable: 'FALLBACK_TIMEOUT_MS', value: '7', path: ['timeoutMs'] },
    { variable: 'FALLBACK_STREAM_IDLE_MS', value: '7', path: ['stream', 'idleMs'] },
    { variable: 'FALLBACK_DEADLINE_MS', value: '7', path: ['deadlineMs'] },
    { variable: 'FALLBACK_BACKOFF_MS', value: '7', path: ['backoff', 'baseMs'] },
    { variable: 'FALLBACK_BACKOFF_FACTOR', value: '7', path: ['backoff', 'factor'] },
    { variable: 'FALLBACK_BACKOFF_MAX_MS', value: '7', path: ['backoff', 'maxMs'] },
  ])('$variable stands for its key alone', ({ variable, value, path }) => {
    expect(load({ env: { [variable]: value } }).chains.get('default')?.policy).toEqual(withSeven(path));
  });

  it('a more specific key of the file is another key: it holds whatever a variable says of all', () => {
    const file = 'models: { a: { timeoutMs: 11 }, b: {} }\nchains: { slow: { models: [a], deadlineMs: 12 } }';
    const env = { FALLBACK_TIMEOUT_MS: '1', FALLBACK_DEADLINE_MS: '2' };
    const settings = load({ file, env });
    expect(settings.chains.get('default')?.policyByModel.get('a')?.timeoutMs).toBe(11);
    expect(settings.chains.get('default')?.policyByModel.get('b')?.timeoutMs).toBe(1);
    expect(settings.chains.get('slow')?.policy.deadlineMs).toBe(12);
    expect(settings.chains.get('default')?.policy.deadlineMs).toBe(2);
  });

  it('options and file describe one model or provider together, key by key', () => {
    const file =
      'providers: { p: { baseUrl: "http://file/v1", apiKey: "${K}" } }\nmodels: { a: { provider: p, id: x } }';
    const options = { providers: { p: { baseUrl: 'http://options/v1' } }, models: { a: { provider: 'p', weight: 2 } } };
    expect(load({ file, env: { K: 'key-of-p' }, options }).models.get('a')).toMatchObject({
      id: 'x',
      weight: 2,
      provider: { baseUrl: 'http://options/v1', apiKey: 'key-of-p' },
    });
  });

  it('the default provider is what the variables say, over the file and under options', () => {
    const file = 'providers: { openai: { baseUrl: "http://file/v1", apiKey: "${K}" } }';
    const env = { K: 'key-file', OPENAI_API_KEY: 'key-env', OPENAI_BASE_URL: 'http://env/v1/' };
    const options = { providers: { openai: { baseUrl: 'http://options/v1' } } };
    expect(load({ file, env: { K: 'key-file' } }).providers.get('openai')?.apiKey).toBe('key-file');
    expect(load({ file, env }).providers.get('openai')).toMatchObject({ apiKey: 'key-env', baseUrl: 'http://env/v1' });
    expect(load({ file, env, options }).providers.get('openai')?.baseUrl).toBe('http://options/v1');
  });

  it('variables of OpenAI say nothing of an openai that is made another kind', () => {
    const file = 'providers: { openai: { kind: azure, endpoint: "https://x.example", apiVersion: v, apiKey: "${K}" } }';
    const env = { K: 'key-azure', OPENAI_API_KEY: 'key-env', OPENAI_BASE_URL: 'http://env/v1' };
    expect(load({ file, env }).providers.get('openai')).toMatchObject({
      kind: 'azure',
      baseUrl: 'https://x.example',
      apiKey: 'key-azure',
    });
  });

  it('the option configFile wins over FALLBACK_CONFIG_FILE', () => {
    const read: string[] = [];
    loadSettings({
      options: { configFile: 'b.yaml' },
      readVariable: (name) => (name === 'FALLBACK_CONFIG_FILE' ? 'a.yaml' : undefined),
      readFile: (path) => {
        read.push(path);
        return '';
      },
    });
    expect(read).toEqual(['b.yaml']);
  });
});

function withSeven(path: readonly string[]): unknown {
  const copy: Record<string, unknown> = { ...DEFAULT_POLICY };
  const [key = '', inner] = path;
  copy[key] = inner === undefined ? 7 : Object.assign({}, copy[key], { [inner]: 7 });
  return copy;
}

describe('a policy key under a model or a chain', () => {
  const file = `
policy: { breaker: { openMs: 1, closeAfter: 1, consecutive: 1 } }
models: { a: { breaker: { openMs: 3 }, maxRetries: 1 }, b: {} }
chains: { default: { models: [a, b], breaker: { openMs: 2, closeAfter: 2 }, maxRetries: 5 } }`;
  const chain = load({ file }).chains.get('default');

  it('overrides inside groups too: model over chain over policy', () => {
    expect(chain?.policyByModel.get('a')?.breaker).toEqual({
      ...DEFAULT_POLICY.breaker,
      openMs: 3,
      closeAfter: 2,
      consecutive: 1,
    });
    expect(chain?.policyByModel.get('b')?.breaker.openMs).toBe(2);
    expect(chain?.policy.breaker.openMs).toBe(2);
  });

  it('maxRetries under a model bounds the retries on it, and the chain keeps its own', () => {
    expect([...(chain?.maxRetriesByModel ?? [])]).toEqual([['a', 1]]);
    expect(chain?.policy.maxRetries).toBe(5);
  });
});

describe('values', () => {
  it('a variable may come as text, number or boolean', () => {
    const settings = load({ env: { FALLBACK_MAX_RETRIES: 2, FALLBACK_ENABLED: false, FALLBACK_LOG_CONTENT: 'TRUE' } });
    expect(settings.chains.get('default')?.policy.maxRetries).toBe(2);
    expect(settings.enabled).toBe(false);
    expect(settings.logContent).toBe(true);
  });

  it('${NAME} is replaced in any string of the file, whatever its key is of', () => {
    const file = `
providers: { p: { baseUrl: "http://\${HOST_NAME}:\${PORT_NUMBER}/v1/" } }
models: { a: { provider: "\${P}", price: { inputPerMTok: "\${PRICE}", outputPerMTok: 1 } } }
chains: { default: ["\${A}"] }
policy: { timeoutMs: "\${T}", hedge: { enabled: "\${ON}" } }`;
    const env = { HOST_NAME: 'h', PORT_NUMBER: 8080, P: 'p', A: 'a', T: '12', ON: 'true', PRICE: '0.5' };
    const settings = load({ file, env });
    expect(settings.models.get('a')?.provider.baseUrl).toBe('http://h:8080/v1');
    expect(settings.models.get('a')?.price).toEqual({ inputPerMTok: 0.5, outputPerMTok: 1 });
    expect(settings.chains.get('default')?.policy).toMatchObject({ timeoutMs: 12, hedge: { enabled: true } });
  });

  it('a key in options is a literal, and undefined says nothing', () => {
    const settings = load({
      options: {
        providers: { p: { apiKey: '${NOT_LOOKED_UP}' }, q: { apiKey: 'key-of-q' }, openai: {} },
        policy: undefined,
        simulated: undefined,
      },
    });
    expect(settings.providers.get('p')?.apiKey).toBe('${NOT_LOOKED_UP}');
    expect(settings.providers.get('q')?.apiKey).toBe('key-of-q');
  });

  it('an empty file, and keys with nothing below them, say nothing', () => {
    expect(chainOf(load({ file: '# nothing\n' }))).toEqual(['gpt-4', 'gpt-3.5-turbo']);
    expect(chainOf(load({ file: 'policy:\nchains:\nmodels:\nproviders:\n  openai:\n' }))).toEqual([
      'gpt-4',
      'gpt-3.5-turbo',
    ]);
  });

  it('merge keys and anchors of YAML work', () => {
    const settings = load({
      file: 'models:\n  a: &base { timeoutMs: 5, weight: 2 }\n  b: { <<: *base, timeoutMs: 6 }\n',
    });
    expect(settings.models.get('b')?.weight).toBe(2);
    expect(settings.chains.get('default')?.policyByModel.get('b')?.timeoutMs).toBe(6);
  });

  it('names that mean something to JavaScript are names like others', () => {
    const settings = load({ file: 'models: { constructor: {}, toString: { timeoutMs: 9 } }' });
    expect(chainOf(settings)).toEqual(['constructor', 'toString']);
    expect(settings.chains.get('default')?.policyByModel.get('toString')?.timeoutMs).toBe(9);
    expect(settings.chains.get('default')?.policyByModel.get('constructor')?.timeoutMs).toBe(30_000);
  });

  it('drills are allowed where the models are simulated, unless said otherwise', () => {
    expect(load({ options: { simulated: true } })).toMatchObject({ simulated: true, drills: true });
    expect(load({ options: { simulated: true, drills: false } })).toMatchObject({ drills: false });
    expect(load({ file: 'drills: true' })).toMatchObject({ simulated: false, drills: true });
  });
});

function explainedAt(settings: Settings, path: string): ExplainedSetting | undefined {
  return settings.explained.find((setting) => setting.path === path);
}

describe('what comes out', () => {
  const settings = load({
    file: 'policy: { timeoutMs: 5 }\nproviders: { p: { apiKey: "${P_KEY}" } }\nmodels: { a: { provider: p, stream: { idleMs: 8 } } }',
    env: { FALLBACK_MAX_RETRIES: '1', FALLBACK_MODEL: 'b', P_KEY: 'key-of-p-0001', OPENAI_API_KEY: 'key-openai-0002' },
    options: { health: { ping: true } },
  });

  it('is frozen through and through', () => {
    const model = settings.models.get('a');
    expect(() => Object.assign(settings, { enabled: false })).toThrow(TypeError);
    expect(() => Object.assign(model ?? {}, { id: 'z' })).toThrow(TypeError);
    expect(() => Object.assign(model?.provider ?? {}, { apiKey: 'z' })).toThrow(TypeError);
    expect(() => Object.assign(settings.chains.get('default')?.policy.backoff ?? {}, { baseMs: 1 })).toThrow(TypeError);
    expect(() => Reflect.get(settings.models, 'clear').call(settings.models)).toThrow(TypeError);
    expect(() => Reflect.get(settings.models, 'set').call(settings.models, 'x', model)).toThrow(TypeError);
  });

  it('explains every value with its source', () => {
    expect(explainedAt(settings, 'policy.timeoutMs')).toEqual({
      path: 'policy.timeoutMs',
      value: '5',
      source: 'file',
      from: 'f.yaml:1:22',
    });
    expect(explainedAt(settings, 'policy.maxRetries')).toMatchObject({
      value: '1',
      source: 'environment',
      from: 'FALLBACK_MAX_RETRIES',
    });
    expect(explainedAt(settings, 'policy.deadlineMs')).toEqual({
      path: 'policy.deadlineMs',
      value: '60000',
      source: 'default',
    });
    expect(explainedAt(settings, 'health.ping')).toEqual({ path: 'health.ping', value: 'true', source: 'options' });
    expect(explainedAt(settings, 'chains.default')).toMatchObject({
      value: 'a, b',
      source: 'environment',
      from: 'FALLBACK_MODEL',
    });
    expect(explainedAt(settings, 'models.a.stream.idleMs')).toMatchObject({ value: '8', source: 'file' });
    expect(explainedAt(settings, 'models.a.id')).toEqual({ path: 'models.a.id', value: 'a', source: 'default' });
  });

  it('explains no key', () => {
    expect(settings.explained.filter((setting) => setting.value === '[secret]').map((setting) => setting.path)).toEqual(
      ['providers.openai.apiKey', 'providers.p.apiKey'],
    );
    expect(JSON.stringify(settings.explained)).not.toMatch(/key-of-p-0001|key-openai-0002/);
  });
});
