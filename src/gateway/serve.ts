/**
 * The gateway as a process: what it prints, what it exits with, and what it does on which signal.
 *
 * Exit codes: 0 after a drain, 78 (EX_CONFIG) for a configuration that cannot be right, 1 for everything else.
 */
import { FallbackConfigError } from '../config/config-error.js';
import { openLogStreams } from '../telemetry/pino-file.js';
import { appendBootstrapLine } from './bootstrap-log.js';
import { chainsInWords } from './configuration-summary.js';
import { type Gateway, startGateway } from './gateway.js';
import { readGatewayConfiguration } from './gateway-configuration.js';
import { startLines } from './start-lines.js';
import { keepYoungSpaceSmall } from './young-space.js';

export const EXIT_CONFIG = 78;
const EXIT_FAILED = 1;
/** What a shell reports of a process that a signal ended. */
const EXIT_SIGNAL = { SIGINT: 130, SIGTERM: 143 } as const;

/**
 * On SIGTERM: load balancers go on sending for about so long after they were told. Whoever still comes is served, and
 * starts the wait anew.
 */
const QUIET_MS = 2_000;

/** @param configFile of the command line: wins over FALLBACK_CONFIG_FILE. Ends the process where it cannot start. */
export async function serve(configFile?: string): Promise<void> {
  keepYoungSpaceSmall();
  try {
    await run(configFile);
  } catch (error) {
    process.exit(explainFailedStart(error));
  }
}

/** One line per fault, on standard error. @returns the exit code. */
export function explainFailedStart(error: unknown): number {
  if (error instanceof FallbackConfigError) {
    process.stderr.write(`${error.faults.join('\n')}\n`);
    return EXIT_CONFIG;
  }
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  const known = error instanceof Error && 'code' in error ? KNOWN_ERRORS[String(error.code)] : undefined;
  process.stderr.write(`${known === undefined ? (stack ?? message) : `${known} (${message})`}\n`);
  return EXIT_FAILED;
}

const KNOWN_ERRORS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'The port is taken: set PORT to another one, or 0 for any free one',
  EACCES: 'No permission to listen there: set PORT to 1024 or above',
  EADDRNOTAVAIL: 'HOST is no address of this machine',
  ENOTFOUND: 'HOST is a name that nobody knows',
};

async function run(configFile: string | undefined): Promise<void> {
  const configuration = await readGatewayConfiguration(configFile);
  const { gateway: gatewaySettings, settings } = configuration;
  const streams = openLogStreams({ file: gatewaySettings.logFile });
  const gateway = await startGateway(configuration, streams);
  // Before anybody is told that it listens: whoever reads that may send the first signal.
  stopOnSignals(gateway);
  stopOnFaults(gateway);
  process.on('SIGHUP', () => {
    streams.reopen();
    void gateway.reload('SIGHUP');
  });

  const { url, log } = gateway;
  log.info({ url, simulated: settings.simulated }, `Listening on ${url}; ${chainsInWords(settings)}`);
  const unwritten = await appendBootstrapLine(settings);
  if (unwritten !== undefined) log.warn({}, unwritten);
  process.stdout.write(`${startLines({ url, settings, gateway: gatewaySettings }).join('\n')}\n`);
}

function stopOnSignals(gateway: Gateway): void {
  let isStopping = false;
  const stop = (signal: keyof typeof EXIT_SIGNAL, quietMs: number) => {
    // Whoever asks twice does not want to wait.
    if (isStopping) process.exit(EXIT_SIGNAL[signal]);
    isStopping = true;
    void leave(gateway, quietMs, 0);
  };
  process.on('SIGTERM', () => stop('SIGTERM', QUIET_MS));
  // From a keyboard: nobody is to be waited for.
  process.on('SIGINT', () => stop('SIGINT', 0));
}

/** A fault of ours must not take the requests under way with it; after one that nobody caught, a fresh process is safer. */
function stopOnFaults(gateway: Gateway): void {
  const { log } = gateway;
  // Whoever read our output is gone: no reason to go, too.
  process.stdout.on('error', () => {});
  process.on('unhandledRejection', (error) => log.error({ err: error }, 'A promise failed and nobody noticed'));
  process.once('uncaughtException', (error) => {
    log.error({ err: error }, 'A fault of the gateway: what is under way is finished, then it ends');
    process.on('uncaughtException', (again) => log.error({ err: again }, 'Another fault while draining'));
    void leave(gateway, 0, EXIT_FAILED);
  });
}

async function leave(gateway: Gateway, quietMs: number, exitCode: number): Promise<void> {
  try {
    await gateway.stop(quietMs);
    gateway.log.info({}, 'Stopped');
    process.exit(exitCode);
  } catch (error) {
    gateway.log.error({ err: error }, 'The gateway did not stop cleanly');
    process.exit(EXIT_FAILED);
  }
}
