/**
 * How far the choices of one stream have got: which have finished and how, what kinds of token were among them, and so what
 * the stream's end would mean. Also where a choice is put right before it goes on (`chunk-repair.ts` says why), and what of
 * a chunk stays here until the answer has finished.
 */
import type { Delivered } from '../policy/failure.js';
import { textOf } from './chat-chunk.js';
import type { ChunkChoice, JsonObject, TokenKind } from './chat-chunk.js';
import { ToolCallIndexes } from './chunk-repair.js';
import { meaningOfFinish } from './finish-reason.js';
import type { FinishMeaning } from './finish-reason.js';
import { partHeld } from './held-calls.js';
import type { HeldCalls } from './held-calls.js';

/** What one chunk brought, after the choices that had finished before were taken out of it. */
export interface ChunkEffect {
  readonly hasToken: boolean;
  /** The tokens that go on with it. */
  readonly said: readonly TokenKind[];
  /** The first choice's text. */
  readonly text: string;
  /** The chunk's JSON was changed, so its bytes must be written anew. */
  readonly changed: boolean;
  /** Every choice in it had finished before: nothing is left of it. */
  readonly stale: boolean;
  /** What must be held: all of it, a chunk made of a part of it, or nothing. */
  readonly held: JsonObject | 'all' | null;
}

interface ChoiceState {
  finishReason: string | null;
  callsFunction: boolean;
  callIndexes: ToolCallIndexes | null;
}

export class ChoiceStates {
  /** Bytes of text, reasoning and calls so far. */
  tokenBytes = 0;
  /** More than reasoning has come: text, a call, a refusal. */
  hasAnswered = false;
  #delivered: Delivered = 'nothing';
  readonly #expected: number;
  readonly #calls: HeldCalls | null;
  readonly #states = new Map<number, ChoiceState>();

  /**
   * @param expected how many choices were asked for.
   * @param calls    where tool calls are held; null: they go on as they come.
   */
  constructor(expected: number, calls: HeldCalls | null) {
    this.#expected = expected;
    this.#calls = calls;
  }

  /** By what was told to `noteDelivered`. */
  get delivered(): Delivered {
    return this.#delivered;
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

  hasFinishedBy(meaning: FinishMeaning): boolean {
    for (const { finishReason } of this.#states.values()) if (meaningOfFinish(finishReason) === meaning) return true;
    return false;
  }

  /** Of the choice with the lowest index. */
  get finishReason(): string | null {
    let lowest = Infinity;
    for (const index of this.#states.keys()) lowest = Math.min(lowest, index);
    return this.finishReasonOf(lowest);
  }

  finishReasonOf(choice: number): string | null {
    return this.#states.get(choice)?.finishReason ?? null;
  }

  /** An ordinary chunk that was not parsed, and goes on: so many bytes of each. */
  noteText(contentBytes: number, reasoningBytes: number): void {
    this.tokenBytes += contentBytes + reasoningBytes;
    if (contentBytes > 0) {
      this.hasAnswered = true;
      this.noteDelivered('content');
    } else if (reasoningBytes > 0) this.noteDelivered('reasoning');
  }

  noteDelivered(kind: TokenKind): void {
    if (kind === 'reasoning') {
      if (this.#delivered === 'nothing') this.#delivered = 'reasoning';
    } else if (kind !== 'content') this.#delivered = 'unresumable';
    else if (this.#delivered !== 'unresumable') this.#delivered = 'text';
  }

  /** @param payload the chunk whose choices these are; put right in place. */
  take(payload: JsonObject, choices: readonly ChunkChoice[]): ChunkEffect {
    const live = choices.filter(({ index }) => this.finishReasonOf(index) === null);
    let changed = live.length < choices.length;
    for (const choice of live) {
      this.tokenBytes += choice.tokenBytes;
      if (choice.token !== null && choice.token !== 'reasoning') this.hasAnswered = true;
      if (this.#putRight(choice, this.#stateOf(choice.index))) changed = true;
      if (choice.toolCalls.length > 0) this.#calls?.note(choice.index, choice.toolCalls);
    }
    if (changed) payload['choices'] = live.map(({ json }) => json);
    const held = this.#calls && !this.allFinished ? partHeld(payload, live, this.#calls) : null;
    const first = live.find(({ index }) => index === 0);
    return {
      hasToken: live.some(({ token }) => token !== null),
      said: this.#saidBy(live),
      text: first ? textOf(first.delta) : '',
      changed: changed || (held !== null && held !== 'all'),
      stale: choices.length > 0 && live.length === 0,
      held,
    };
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

  #saidBy(live: readonly ChunkChoice[]): readonly TokenKind[] {
    const kinds = live.map(({ token, besidesCalls }) => (this.#calls ? besidesCalls : token));
    return kinds.filter((kind) => kind !== null);
  }

  #putRight(choice: ChunkChoice, state: ChoiceState): boolean {
    let changed = false;
    if (choice.token === 'tool_call') {
      state.callIndexes ??= new ToolCallIndexes();
      changed = state.callIndexes.fill(choice.toolCalls);
    }
    if (choice.besidesCalls === 'function_call') state.callsFunction = true;
    state.finishReason = choice.finishReason;
    if (choice.finishReason === 'stop' && state.callIndexes) {
      state.finishReason = 'tool_calls';
      choice.json['finish_reason'] = 'tool_calls';
      changed = true;
    }
    return changed;
  }
}
