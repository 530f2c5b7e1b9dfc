/**
 * The JSON object of a request: as bytes (what goes upstream) and parsed (what we decide by), each made once.
 *
 * A host's own body parser has usually run; where it has not, we read the body ourselves.
 */
import type { IncomingMessage } from 'node:http';
import type { Exchange } from './exchange.js';
import { BadRequestError, quoted } from './http-error.js';

export interface JsonObjectBody {
  /** Absent where a host's parser has kept none. */
  readonly bytes?: Buffer;
  readonly json: Readonly<Record<string, unknown>>;
}

export const MAX_BODY_BYTES = 20 * 1024 * 1024;

/** @throws BadRequestError 400, 413 or 415. */
export async function readJsonObject(exchange: Exchange): Promise<JsonObjectBody> {
  const type = exchange.headers['content-type'] ?? '';
  if (!/^application\/json\s*(;|$)/i.test(type)) {
    const got = type === '' ? 'none' : quoted(type);
    throw new BadRequestError(`content-type: ${got}: expected application/json.`, null, {
      status: 415,
      code: 'unsupported_media_type',
    });
  }
  const { body, rawBody } = exchange.host;
  const kept = [rawBody, body].map(bytesOf).find((bytes) => bytes !== undefined);
  if (isObject(body)) return kept ? { bytes: kept, json: body } : { json: body };
  if (body !== undefined && !kept) throw notAnObject();
  const bytes = kept ?? (await readAll(exchange.request));
  const json = parse(bytes);
  if (!isObject(json)) throw notAnObject();
  return { bytes, json };
}

/** Of a host's parser that leaves bytes or text. */
function bytesOf(body: unknown): Buffer | undefined {
  return typeof body === 'string' ? Buffer.from(body) : Buffer.isBuffer(body) ? body : undefined;
}

function parse(bytes: Buffer): unknown {
  if (bytes.length === 0) throw new BadRequestError('The body is empty: expected a JSON object.', null);
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    // V8 quotes a piece of the text in its message: a prompt has no business in an error.
    const at = error instanceof Error ? /position (\d+)/.exec(error.message)?.[1] : undefined;
    const where = at === undefined ? '' : ` (at byte ${at} or near)`;
    throw new BadRequestError(`The body is not JSON${where}.`, null, { code: 'invalid_json' });
  }
}

function notAnObject(): BadRequestError {
  return new BadRequestError('The body must be a JSON object.', null);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !Buffer.isBuffer(value);
}

async function readAll(request: IncomingMessage): Promise<Buffer> {
  if (request.readableEnded) return Buffer.alloc(0);
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of request) {
    length += (piece as Buffer).length;
    if (length > MAX_BODY_BYTES) {
      throw new BadRequestError(`The body is larger than ${MAX_BODY_BYTES} bytes.`, null, {
        status: 413,
        code: 'request_too_large',
      });
    }
    pieces.push(piece as Buffer);
  }
  return Buffer.concat(pieces);
}
