/**
 * Where the gateway's log lines go: a file and standard output. Each line is in the file before the call returns, so that
 * it is complete even after SIGKILL. (Asynchronous destinations and worker transports lose what they still hold.)
 * Standard output beside it gets the lines of one turn of the event loop in one write: waking whoever reads the pipe for
 * every line was a tenth of all CPU of a request. Without a file, it gets each line at once.
 *
 * A disk that is full or a file that cannot be opened stops neither a request nor the process: it is said once on
 * standard output, lines are kept as long as a small buffer allows, and the file goes on when it can be written again.
 * Rotation is the operator's: by copy and truncate, or by renaming and `reopen()`.
 */
import pino, { type DestinationStream, type Logger } from 'pino';

export interface LogStreams {
  /** For pino; takes every line, of whatever level: filtering is the logger's affair. */
  readonly stream: DestinationStream;
  /** Opens the file anew under its name; where that fails, the one that is open stays in use. */
  reopen(): void;
  /** Lets go of the file; later lines go to standard output alone. Harmless twice. */
  close(): void;
}

export interface LogDestinations {
  /** Its directories are made. Undefined: standard output only. */
  readonly file?: string | undefined;
  /** Default: file descriptor 1. */
  readonly stdout?: DestinationStream;
}

type FileDestination = ReturnType<typeof pino.destination>;

/** Some thousand lines, for a disk that is full for a moment. */
const MAX_UNWRITTEN_BYTES = 1_048_576;

export function openLogStreams({ file, stdout = openStdout() }: LogDestinations): LogStreams {
  if (file === undefined) return { stream: stdout, reopen: () => {}, close: () => {} };
  const turns = new TurnByTurn(stdout);
  // Not by way of the streams below: what cannot be written to the file must not be told to the file.
  const logFile = new LogFile(file, pino({ base: null }, turns));
  return {
    stream: {
      write(line) {
        logFile.write(line);
        turns.write(line);
      },
    },
    reopen: () => logFile.open(),
    close: () => logFile.close(),
  };
}

/** Passes on all lines of one turn of the event loop at its end, and what is left when the process exits. */
class TurnByTurn implements DestinationStream {
  readonly #to: DestinationStream;
  #lines = '';

  constructor(to: DestinationStream) {
    this.#to = to;
    process.once('exit', () => this.#pass());
  }

  write(line: string): void {
    if (this.#lines === '') setImmediate(() => this.#pass());
    this.#lines += line;
  }

  #pass(): void {
    if (this.#lines === '') return;
    const lines = this.#lines;
    this.#lines = '';
    this.#to.write(lines);
  }
}

class LogFile {
  readonly #path: string;
  readonly #announce: Logger;
  #destination: FileDestination | undefined;
  #isBroken = false;
  /** Since it broke: what the buffer still holds, and what nobody has any more. */
  #heldLines = 0;
  #lostLines = 0;

  constructor(path: string, announce: Logger) {
    this.#path = path;
    this.#announce = announce;
    this.open();
  }

  write(line: string): void {
    if (this.#isBroken) this.#heldLines++;
    this.#destination?.write(line);
  }

  open(): void {
    const before = this.#destination;
    try {
      this.#destination = this.#openDestination();
    } catch (error) {
      const then = before ? 'the one that is open stays in use' : 'lines go to standard output only';
      this.#announce.error(`Log file ${this.#path} cannot be opened (${reasonOf(error)}): ${then}`);
      this.#isBroken ||= !before;
      return;
    }
    if (this.#isBroken) this.#lose(this.#heldLines);
    before?.destroy();
  }

  close(): void {
    this.#destination?.destroy();
    this.#destination = undefined;
  }

  /** @throws where the file cannot be opened. */
  #openDestination(): FileDestination {
    const options = { dest: this.#path, mkdir: true, sync: true, maxLength: MAX_UNWRITTEN_BYTES };
    const destination = pino.destination(options);
    const recover = () => {
      if (destination === this.#destination) this.#recovered();
    };
    destination.on('drop', () => this.#lose(1));
    destination.on('error', (error: Error) => {
      if (this.#isBroken || destination !== this.#destination) return;
      this.#broke(error);
      destination.once('write', recover);
    });
    if (this.#isBroken) destination.once('write', recover);
    return destination;
  }

  #broke(error: Error): void {
    this.#isBroken = true;
    // The one that could not be written.
    this.#heldLines = 1;
    this.#announce.error(
      `Log file ${this.#path} cannot be written (${reasonOf(error)}): lines go to standard output only`,
    );
  }

  #lose(lines: number): void {
    this.#heldLines -= lines;
    this.#lostLines += lines;
  }

  #recovered(): void {
    this.#announce.info(`Log file ${this.#path} is written again; lines lost: ${this.#lostLines}`);
    this.#isBroken = false;
    this.#heldLines = 0;
    this.#lostLines = 0;
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : 'unknown';
}

/** A closed pipe or a full disk behind standard output is nothing that this process could tell anybody. */
function openStdout(): DestinationStream {
  const stdout = pino.destination({ dest: 1, sync: true, maxLength: MAX_UNWRITTEN_BYTES });
  stdout.on('error', () => {});
  return stdout;
}
