/**
 * What one whole event of a chat stream is: a chunk, an error, the end, nothing, or something that makes no sense and
 * so may have held text. Pure; the state of the stream is the reader's affair (`chat-stream.ts`).
 */
import { isJsonObject, parseJson, readChatChunk } from './chat-chunk.js';
import type { ChunkReading, JsonObject } from './chat-chunk.js';
import { meaningOfFinish } from './finish-reason.js';
import { readSseEvent } from './sse-scanner.js';

export type StreamEvent =
  | { readonly type: 'chunk'; readonly payload: JsonObject; readonly reading: ChunkReading & { readonly ok: true } }
  | { readonly type: 'comment' }
  /** Official clients would try to read its empty data as JSON. */
  | { readonly type: 'blank' }
  | { readonly type: 'done' }
  /** `payload`: its JSON, or its text where it is none. */
  | { readonly type: 'error'; readonly payload: unknown }
  | { readonly type: 'malformed'; readonly why: string };

/** @param isError whether an event's JSON is an error. `event: error` and a finish reason `error` always are. */
export function readStreamEvent(
  bytes: Uint8Array,
  start: number,
  end: number,
  isError: (payload: unknown) => boolean,
): StreamEvent {
  const { name, data, stray } = readSseEvent(bytes, start, end);
  if (name === 'error') return { type: 'error', payload: (data === null ? undefined : parseJson(data)) ?? data };
  if (stray !== null) return readStray(stray, isError);
  if (data === null) return { type: 'comment' };
  if (data === '') return { type: 'blank' };
  return data.trim() === '[DONE]' ? { type: 'done' } : readJson(parseJson(data), isError);
}

/** Whether what stands between two bytes says something by itself: half an event does not. */
export function isWholeEvent(bytes: Uint8Array, start: number, end: number): boolean {
  const { data } = readSseEvent(bytes, start, end);
  return data !== null && (data.trim() === '[DONE]' || parseJson(data) !== undefined);
}

/** The format says that unknown lines are ignored; from a model they are text that lost its frame, or an error. */
function readStray(line: string, isError: (payload: unknown) => boolean): StreamEvent {
  const payload = parseJson(line);
  if (payload !== undefined && isError(payload)) return { type: 'error', payload };
  return { type: 'malformed', why: 'a line is no event field' };
}

function readJson(payload: unknown, isError: (payload: unknown) => boolean): StreamEvent {
  if (payload === undefined) return { type: 'malformed', why: 'an event is no JSON' };
  if (isError(payload)) return { type: 'error', payload };
  const reading = readChatChunk(payload);
  if (!reading.ok) return { type: 'malformed', why: reading.why };
  if (!isJsonObject(payload)) return { type: 'malformed', why: 'an event is no object' };
  const isFailed = reading.choices.some(({ finishReason }) => meaningOfFinish(finishReason) === 'error');
  return isFailed ? { type: 'error', payload } : { type: 'chunk', payload, reading };
}
