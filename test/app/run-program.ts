/**
 * Runs one of our programs to its end as a user does, in an empty directory, with an environment of its own: for starts
 * that fail and commands that finish.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface ProgramRun {
  /** -1 where a signal ended it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ProgramOptions {
  /** Nothing else of the surrounding environment is passed on but `PATH`. */
  readonly env?: Readonly<Record<string, string>>;
  /** Files of the working directory, by path; their directories are made. */
  readonly files?: Readonly<Record<string, string>>;
}

const ROOT = new URL('../../', import.meta.url);
/** A program that hangs is a failure of its own. */
const LIMIT_MS = 30_000;

/** `node dist/main.js`. */
export function runMain(options: ProgramOptions = {}): Promise<ProgramRun> {
  return run([fileURLToPath(new URL('dist/main.js', ROOT))], options);
}

/** `nestjs-llm-fallback ARGS`. */
export function runCommand(args: readonly string[], options: ProgramOptions = {}): Promise<ProgramRun> {
  return run([fileURLToPath(new URL('bin/nestjs-llm-fallback.js', ROOT)), ...args], options);
}

async function run(args: readonly string[], { env = {}, files = {} }: ProgramOptions): Promise<ProgramRun> {
  const directory = await mkdtemp(join(tmpdir(), 'program-'));
  await writeFiles(directory, files);
  const child = spawn(process.execPath, args, {
    cwd: directory,
    env: { PATH: process.env['PATH'] ?? '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: LIMIT_MS,
    killSignal: 'SIGKILL',
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (piece: Buffer) => (stdout += piece.toString()));
  child.stderr.on('data', (piece: Buffer) => (stderr += piece.toString()));
  await once(child, 'close');
  await rm(directory, { recursive: true, force: true });
  return { code: child.exitCode ?? -1, stdout, stderr };
}

export async function writeFiles(directory: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    const path = join(directory, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
  }
}
