/**
 * The few chunks that must not reach a caller as they came, since official clients would read them wrongly: tool calls
 * without an index, a finish that hides them, a stream that says it is done without a finish. All other chunks keep their bytes.
 */
import { isJsonObject, isObjectList } from './chat-chunk.js';
import type { JsonObject } from './chat-chunk.js';

/** An event as we write it. */
export function encodeEvent(payload: unknown): Uint8Array {
  return Buffer.from(`data: ${JSON.stringify(payload)}\n\n`);
}

/**
 * Gives the tool calls of one choice their indexes where they came without (Gemini): in the order in which their ids are
 * first met; a fragment without an id goes on with the call before it.
 */
export class ToolCallIndexes {
  readonly #indexById = new Map<string, number>();
  #next = 0;
  #last = 0;

  /** @param calls changed in place. @returns whether something was changed. */
  fill(calls: readonly JsonObject[]): boolean {
    let changed = false;
    for (const call of calls) {
      const { id, index } = call;
      if (typeof index === 'number') {
        this.#note(index, id);
        continue;
      }
      const known = typeof id === 'string' && id !== '' ? this.#indexById.get(id) : this.#last;
      call['index'] = known ?? this.#next;
      this.#note(known ?? this.#next, id);
      changed = true;
    }
    return changed;
  }

  #note(index: number, id: unknown): void {
    if (typeof id === 'string' && id !== '') this.#indexById.set(id, index);
    this.#last = index;
    this.#next = Math.max(this.#next, index + 1);
  }
}

/** What a stream's chunks have in common, kept to write one of our own among them. */
export interface StreamIdentity {
  readonly id: unknown;
  readonly created: unknown;
  readonly model: unknown;
}

/** @returns null where the chunk does not tell (Azure's first one has an empty id). */
export function identityOf(payload: JsonObject): StreamIdentity | null {
  const { id, created, model } = payload;
  return typeof id === 'string' && id !== '' ? { id, created, model } : null;
}

/** @param finishReasons by choice index. */
export function finishEvent(identity: StreamIdentity | null, finishReasons: ReadonlyMap<number, string>): Uint8Array {
  return encodeEvent({
    id: identity?.id ?? '',
    object: 'chat.completion.chunk',
    created: identity?.created ?? 0,
    model: identity?.model ?? '',
    choices: [...finishReasons].map(([index, finish_reason]) => ({ index, delta: {}, finish_reason })),
  });
}

/**
 * A whole answer as the stream that was asked for: one chunk with the message, one with the finish, and the usage.
 * @param answer   a chat completion, already checked.
 * @param withUsage whether the caller wants a usage chunk.
 */
export function answerAsStream(answer: JsonObject, withUsage: boolean): Uint8Array {
  const { choices, usage, ...rest } = answer;
  const shared = { ...rest, object: 'chat.completion.chunk' };
  const list = isObjectList(choices) ? choices : [];
  const events = [
    { ...shared, choices: list.map(asFirstChunk) },
    { ...shared, choices: list.map(asFinish) },
    ...(withUsage && usage ? [{ ...shared, choices: [], usage }] : []),
  ];
  return Buffer.concat(events.map(encodeEvent));
}

function asFirstChunk(choice: JsonObject, position: number): JsonObject {
  const { message, finish_reason: _finish, ...rest } = choice;
  const delta = isJsonObject(message) ? { ...message } : {};
  const calls = delta['tool_calls'];
  if (isObjectList(calls)) delta['tool_calls'] = calls.map((call, index) => ({ index, ...call }));
  return { index: position, ...rest, delta, finish_reason: null };
}

function asFinish(choice: JsonObject, position: number): JsonObject {
  return { index: choice['index'] ?? position, delta: {}, finish_reason: choice['finish_reason'] ?? 'stop' };
}
