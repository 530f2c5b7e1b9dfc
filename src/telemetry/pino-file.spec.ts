import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as endOfTurn } from 'node:timers/promises';
import pino, { type Logger } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type LogStreams, openLogStreams } from './pino-file.js';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'log-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

interface OpenLog {
  readonly streams: LogStreams;
  readonly log: Logger;
  /** Messages on standard output, in order; beside a file, as of the end of the turn. */
  readonly shown: string[];
}

function openLog(file: string | undefined): OpenLog {
  const shown: string[] = [];
  const stdout = { write: (text: string) => void shown.push(...text.trimEnd().split('\n').map(messageOf)) };
  const streams = openLogStreams({ file, stdout });
  return { streams, log: pino({ level: 'debug' }, streams.stream), shown };
}

function messageOf(line: string): string {
  const parsed: unknown = JSON.parse(line);
  return String(Reflect.get(Object(parsed), 'msg'));
}

function messagesIn(file: string): string[] {
  return readFileSync(file, 'utf8').trimEnd().split('\n').map(messageOf);
}

describe('the log file', () => {
  it('is made with its directories, and holds every line beside standard output', async () => {
    const file = join(directory, 'logs', 'fallback.log');
    const { log, streams, shown } = openLog(file);
    log.debug('first');
    log.error('second');
    await endOfTurn();

    expect(messagesIn(file)).toEqual(['first', 'second']);
    expect(shown).toEqual(['first', 'second']);
    streams.close();
  });

  it('is continued, not begun anew, by the next process', () => {
    const file = join(directory, 'fallback.log');
    for (const message of ['before', 'after']) {
      const { log, streams } = openLog(file);
      log.info(message);
      streams.close();
    }

    expect(messagesIn(file)).toEqual(['before', 'after']);
  });

  it('is complete even where the process is killed in the middle', async () => {
    const file = join(directory, 'fallback.log');
    const program = `
      import pino from 'pino';
      import { openLogStreams } from ${JSON.stringify(new URL('pino-file.ts', import.meta.url).href)};
      const log = pino({}, openLogStreams({ file: ${JSON.stringify(file)} }).stream);
      for (let i = 0; ; i++) {
        log.info('line ' + i);
        if (i === 2000) process.kill(process.pid, 'SIGKILL');
      }`;
    const child = spawn(process.execPath, ['--input-type=module', '--no-warnings', '-e', program], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const [, signal] = await once(child, 'exit');

    expect(signal).toBe('SIGKILL');
    expect(messagesIn(file)).toEqual(Array.from({ length: 2001 }, (_, i) => `line ${i}`));
  });

  it('is not there where only standard output was asked for', () => {
    const { log, streams, shown } = openLog(undefined);
    log.info('here');
    streams.reopen();
    streams.close();

    expect(shown).toEqual(['here']);
  });

  it('is written no more once it is closed, and standard output still is', async () => {
    const file = join(directory, 'fallback.log');
    const { log, streams, shown } = openLog(file);
    log.info('before');
    streams.close();
    streams.close();
    log.info('after');
    await endOfTurn();

    expect(messagesIn(file)).toEqual(['before']);
    expect(shown).toEqual(['before', 'after']);
  });
});

describe('rotation', () => {
  it('by renaming: lines go to the new file once it is opened anew', () => {
    const file = join(directory, 'fallback.log');
    const { log, streams } = openLog(file);
    log.info('old');
    renameSync(file, `${file}.1`);
    log.info('still old');
    streams.reopen();
    log.info('new');

    expect(messagesIn(`${file}.1`)).toEqual(['old', 'still old']);
    expect(messagesIn(file)).toEqual(['new']);
    streams.close();
  });

  it('by copy and truncate: lines start at the beginning of the emptied file', () => {
    const file = join(directory, 'fallback.log');
    const { log, streams } = openLog(file);
    log.info('old');
    truncateSync(file);
    log.info('new');

    expect(messagesIn(file)).toEqual(['new']);
    streams.close();
  });

  it('that cannot open the file leaves the old one in use', async () => {
    const file = join(directory, 'logs', 'fallback.log');
    const { log, streams, shown } = openLog(file);
    log.info('old');
    renameSync(join(directory, 'logs'), join(directory, 'moved'));
    symlinkSync('/dev/null', join(directory, 'logs'));
    streams.reopen();
    log.info('still old');
    await endOfTurn();

    expect(messagesIn(join(directory, 'moved', 'fallback.log'))).toEqual(['old', 'still old']);
    expect(shown[1]).toMatch(/cannot be opened .* the one that is open stays in use$/);
    streams.close();
  });
});

/** A device whose every write fails as on a full disk. */
const FULL_DISK = '/dev/full';

describe('a file that cannot be written', () => {
  it.runIf(existsSync(FULL_DISK))('is told of once, and stops nothing', async () => {
    const file = join(directory, 'fallback.log');
    symlinkSync(FULL_DISK, file);
    const { log, streams, shown } = openLog(file);
    log.info('first');
    log.info('second');
    await endOfTurn();

    expect(shown.filter((message) => message.includes('cannot be written'))).toHaveLength(1);
    expect(shown).toEqual([expect.stringContaining('ENOSPC'), 'first', 'second']);
    streams.close();
  });

  it.runIf(existsSync(FULL_DISK))('is written again once it can be, and says how many lines were lost', async () => {
    const file = join(directory, 'fallback.log');
    symlinkSync(FULL_DISK, file);
    const { log, streams, shown } = openLog(file);
    log.info('lost');
    log.info('lost too');
    rmSync(file);
    streams.reopen();
    log.info('found');
    await endOfTurn();

    expect(messagesIn(file)).toEqual(['found']);
    expect(shown.at(-2)).toMatch(/is written again; lines lost: 2$/);
    streams.close();
  });

  it('stops no start: lines go to standard output until it can be opened', async () => {
    symlinkSync('/dev/null', join(directory, 'logs'));
    const file = join(directory, 'logs', 'fallback.log');
    const { log, streams, shown } = openLog(file);
    log.info('lost');
    rmSync(join(directory, 'logs'));
    streams.reopen();
    log.info('found');
    await endOfTurn();

    expect(shown[0]).toMatch(/cannot be opened .* lines go to standard output only$/);
    expect(messagesIn(file)).toEqual(['found']);
    expect(shown.at(-2)).toMatch(/is written again; lines lost: 1$/);
    streams.close();
  });
});
