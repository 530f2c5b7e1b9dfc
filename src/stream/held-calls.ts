/**
 * The tool calls of one stream, held back until its answer has finished: half an argument is of no use to anyone, and
 * what has not been delivered can still come whole from another model.
 *
 * Keeps the events as they came, to be delivered as they are, and what their fragments come to, to be checked.
 */
import { isJsonObject } from './chat-chunk.js';
import type { ChunkChoice, JsonObject } from './chat-chunk.js';
import { meaningOfFinish } from './finish-reason.js';
import { GrowingBytes } from './growing-bytes.js';
import { isBrokenCall } from './tool-call.js';

/** Most that is held, as it came: a hundred thousand fragments of a few bytes each; whole files fit in. */
export const MAX_HELD_CALL_BYTES = 4 * 1024 * 1024;

interface CallSoFar {
  name: string;
  /** Text as it is added up; anything else as it came. */
  input: unknown;
}

export class HeldCalls {
  /** By the index of the choice, then by that of the call. */
  readonly #calls = new Map<number, Map<number, CallSoFar>>();
  #events = new GrowingBytes();

  isHolding(choice: number): boolean {
    return this.#calls.has(choice);
  }

  /** @param calls fragments, each with its index. */
  note(choice: number, calls: readonly JsonObject[]): void {
    let known = this.#calls.get(choice);
    if (!known) this.#calls.set(choice, (known = new Map<number, CallSoFar>()));
    for (const call of calls) {
      const index = Number(call['index']);
      let soFar = known.get(index);
      if (!soFar) known.set(index, (soFar = { name: '', input: '' }));
      addFragment(soFar, call);
    }
  }

  /** @returns false where that is more than is held. */
  keep(event: Uint8Array): boolean {
    if (this.#events.length + event.length > MAX_HELD_CALL_BYTES) return false;
    this.#events.append(event);
    return true;
  }

  /** @param finishReasonOf of a choice: one that ran into the limit is known to be cut, and says so. */
  hasBroken(finishReasonOf: (choice: number) => string | null): boolean {
    for (const [choice, calls] of this.#calls) {
      if (meaningOfFinish(finishReasonOf(choice)) === 'length') continue;
      for (const call of calls.values()) if (isBrokenCall({ ...call, isCustom: false })) return true;
    }
    return false;
  }

  /** @returns the events, in the order in which they were kept; from now on they are held no more. */
  release(): Uint8Array {
    const events = this.#events.view();
    this.#events = new GrowingBytes();
    this.#calls.clear();
    return events;
  }
}

function addFragment(soFar: CallSoFar, call: JsonObject): void {
  const { function: named, custom } = call;
  const inner = isJsonObject(custom) ? custom : named;
  if (!isJsonObject(inner)) return;
  if (typeof inner['name'] === 'string') soFar.name ||= inner['name'];
  // A custom tool's input may be any text: there is nothing to check.
  const piece = inner['arguments'] ?? '';
  soFar.input = typeof soFar.input === 'string' && typeof piece === 'string' ? soFar.input + piece : piece;
}

/**
 * Parts a chunk that is no finish of the whole answer: its calls, and the finish of a choice whose calls are held, stay
 * here; all else goes on.
 * @param payload its choices become those that go on.
 * @returns what stays: `all` of it, a chunk of its own, or null where nothing does.
 */
export function partHeld(
  payload: JsonObject,
  choices: readonly ChunkChoice[],
  calls: HeldCalls,
): JsonObject | 'all' | null {
  const goes: JsonObject[] = [];
  const stays: JsonObject[] = [];
  for (const choice of choices) {
    const { json, delta, toolCalls, besidesCalls } = choice;
    const staysWith = calls.isHolding(choice.index) && (toolCalls.length > 0 || choice.finishReason !== null);
    if (!staysWith) goes.push(json);
    else if (besidesCalls === null) stays.push(json);
    else {
      const { tool_calls, ...rest } = delta;
      goes.push({ ...json, delta: rest, finish_reason: null });
      stays.push({ ...json, delta: tool_calls === undefined ? {} : { tool_calls } });
    }
  }
  if (stays.length === 0) return null;
  if (goes.length === 0) return 'all';
  payload['choices'] = goes;
  const { usage: _, obfuscation: __, ...shared } = payload;
  return { ...shared, choices: stays };
}
