/**
 * Undoes a content-encoding that an upstream used although it was asked for none. Each piece comes out as soon as it can:
 * a stream's tokens do not wait for its end.
 */
import type { Readable, Transform, Writable } from 'node:stream';
import { constants, createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from 'node:zlib';

export interface BodyDecoder {
  readonly input: Writable;
  readonly output: Readable;
}

/** A body that was cut ends where it was cut; its reader finds out, as with one that was not encoded. */
const DEFLATE = { flush: constants.Z_SYNC_FLUSH, finishFlush: constants.Z_SYNC_FLUSH };
const BROTLI = { flush: constants.BROTLI_OPERATION_FLUSH, finishFlush: constants.BROTLI_OPERATION_FLUSH };
const ZSTD = { flush: constants.ZSTD_e_flush, finishFlush: constants.ZSTD_e_flush };

const DECODERS = new Map<string, () => Transform>([
  ['gzip', () => createGunzip(DEFLATE)],
  ['x-gzip', () => createGunzip(DEFLATE)],
  ['deflate', () => createInflate(DEFLATE)],
  ['br', () => createBrotliDecompress(BROTLI)],
  ['zstd', () => createZstdDecompress(ZSTD)],
]);

/**
 * @param contentEncoding the header as it came; several encodings stand in the order in which they were applied.
 * @returns undefined where nothing is encoded; null where an encoding is unknown.
 */
export function createBodyDecoder(contentEncoding: string | undefined): BodyDecoder | undefined | null {
  const encodings = (contentEncoding ?? '')
    .split(',')
    .map((encoding) => encoding.trim().toLowerCase())
    .filter((encoding) => encoding !== '' && encoding !== 'identity');
  if (encodings.length === 0) return undefined;
  const decoders: Transform[] = [];
  for (const encoding of encodings.toReversed()) {
    const create = DECODERS.get(encoding);
    if (!create) return null;
    decoders.push(create());
  }
  return chain(decoders);
}

function chain(decoders: readonly Transform[]): BodyDecoder | null {
  const [first] = decoders;
  const last = decoders.at(-1);
  if (!first || !last) return null;
  decoders.reduce((inner, outer) => {
    inner.on('error', (error) => outer.destroy(error));
    return inner.pipe(outer);
  });
  return { input: first, output: last };
}
