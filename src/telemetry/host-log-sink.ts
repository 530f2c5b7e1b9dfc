/**
 * Log lines through Nest's own `Logger`, whichever one the host put behind it: one record per line, fields first.
 */
import { ConsoleLogger, Logger } from '@nestjs/common';
import { inspect, type InspectOptions } from 'node:util';
import type { LogFields, LogSink } from './log-sink.js';

type NestLevel = 'debug' | 'log' | 'warn' | 'error';

export function hostLogSink(logger: Logger = new Logger('Fallback')): LogSink {
  const write = (level: NestLevel, fields: LogFields, message: string) => {
    // Nest's own console logger would print every further argument as a record of its own, an error's as its stack.
    if (logger.localInstance instanceof ConsoleLogger) logger[level](new ConsoleLine(fields, message));
    else logger[level](fields, message);
  };
  return {
    debug: (fields, message) => write('debug', fields, message),
    info: (fields, message) => write('log', fields, message),
    warn: (fields, message) => write('warn', fields, message),
    error: (fields, message) => write('error', fields, message),
  };
}

/**
 * One argument that is right for whoever prints it: as JSON its fields and `msg`; as text the message, then the
 * fields. Buffered at the start and handed to pino later, it is what pino expects too.
 */
class ConsoleLine {
  readonly msg: string;

  constructor(fields: LogFields, message: string) {
    this.msg = message;
    Object.assign(this, fields);
  }

  [inspect.custom](_depth: number, options: InspectOptions): string {
    const { msg, ...fields } = this;
    return `${msg} ${inspect(fields, { ...options, compact: true, breakLength: Infinity })}`;
  }
}
