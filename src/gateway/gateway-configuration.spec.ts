import { describe, expect, it } from 'vitest';
import { simulatedOption } from './gateway-configuration.js';

const decide = (env: Record<string, string>, asked?: boolean, configFile?: string) =>
  simulatedOption(asked, (name) => env[name], configFile).simulated;

describe('simulated models', () => {
  it('answer where nothing is configured', () => expect(decide({})).toBe(true));
  it('answer where everything is set to nothing', () =>
    expect(decide({ OPENAI_API_KEY: '', OPENAI_BASE_URL: ' ', FALLBACK_CONFIG_FILE: '' })).toBe(true));

  it.each([
    { why: 'a key is set', env: { OPENAI_API_KEY: 'sk-1' } },
    { why: 'a base URL is set', env: { OPENAI_BASE_URL: 'http://127.0.0.1:1/v1' } },
    { why: 'a config file is set', env: { FALLBACK_CONFIG_FILE: 'fallback.yaml' } },
    { why: 'it is production', env: { NODE_ENV: 'production' } },
  ])('are left to the configuration where $why', ({ env }) => expect(decide(env)).toBeUndefined());

  it('are left to the configuration where the command line names a file', () =>
    expect(decide({}, undefined, 'fallback.yaml')).toBeUndefined());

  it.each([true, false])('are as asked for by name (%s), whatever is configured, in production too', (asked) => {
    expect(decide({}, asked)).toBe(asked);
    expect(decide({ OPENAI_API_KEY: 'sk-1', NODE_ENV: 'production' }, asked)).toBe(asked);
  });
});
