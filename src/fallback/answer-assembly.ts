/**
 * Puts a streamed answer together again: the chunks become the completion that would have come unstreamed.
 * Unknown fields of a delta are kept; texts are joined, tool calls by their index.
 */
import type OpenAI from 'openai';

type Chunk = OpenAI.ChatCompletionChunk;
type Fields = Record<string, unknown>;

interface Choice {
  finish: string | null;
  readonly message: Fields;
  readonly toolCalls: Map<number, Fields>;
}

export class AnswerAssembly {
  readonly #choices = new Map<number, Choice>();
  #head: { id: string; created: number; model: string } | undefined;
  #usage: OpenAI.CompletionUsage | undefined;

  add(chunk: Chunk): void {
    this.#head ??= { id: chunk.id, created: chunk.created, model: chunk.model };
    if (chunk.usage) this.#usage = chunk.usage;
    for (const { index, delta, finish_reason } of chunk.choices ?? []) {
      const choice = this.#choice(index ?? 0);
      if (finish_reason) choice.finish = finish_reason;
      const { tool_calls: calls, role: _, ...fields } = delta ?? {};
      merge(choice.message, fields);
      for (const call of calls ?? []) {
        const { index: at, ...part } = call;
        const known = choice.toolCalls.get(at);
        if (known) merge(known, part);
        else choice.toolCalls.set(at, structuredClone<Fields>(part));
      }
    }
  }

  completion(): OpenAI.ChatCompletion {
    const choices = [...this.#choices]
      .toSorted(([a], [b]) => a - b)
      .map(([index, choice]) => {
        const calls = [...choice.toolCalls].toSorted(([a], [b]) => a - b).map(([, call]) => call);
        const message = { role: 'assistant', content: null, refusal: null, ...choice.message };
        return {
          index,
          finish_reason: choice.finish ?? 'stop',
          logprobs: null,
          message: calls.length > 0 ? { ...message, tool_calls: calls } : message,
        };
      });
    const whole = {
      id: '',
      created: 0,
      model: '',
      ...this.#head,
      object: 'chat.completion',
      choices,
      ...(this.#usage && { usage: this.#usage }),
    };
    return whole as OpenAI.ChatCompletion;
  }

  #choice(index: number): Choice {
    let choice = this.#choices.get(index);
    if (!choice) this.#choices.set(index, (choice = { finish: null, message: {}, toolCalls: new Map() }));
    return choice;
  }
}

/** Words that come once, or whole each time; every other text comes in pieces. */
const WHOLE = new Set(['id', 'type', 'role']);

function merge(into: Fields, part: Fields): void {
  for (const [key, value] of Object.entries(part)) {
    const before = into[key];
    if (value === null || value === undefined) into[key] ??= value;
    else if (typeof before === 'string' && typeof value === 'string')
      into[key] = WHOLE.has(key) ? value : before + value;
    else if (Array.isArray(before) && Array.isArray(value)) into[key] = [...before, ...value];
    else if (isFields(before) && isFields(value)) merge(before, value);
    else into[key] = structuredClone(value);
  }
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
