/**
 * What the standalone app alone reads from the environment: where it listens, who may call, where it logs. The module
 * never looks at these.
 */
import { isIPv4 } from 'node:net';

import { FaultList } from '../config/config-error.js';
import { defaultOf, GATEWAY_VARIABLES, readVariableOf, type Variable } from '../config/variables.js';

export interface GatewaySettings {
  /** Keys that callers must present; none: anonymous callers. */
  readonly apiKeys: readonly string[];
  readonly allowAnonymous: boolean;
  /** Undefined: standard output only. */
  readonly logFile?: string;
  readonly logLevel: 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent';
  /** Undefined: simulated models answer only where nothing else is configured. */
  readonly simulated?: boolean;
  readonly redisUrl?: string;
  /** Without brackets, also where it is IPv6. */
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly shutdownGraceMs: number;
  /** Callers' keys and Redis's password, to be blotted out of whatever goes out. */
  readonly secrets: readonly string[];
}

/**
 * @param readVariable as `loadSettings` takes it.
 * @throws FallbackConfigError with every fault at once; no key in any.
 */
export function loadGatewaySettings(readVariable: (name: string) => unknown): GatewaySettings {
  const faults = new FaultList();
  const read = <T>(variable: Variable<T>): T | undefined =>
    readVariableOf(variable, readVariable, faults) ?? defaultOf(variable);

  const apiKeys = read(GATEWAY_VARIABLES.apiKeys) ?? [];
  const allowAnonymous = read(GATEWAY_VARIABLES.allowAnonymous) ?? false;
  const simulated = read(GATEWAY_VARIABLES.simulated);
  const redisUrl = read(GATEWAY_VARIABLES.redisUrl);
  const host = read(GATEWAY_VARIABLES.host) ?? '127.0.0.1';
  // Here alone, empty is not unset: it says that there shall be no file.
  const logFile = isEmptyText(readVariable(GATEWAY_VARIABLES.logFile.name))
    ? undefined
    : read(GATEWAY_VARIABLES.logFile);
  const settings = {
    apiKeys,
    allowAnonymous,
    logLevel: read(GATEWAY_VARIABLES.logLevel) ?? 'info',
    host,
    port: read(GATEWAY_VARIABLES.port) ?? 3_000,
    shutdownGraceMs: read(GATEWAY_VARIABLES.shutdownGraceMs) ?? 30_000,
    ...(logFile === undefined ? {} : { logFile }),
    ...(simulated === undefined ? {} : { simulated }),
    ...(redisUrl === undefined ? {} : { redisUrl }),
    secrets: [...apiKeys, ...passwordsOf(redisUrl)],
  };
  const hasKeys = !isUnset(readVariable(GATEWAY_VARIABLES.apiKeys.name));
  if (!hasKeys && !allowAnonymous && !isLoopback(host)) {
    faults.add(
      `HOST=${host}: expected a loopback address (127.0.0.1, ::1 or localhost) while FALLBACK_API_KEYS is unset; ` +
        'set keys, or FALLBACK_ALLOW_ANONYMOUS=true to let anyone call',
    );
  }
  faults.throwIfAny();
  return Object.freeze({ ...settings, apiKeys: Object.freeze(apiKeys), secrets: Object.freeze(settings.secrets) });
}

/** Names and addresses that only this machine reaches. */
export function isLoopback(host: string): boolean {
  const name = host.toLowerCase().replace(/\.$/, '');
  if (isIPv4(name)) return name.startsWith('127.');
  return name === 'localhost' || name.endsWith('.localhost') || name === '::1' || name === '0:0:0:0:0:0:0:1';
}

function isEmptyText(value: unknown): boolean {
  return typeof value === 'string' && value.trim() === '';
}

function isUnset(value: unknown): boolean {
  return value === undefined || value === null || isEmptyText(value);
}

/** As it stands in the URL and as it is sent. */
function passwordsOf(url: string | undefined): string[] {
  if (url === undefined) return [];
  const { password } = new URL(url);
  if (password === '') return [];
  try {
    return [...new Set([password, decodeURIComponent(password)])];
  } catch {
    return [password];
  }
}
