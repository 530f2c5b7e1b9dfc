/**
 * Runs the built gateway as its users do: `node dist/main.js` in an empty directory, with an environment of its own.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeFiles } from './run-program.js';

export interface GatewayStart {
  /** A config file's content; absent: no file. */
  readonly config?: object;
  /** Files of the working directory, by path; their directories are made. */
  readonly files?: Readonly<Record<string, string>>;
  /** Over the defaults below. Nothing else of the surrounding environment is passed on but `PATH`. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface RunningGateway {
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
  /** Where it runs; gone after `stop()`. */
  readonly directory: string;
  /** Where `config` was written. */
  readonly configFile: string;
  readonly child: ChildProcess;
  /**
   * SIGINT, which waits for what is under way but not for who may still come; then the exit code, -1 where a signal ended
   * it or it had to be killed. Idempotent.
   */
  stop(): Promise<number>;
  /** Both outputs so far. */
  logs(): string;
}

const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const LISTENING = /listening on (http:\/\/(?:[\d.]+|\[[\da-f:.]+\]):\d+)/iu;

/** A start takes one to two seconds on two busy cores. */
const START_LIMIT_MS = 20_000;
/** Longer than what a test lets a request take. */
const STOP_LIMIT_MS = 10_000;

/** Rejects, with all that it logged, where the gateway ends or says nothing instead of listening. */
export async function startGateway({ config, env = {}, files = {} }: GatewayStart = {}): Promise<RunningGateway> {
  if (!existsSync(MAIN)) throw new Error('dist/main.js is missing: run "npm run build" first');
  const directory = await mkdtemp(join(tmpdir(), 'gateway-'));
  const workingDirectory = await mkdtemp(join(directory, 'cwd-'));
  const configFile = join(directory, 'fallback.json');
  if (config !== undefined) await writeFile(configFile, JSON.stringify(config));
  await writeFiles(workingDirectory, files);
  const child = spawn(process.execPath, ['--enable-source-maps', MAIN], {
    cwd: workingDirectory,
    env: {
      PATH: process.env['PATH'] ?? '',
      HOST: '127.0.0.1',
      PORT: '0',
      FALLBACK_LOG_FILE: '',
      ...(config === undefined ? {} : { FALLBACK_CONFIG_FILE: configFile }),
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const exited = once(child, 'exit').then(() => child.exitCode ?? -1);
  const listening = new Promise<string>((resolve) => {
    const listen = (piece: Buffer) => {
      output += piece.toString();
      const url = LISTENING.exec(output)?.[1];
      if (url !== undefined) resolve(url);
    };
    child.stdout.on('data', listen);
    child.stderr.on('data', listen);
  });

  const stop = async () => {
    child.kill('SIGINT');
    const killer = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS);
    const code = await exited;
    clearTimeout(killer);
    await rm(directory, { recursive: true, force: true });
    return code;
  };
  const { promise: tooLate, resolve: giveUp } = Promise.withResolvers<string>();
  const limit = setTimeout(() => giveUp(`did not listen within ${START_LIMIT_MS} ms`), START_LIMIT_MS);
  const first = await Promise.race([listening, exited.then((code) => `ended with code ${code}`), tooLate]);
  clearTimeout(limit);
  if (!first.startsWith('http')) {
    await stop();
    throw new Error(`the gateway ${first}; it said:\n${output}`);
  }
  return { url: first, directory: workingDirectory, configFile, child, stop, logs: () => output };
}
