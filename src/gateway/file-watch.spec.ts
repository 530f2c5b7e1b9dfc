import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { FileWatch } from './file-watch.js';

let directory: string;
let path: string;
let watch: FileWatch;
let changes: number;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'watch-'));
  path = join(directory, 'file');
  await writeFile(path, 'one');
  changes = 0;
  watch = await new FileWatch(path, () => (changes += 1), 5).start();
});

afterEach(async () => {
  watch.stop();
  await rm(directory, { recursive: true });
});

async function untilChanges(count: number): Promise<void> {
  await vi.waitFor(() => expect(changes).toBe(count), { interval: 1, timeout: 2_000 });
}

/** As long as another watch needs to notice a change. */
async function someLooks(): Promise<void> {
  const other = join(directory, 'other');
  const { promise: noticed, resolve: notice } = Promise.withResolvers<void>();
  const otherWatch = await new FileWatch(other, notice, 5).start();
  await writeFile(other, 'new');
  await noticed;
  otherWatch.stop();
}

it('each change is told once, a file that goes and comes back too', async () => {
  await writeFile(path, 'second');
  await untilChanges(1);
  await rm(path);
  await untilChanges(2);
  await writeFile(path, 'third time');
  await untilChanges(3);
  await someLooks();
  expect(changes).toBe(3);
});

it('nothing is told after the end', async () => {
  watch.stop();
  await writeFile(path, 'second');
  await someLooks();
  expect(changes).toBe(0);
});
