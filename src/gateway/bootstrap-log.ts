/** One line per successful start, so that an operator sees at a glance what each start was configured as. */
import { appendFile, mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Settings } from '../config/settings.js';

export const BOOTSTRAP_LOG = join('logs', 'bootstrap_status.log');

export function bootstrapLine({ chains, models }: Settings, now: Date): string {
  return `${now.toISOString()} - FALLBACK: configured chain=${[...chains.keys()].join(',')} models=${[...models.keys()].join(',')}`;
}

/** @returns why it could not be written, if so: a start never fails by it. */
export async function appendBootstrapLine(settings: Settings, now = new Date()): Promise<string | undefined> {
  try {
    await mkdir(dirname(BOOTSTRAP_LOG), { recursive: true });
    await appendFile(BOOTSTRAP_LOG, `${bootstrapLine(settings, now)}\n`);
    return undefined;
  } catch (error) {
    return `${BOOTSTRAP_LOG} cannot be written: ${error instanceof Error ? error.message : String(error)}`;
  }
}
