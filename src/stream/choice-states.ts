/**
 * How far the choices of one stream have got: which have finished and how, what kinds of token were among them, and so what
 * the stream's end would mean. Also where a choice is put right before it goes on (`chunk-repair.ts` says why).
 */
import type { ChunkChoice, JsonObject, TokenKind } from './chat-chunk.js';
import { ToolCallIndexes } from './chunk-repair.js';

/** What a caller may have seen of a stream. `unresumable`: something that no other model can go on from. */
export type SpokenSoFar = 'nothing' | 'reasoning' | 'text' | 'unresumable';

/** What one chunk brought, after the choices that had finished before were taken out of it. */
export interface ChunkEffect {
  readonly hasToken: boolean;
  /** The chunk's JSON was changed, so its bytes must be written anew. */
  readonly changed: boolean;
  /** Every choice in it had finished before: nothing is left of it. */
  readonly stale: boolean;
}

interface ChoiceState {
  finishReason: string | null;
  callsFunction: boolean;
  callIndexes: ToolCallIndexes | null;
}

export class ChoiceStates {
  /** Bytes of text, reasoning and calls so far. */
  tokenBytes = 0;
  #spoken: SpokenSoFar = 'nothing';
  readonly #expected: number;
  readonly #states = new Map<number, ChoiceState>();

  /** @param expected how many choices were asked for. */
  constructor(expected: number) {
    this.#expected = expected;
  }

  get spoken(): SpokenSoFar {
    return this.#spoken;
  }

  /** More than reasoning has come: text, a call, a refusal. */
  get hasAnswered(): boolean {
    return this.#spoken === 'text' || this.#spoken === 'unresumable';
  }

  get allFinished(): boolean {
    return this.#states.size >= this.#expected && this.allSeenFinished;
  }

  /** Upstreams that know no `n` answer with one choice, whatever was asked for. */
  get allSeenFinished(): boolean {
    if (this.#states.size === 0) return false;
    for (const { finishReason } of this.#states.values()) if (finishReason === null) return false;
    return true;
  }

  get finishReasons(): readonly (string | null)[] {
    return [...this.#states.values()].map(({ finishReason }) => finishReason);
  }

  /** Of the choice with the lowest index. */
  get finishReason(): string | null {
    let lowest = Infinity;
    for (const index of this.#states.keys()) lowest = Math.min(lowest, index);
    return this.#states.get(lowest)?.finishReason ?? null;
  }

  /** An ordinary chunk that was not parsed: so many bytes of each. */
  noteText(contentBytes: number, reasoningBytes: number): void {
    this.tokenBytes += contentBytes + reasoningBytes;
    if (contentBytes > 0) this.#speak('content');
    else if (reasoningBytes > 0) this.#speak('reasoning');
  }

  /** @param payload the chunk whose choices these are; put right in place. */
  take(payload: JsonObject, choices: readonly ChunkChoice[]): ChunkEffect {
    const live = choices.filter(({ index }) => (this.#states.get(index)?.finishReason ?? null) === null);
    let changed = live.length < choices.length;
    let hasToken = false;
    for (const choice of live) {
      const state = this.#stateOf(choice.index);
      this.tokenBytes += choice.tokenBytes;
      if (choice.token !== null) {
        hasToken = true;
        this.#speak(choice.token);
      }
      if (this.#putRight(choice, state)) changed = true;
    }
    if (changed) payload['choices'] = live.map(({ json }) => json);
    return { hasToken, changed, stale: choices.length > 0 && live.length === 0 };
  }

  /** The stream said that it is done: what has not finished has now. @returns the reasons that were missing, by index. */
  finishRest(): ReadonlyMap<number, string> {
    const missing = new Map<number, string>();
    for (const [index, state] of this.#states) {
      if (state.finishReason !== null) continue;
      state.finishReason = state.callIndexes ? 'tool_calls' : state.callsFunction ? 'function_call' : 'stop';
      missing.set(index, state.finishReason);
    }
    return missing;
  }

  #stateOf(index: number): ChoiceState {
    let state = this.#states.get(index);
    if (!state) {
      state = { finishReason: null, callsFunction: false, callIndexes: null };
      this.#states.set(index, state);
    }
    return state;
  }

  #putRight(choice: ChunkChoice, state: ChoiceState): boolean {
    let changed = false;
    if (choice.token === 'tool_call') {
      state.callIndexes ??= new ToolCallIndexes();
      changed = state.callIndexes.fill(choice.toolCalls);
    } else if (choice.token === 'function_call') state.callsFunction = true;
    state.finishReason = choice.finishReason;
    if (choice.finishReason === 'stop' && state.callIndexes) {
      state.finishReason = 'tool_calls';
      choice.json['finish_reason'] = 'tool_calls';
      changed = true;
    }
    return changed;
  }

  #speak(kind: TokenKind): void {
    if (kind === 'reasoning') {
      if (this.#spoken === 'nothing') this.#spoken = 'reasoning';
    } else if (kind !== 'content') this.#spoken = 'unresumable';
    else if (this.#spoken !== 'unresumable') this.#spoken = 'text';
  }
}
