/** What the system knows of a running process. Linux alone tells of its sockets. */
import { readFile, readdir, readlink } from 'node:fs/promises';

export const KNOWS_SOCKETS = process.platform === 'linux';

/** Resident memory, MB. */
export async function readRssMb(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/mu.exec(status)?.[1]) / 1_024;
}

/** Sockets that it holds open: listeners, both ends of its pipes to us, every connection in whatever state. */
export async function countSockets(pid: number | undefined): Promise<number> {
  const directory = `/proc/${pid}/fd`;
  const targets = (await readdir(directory)).map((fd) => readlink(`${directory}/${fd}`).catch(() => 'closed'));
  return (await Promise.all(targets)).filter((target) => target.startsWith('socket:')).length;
}
