import 'reflect-metadata';
import { ConsoleLogger, Logger, type LoggerService } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { LoggerModule, Logger as PinoLoggerService } from 'nestjs-pino';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { hostLogSink } from './host-log-sink.js';

const FIELDS = { response_time: 143, model: 'gpt-4' };

afterEach(() => {
  Logger.overrideLogger(new ConsoleLogger());
  vi.restoreAllMocks();
});

/** What a console logger prints, without colours. */
function printedBy(logger: ConsoleLogger): string[] {
  const printed: string[] = [];
  const take = (text: unknown) => printed.push(String(text)) > 0;
  vi.spyOn(process.stdout, 'write').mockImplementation(take);
  vi.spyOn(process.stderr, 'write').mockImplementation(take);
  Logger.overrideLogger(logger);
  return printed;
}

describe("lines through Nest's own console logger", () => {
  it('are one record each, message first and fields after it, whatever their level', () => {
    const printed = printedBy(new ConsoleLogger({ colors: false }));
    const sink = hostLogSink();
    sink.warn(FIELDS, 'Switching to model: gpt-3.5-turbo');
    sink.error(FIELDS, 'Request gave up');

    expect(printed).toHaveLength(2);
    expect(printed[0]).toContain(
      "WARN [Fallback] Switching to model: gpt-3.5-turbo { response_time: 143, model: 'gpt-4' }\n",
    );
    expect(printed[1]).toContain("ERROR [Fallback] Request gave up { response_time: 143, model: 'gpt-4' }\n");
  });

  it('are one object each where it writes JSON', () => {
    const printed = printedBy(new ConsoleLogger({ json: true, colors: false }));
    hostLogSink().error(FIELDS, 'Request gave up');

    expect(printed).toHaveLength(1);
    expect(JSON.parse(printed[0] ?? '')).toMatchObject({
      level: 'error',
      context: 'Fallback',
      message: { msg: 'Request gave up', ...FIELDS },
    });
  });
});

describe('lines through nestjs-pino', () => {
  it('keep their fields as fields, those too that were buffered before it was in place', async () => {
    const written: string[] = [];
    const stream = { write: (line: string) => void written.push(line) };
    const logger = LoggerModule.forRoot({ pinoHttp: [{ level: 'trace' }, stream] });
    const app = await NestFactory.createApplicationContext(logger, { bufferLogs: true });
    const sink = hostLogSink();
    sink.warn(FIELDS, 'at the start');
    app.useLogger(app.get(PinoLoggerService));
    app.flushLogs();
    sink.debug(FIELDS, 'Successfully used gpt-4');
    await app.close();

    const lines = written.map((line): unknown => JSON.parse(line));
    expect(lines).toContainEqual(
      expect.objectContaining({ level: 40, context: 'Fallback', msg: 'at the start', ...FIELDS }),
    );
    expect(lines.at(-1)).toMatchObject({
      level: 20,
      context: 'Fallback',
      msg: 'Successfully used gpt-4',
      ...FIELDS,
    });
  });
});

describe("lines through a logger of the host's own", () => {
  it('come as fields, message, context', () => {
    const calls: unknown[][] = [];
    const take = (...given: unknown[]) => void calls.push(given);
    const own: LoggerService = { log: take, warn: take, error: take, debug: take };
    Logger.overrideLogger(own);
    hostLogSink().info(FIELDS, 'Request cancelled by its caller');

    expect(calls).toEqual([[FIELDS, 'Request cancelled by its caller', 'Fallback']]);
  });

  it('go nowhere, and throw nothing, where the host switched logging off', () => {
    Logger.overrideLogger(false);

    expect(() => hostLogSink().error(FIELDS, 'Request gave up')).not.toThrow();
  });
});
