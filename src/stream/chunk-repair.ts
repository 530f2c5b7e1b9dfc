/**
 * The few chunks that must not reach a caller as they came, since official clients would read them wrongly: tool calls
 * without an index, a finish that hides them, a stream that says it is done without a finish. All other chunks keep their bytes.
 */
import { isJsonObject, isObjectList } from './chat-chunk.js';
import type { JsonObject, ReportedUsage } from './chat-chunk.js';

/** An event as we write it. */
export function encodeEvent(payload: unknown): Uint8Array {
  return Buffer.from(`data: ${JSON.stringify(payload)}\n\n`);
}

/**
 * Gives the tool calls of one choice their indexes where they came without (Gemini): in the order in which their ids are
 * first met; a fragment without an id goes on with the call before it, unless it names a function once more.
 */
export class ToolCallIndexes {
  readonly #indexById = new Map<string, number>();
  #next = 0;
  #last = 0;
  #isLastNamed = false;

  /** @param calls changed in place. @returns whether something was changed. */
  fill(calls: readonly JsonObject[]): boolean {
    let changed = false;
    for (const call of calls) {
      const { id } = call;
      const isNamed = namesFunction(call);
      const index = typeof call['index'] === 'number' ? call['index'] : this.#indexFor(id, isNamed);
      if (call['index'] !== index) {
        call['index'] = index;
        changed = true;
      }
      if (typeof id === 'string' && id !== '') this.#indexById.set(id, index);
      this.#isLastNamed = isNamed || (this.#isLastNamed && this.#last === index);
      this.#last = index;
      this.#next = Math.max(this.#next, index + 1);
    }
    return changed;
  }

  #indexFor(id: unknown, isNamed: boolean): number {
    if (typeof id === 'string' && id !== '') return this.#indexById.get(id) ?? this.#next;
    return isNamed && this.#isLastNamed ? this.#next : this.#last;
  }
}

function namesFunction({ function: named }: JsonObject): boolean {
  return isJsonObject(named) && typeof named['name'] === 'string' && named['name'] !== '';
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
  const choices = [...finishReasons].map(([index, finish_reason]) => ({ index, delta: {}, finish_reason }));
  return encodeEvent({ ...sharedBy(identity), choices });
}

/** For a caller who asked for usage, of an upstream that told none. */
export function usageEvent(identity: StreamIdentity | null, usage: ReportedUsage): Uint8Array {
  return encodeEvent({ ...sharedBy(identity), choices: [], usage: writtenUsage(usage) });
}

/** In OpenAI's words. */
export function writtenUsage({ inputTokens, outputTokens }: ReportedUsage): JsonObject {
  return { prompt_tokens: inputTokens, completion_tokens: outputTokens, total_tokens: inputTokens + outputTokens };
}

function sharedBy(identity: StreamIdentity | null): JsonObject {
  const { id = '', created = 0, model = '' } = identity ?? {};
  return { id, object: 'chat.completion.chunk', created, model };
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
