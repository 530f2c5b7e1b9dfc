import { describe, expect, it } from 'vitest';

import { FaultList } from './config-error.js';
import { GATEWAY_VARIABLES, MODULE_VARIABLES, readVariableOf, type Variable, VARIABLES } from './variables.js';

/** As the contract's table lists them. */
const CONTRACT: Record<string, string | undefined> = {
  FALLBACK_ENABLED: 'true',
  FALLBACK_PRIMARY_MODEL: 'gpt-4',
  FALLBACK_MODEL: 'gpt-3.5-turbo',
  FALLBACK_MAX_RETRIES: '3',
  FALLBACK_TIMEOUT_MS: '30000',
  FALLBACK_STREAM_IDLE_MS: '15000',
  FALLBACK_DEADLINE_MS: '60000',
  FALLBACK_BACKOFF_MS: '1000',
  FALLBACK_BACKOFF_FACTOR: '1.5',
  FALLBACK_BACKOFF_MAX_MS: '20000',
  FALLBACK_CONFIG_FILE: undefined,
  OPENAI_API_KEY: undefined,
  OPENAI_BASE_URL: undefined,
  FALLBACK_LOG_CONTENT: 'false',
  FALLBACK_API_KEYS: undefined,
  FALLBACK_ALLOW_ANONYMOUS: 'false',
  FALLBACK_LOG_FILE: 'logs/fallback.log',
  FALLBACK_LOG_LEVEL: 'info',
  FALLBACK_SIMULATED: undefined,
  REDIS_URL: undefined,
  HOST: '127.0.0.1',
  PORT: '3000',
  SHUTDOWN_GRACE_MS: '30000',
};

describe('the table of variables', () => {
  it('holds every variable of the contract with its default, and no other', () => {
    expect(Object.fromEntries(VARIABLES.map((variable) => [variable.name, variable.default]))).toEqual(CONTRACT);
  });

  it.each(VARIABLES.filter((variable) => variable.default !== undefined))(
    '$name allows its own default',
    (variable) => {
      const faults = new FaultList();
      readVariableOf(variable, () => variable.default, faults);
      expect(() => faults.throwIfAny()).not.toThrow();
    },
  );
});

/** ` (0 to 10)` of `a whole number from 0 to 10`. */
function rangeOf(expected: string): string {
  const range = /number from (.*)/.exec(expected)?.[1];
  return range === undefined ? '' : ` (${range})`;
}

function lines(table: Readonly<Record<string, Variable<unknown>>>): string[] {
  return Object.values(table).flatMap(({ name, kind, default: value }) => [
    '',
    `# ${kind.meaning}${rangeOf(kind.expected)}`,
    value === undefined ? `# ${name}=` : `${name}=${value}`,
  ]);
}

/** Copied as it is, the example changes nothing; where a config file is used, lines that it should decide go. */
function envExample(): string {
  return [
    '# Every variable with its default. A variable wins over the same key of a config file: where you have one,',
    '# delete or comment out the lines that it should decide.',
    ...lines(MODULE_VARIABLES),
    '',
    '# ---- the gateway alone ----',
    ...lines(GATEWAY_VARIABLES),
    '',
  ].join('\n');
}

describe('.env.example', () => {
  it('is what the table says (vitest -u writes it anew)', async () => {
    await expect(envExample()).toMatchFileSnapshot('../../.env.example');
  });
});
