/**
 * Every environment variable that the module and the gateway know: the one table from which they are read, faults are
 * worded, `.env.example` is written and the docs print their table.
 */
import { DEFAULT_POLICY } from '../policy/policy.js';
import type { FaultList } from './config-error.js';
import {
  flag,
  hostName,
  httpUrl,
  type Kind,
  modelName,
  modelNames,
  oneOf,
  redisUrl,
  secret,
  secrets,
  text,
  whole,
} from './kind.js';
import { POLICY_FIELDS } from './ranges.js';

export interface Variable<T> {
  readonly name: string;
  readonly kind: Kind<T>;
  /** As it would be written; undefined: unset. */
  readonly default: string | undefined;
}

/** The models of the default chain where nothing names any. */
export const BUILT_IN_CHAIN = ['gpt-4', 'gpt-3.5-turbo'] as const;

export const MODULE_VARIABLES = {
  enabled: variable('FALLBACK_ENABLED', flag('false: only the first model of the chain is ever attempted'), true),
  primaryModel: variable('FALLBACK_PRIMARY_MODEL', modelName('first model of the default chain'), BUILT_IN_CHAIN[0]),
  furtherModels: variable(
    'FALLBACK_MODEL',
    modelNames('the models after it, in order, comma-separated'),
    BUILT_IN_CHAIN.slice(1).join(','),
  ),
  maxRetries: variable('FALLBACK_MAX_RETRIES', POLICY_FIELDS.maxRetries, DEFAULT_POLICY.maxRetries),
  timeoutMs: variable('FALLBACK_TIMEOUT_MS', POLICY_FIELDS.timeoutMs, DEFAULT_POLICY.timeoutMs),
  idleMs: variable('FALLBACK_STREAM_IDLE_MS', POLICY_FIELDS.stream.idleMs, DEFAULT_POLICY.stream.idleMs),
  deadlineMs: variable('FALLBACK_DEADLINE_MS', POLICY_FIELDS.deadlineMs, DEFAULT_POLICY.deadlineMs),
  backoffBaseMs: variable('FALLBACK_BACKOFF_MS', POLICY_FIELDS.backoff.baseMs, DEFAULT_POLICY.backoff.baseMs),
  backoffFactor: variable('FALLBACK_BACKOFF_FACTOR', POLICY_FIELDS.backoff.factor, DEFAULT_POLICY.backoff.factor),
  backoffMaxMs: variable('FALLBACK_BACKOFF_MAX_MS', POLICY_FIELDS.backoff.maxMs, DEFAULT_POLICY.backoff.maxMs),
  configFile: variable('FALLBACK_CONFIG_FILE', text('YAML or JSON file; a variable wins over the same key in it')),
  openaiApiKey: variable('OPENAI_API_KEY', secret('key of the default provider, openai')),
  openaiBaseUrl: variable('OPENAI_BASE_URL', httpUrl('its base URL, /v1 included: any compatible server')),
  logContent: variable(
    'FALLBACK_LOG_CONTENT',
    flag("prompts, answers and upstreams' error texts in logs and traces"),
    false,
  ),
} as const;

const LONGEST_GRACE_MS = 3_600_000;

/** Of the standalone app: the module never looks at them. */
export const GATEWAY_VARIABLES = {
  apiKeys: variable('FALLBACK_API_KEYS', secrets('keys that callers must present, comma-separated')),
  allowAnonymous: variable(
    'FALLBACK_ALLOW_ANONYMOUS',
    flag('without keys, only a loopback HOST is allowed unless this is true'),
    false,
  ),
  logFile: variable(
    'FALLBACK_LOG_FILE',
    text('JSON lines, beside standard output; empty: standard output only'),
    'logs/fallback.log',
  ),
  logLevel: variable(
    'FALLBACK_LOG_LEVEL',
    oneOf('least level that is logged', 'fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'),
    'info',
  ),
  simulated: variable('FALLBACK_SIMULATED', flag('true: the built-in simulated models answer; false: never')),
  redisUrl: variable('REDIS_URL', redisUrl('shared state across replicas; unset: in this process')),
  host: variable('HOST', hostName('address to listen on'), '127.0.0.1'),
  port: variable('PORT', whole('port to listen on; 0: any free one', 0, 65_535), 3_000),
  shutdownGraceMs: variable(
    'SHUTDOWN_GRACE_MS',
    whole('how long requests under way may take to finish after SIGTERM', 0, LONGEST_GRACE_MS),
    30_000,
  ),
} as const;

/** In the order in which the contract lists them. */
export const VARIABLES: readonly Variable<unknown>[] = [
  ...Object.values<Variable<unknown>>(MODULE_VARIABLES),
  ...Object.values<Variable<unknown>>(GATEWAY_VARIABLES),
];

function variable<T>(name: string, kind: Kind<T>, value?: string | number | boolean): Variable<T> {
  return { name, kind, default: value === undefined ? undefined : String(value) };
}

/**
 * Reads one variable, as whoever holds the configuration gives it (text, number or boolean). Empty means unset.
 * @returns undefined where it is unset or wrong; what is wrong is among the faults then.
 */
export function readVariableOf<T>(
  { name, kind }: Variable<T>,
  read: (name: string) => unknown,
  faults: FaultList,
): T | undefined {
  const raw = read(name);
  const isText = typeof raw === 'string' || typeof raw === 'number' || typeof raw === 'boolean';
  const written = isText ? String(raw).trim() : '';
  if (raw === undefined || raw === null || (isText && written === '')) return undefined;
  if (kind.isSecret) for (const part of [written, ...written.split(',')]) faults.hide(part);
  const value = isText ? kind.fromText(written) : kind.fromValue(raw);
  if (value === undefined) faults.add(`${name}=${kind.show(isText ? written : raw, false)}: expected ${kind.expected}`);
  return value;
}

/** The default as a value, from the same words that `.env.example` prints. */
export function defaultOf<T>(of: Variable<T>): T | undefined {
  return of.default === undefined ? undefined : of.kind.fromText(of.default);
}
