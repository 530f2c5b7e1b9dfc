/**
 * What a process and all its descendants cost: CPU and memory, as Linux counts them.
 *
 * CPU comes from `schedstat` of every thread, nanoseconds; `stat` counts in ticks of 10 ms, too coarse for a round of one
 * second. A thread that ended in between takes its time with it; Node's live as long as the process.
 */
import { readdirSync, readFileSync } from 'node:fs';

/** User and system time so far, milliseconds. Throws where there is no `/proc`. */
export function cpuMsOf(rootPid: number): number {
  let ns = 0;
  for (const pid of treeOf(rootPid)) {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      ns += Number(readIfThere(`/proc/${pid}/task/${thread}/schedstat`).split(' ', 1)[0]);
    }
  }
  return ns / 1e6;
}

/** What of it lies in memory now, MB of 10^6 bytes. */
export function rssMbOf(rootPid: number): number {
  let kib = 0;
  for (const pid of treeOf(rootPid)) {
    kib += Number(/^VmRSS:\s+(\d+) kB/m.exec(readIfThere(`/proc/${pid}/status`))?.[1] ?? 0);
  }
  return (kib * 1_024) / 1e6;
}

function treeOf(rootPid: number): number[] {
  const tree = [rootPid];
  // Grows while it is walked: children of children are found in their turn.
  for (const pid of tree) {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      const children = readIfThere(`/proc/${pid}/task/${thread}/children`).trim();
      if (children !== '') tree.push(...children.split(' ').map(Number));
    }
  }
  return tree;
}

/** A thread may end between being listed and being read. */
function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
