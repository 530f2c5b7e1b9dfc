/**
 * Everything that the standalone app and its commands are told: `.env` of the working directory under the process's own
 * environment, the module's settings, the gateway's own. All of it is checked here, before anything is built, so that
 * the faults of both come out at once.
 */
import { join } from 'node:path';
import { ConfigModule } from '@nestjs/config';
import { FallbackConfigError } from '../config/config-error.js';
import { loadSettings } from '../config/load-settings.js';
import type { FallbackOptions } from '../config/options.js';
import type { Settings } from '../config/settings.js';
import { MODULE_VARIABLES } from '../config/variables.js';
import { type GatewaySettings, loadGatewaySettings } from './gateway-settings.js';

export interface GatewayConfiguration {
  readonly gateway: GatewaySettings;
  /** What the module is given beside the environment. */
  readonly options: FallbackOptions;
  /** As the module will have them, before simulated models take the real ones' place. */
  readonly settings: Settings;
}

/**
 * @param configFile of the command line: wins over the variable.
 * @throws FallbackConfigError with every fault of the gateway and of the module.
 */
export async function readGatewayConfiguration(configFile?: string): Promise<GatewayConfiguration> {
  await loadDotEnv();
  const faults: string[] = [];
  const gateway = collectFaults(faults, () => loadGatewaySettings(readVariable));
  const options: FallbackOptions = {
    ...(configFile !== undefined && { configFile }),
    ...simulatedOption(gateway?.simulated, readVariable, configFile),
  };
  const settings = collectFaults(faults, () => loadSettings({ options, readVariable }));
  if (!gateway || !settings) throw new FallbackConfigError(faults);
  return { gateway, options, settings };
}

/** The environment, once `.env` has been read into it. */
export function readVariable(name: string): string | undefined {
  return process.env[name];
}

/**
 * Simulated models answer where they are asked for by name, or where nothing at all is configured: never in production
 * by themselves.
 * @returns nothing where the configuration decides for itself.
 */
export function simulatedOption(
  asked: boolean | undefined,
  read: (name: string) => string | undefined,
  configFile?: string,
): Pick<FallbackOptions, 'simulated'> {
  if (asked !== undefined) return { simulated: asked };
  const isConfigured = configFile !== undefined || CONFIGURING.some((name) => isSet(read(name)));
  return isConfigured || read('NODE_ENV') === 'production' ? {} : { simulated: true };
}

const CONFIGURING = [
  MODULE_VARIABLES.openaiApiKey.name,
  MODULE_VARIABLES.openaiBaseUrl.name,
  MODULE_VARIABLES.configFile.name,
];

function isSet(value: string | undefined): boolean {
  return value !== undefined && value.trim() !== '';
}

/** Into the environment, as `@nestjs/config` does it for every Nest app; what is set there already wins. */
async function loadDotEnv(): Promise<void> {
  const path = join(process.cwd(), '.env');
  try {
    await ConfigModule.forRoot({ envFilePath: path });
  } catch (error) {
    const why = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    throw new FallbackConfigError([`${path}: cannot be read: ${why}`]);
  }
}

function collectFaults<T>(faults: string[], load: () => T): T | undefined {
  try {
    return load();
  } catch (error) {
    if (!(error instanceof FallbackConfigError)) throw error;
    faults.push(...error.faults);
    return undefined;
  }
}
