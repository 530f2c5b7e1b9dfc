/**
 * Child processes of the bench: started, spoken to, and gone at the end whatever happens, each by its own id.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

import type { Dialogues, Order, Report } from './orders.ts';

export interface ChildStart {
  readonly name: string;
  readonly script: string;
  readonly args?: readonly string[];
  readonly nodeArgs?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** It is up when its standard output matches. */
  readonly up: RegExp;
  /** Whether orders go to it. The app has no such channel. */
  readonly takesOrders: boolean;
}

export interface Child {
  readonly name: string;
  readonly pid: number;
  /** The first group of `up`, where it has one. */
  readonly url: string;
  /** From the spawn until it was up. */
  readonly startMs: number;
  /** One order at a time. Rejects where the child ends or takes longer than `ORDER_LIMIT_MS`. */
  ask<K extends keyof Dialogues>(order: Order<K>): Promise<Report<K>>;
  stop(): Promise<void>;
}

const UP_LIMIT_MS = 30_000;
const ORDER_LIMIT_MS = 120_000;
const STOP_LIMIT_MS = 5_000;
/** Enough to tell why it did not start; a log of the whole run is not kept. */
const KEPT_OUTPUT_CHARACTERS = 20_000;

const running = new Set<ChildProcess>();
// What SIGTERM could not end in time, and whatever runs when the bench itself fails.
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export function benchScript(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}

/** Rejects, with what it said, where it ends or stays silent instead of coming up. */
export async function startChild(start: ChildStart): Promise<Child> {
  const spawnedAtMs = performance.now();
  const child = spawn(process.execPath, [...(start.nodeArgs ?? []), start.script, ...(start.args ?? [])], {
    // Nothing of the surrounding environment: a key or a proxy setting there must not change a figure.
    env: { PATH: process.env['PATH'] ?? '', ...start.env },
    ...(start.cwd === undefined ? {} : { cwd: start.cwd }),
    stdio: ['ignore', 'pipe', 'pipe', ...(start.takesOrders ? (['ipc'] as const) : [])],
  });
  running.add(child);
  child.once('exit', () => running.delete(child));
  let output = '';
  const { promise: up, resolve: isUp, reject: isNotUp } = Promise.withResolvers<RegExpExecArray>();
  const listen = (piece: Buffer): void => {
    if (output.length > KEPT_OUTPUT_CHARACTERS) return;
    output += piece.toString();
    const match = start.up.exec(output);
    if (match !== null) isUp(match);
  };
  child.stdout?.on('data', listen);
  child.stderr?.on('data', listen);
  child.once('error', isNotUp);
  child.once('exit', (code, signal) => isNotUp(new Error(`${start.name} ended (${code ?? signal}):\n${output}`)));
  const limit = setTimeout(() => isNotUp(new Error(`${start.name} is not up:\n${output}`)), UP_LIMIT_MS);

  try {
    const match = await up;
    return {
      name: start.name,
      pid: child.pid ?? 0,
      url: match[1] ?? '',
      startMs: performance.now() - spawnedAtMs,
      ask: <K extends keyof Dialogues>(order: Order<K>) => ask<K>(child, start.name, order),
      stop: () => stop(child),
    };
  } catch (error) {
    await stop(child);
    throw error;
  } finally {
    clearTimeout(limit);
  }
}

/** Ends all children that run. */
export async function stopAll(): Promise<void> {
  await Promise.all([...running].map(stop));
}

async function ask<K extends keyof Dialogues>(child: ChildProcess, name: string, order: Order<K>): Promise<Report<K>> {
  const ending = new AbortController();
  const limit = setTimeout(() => ending.abort(new Error(`${name} took too long`)), ORDER_LIMIT_MS);
  const end = (code: number | null): void => ending.abort(new Error(`${name} ended with code ${code}`));
  child.once('exit', end);
  try {
    const answer = once(child, 'message', { signal: ending.signal });
    child.send(order);
    const [report]: Report<K>[] = await answer;
    if (report === undefined) throw new Error(`${name} answered nothing`);
    return report;
  } catch (error) {
    throw ending.signal.aborted ? ending.signal.reason : error;
  } finally {
    clearTimeout(limit);
    child.off('exit', end);
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const killer = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS);
  await exited;
  clearTimeout(killer);
}
