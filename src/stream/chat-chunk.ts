/**
 * What one chunk of a chat stream says, once it was parsed: tokens, ends, usage. And whether it makes sense at all: a
 * chunk that does not may have held text.
 *
 * Providers differ here more than anywhere else; each leniency names who needs it. Pure.
 */

/** The kinds of token, in the order in which one delta that carries several is named. */
export type TokenKind = 'tool_call' | 'function_call' | 'audio' | 'image' | 'refusal' | 'content' | 'reasoning';

/** What a provider says that an answer cost. */
export interface ReportedUsage {
  readonly inputTokens: number;
  readonly outputTokens: number;
}

/** More is no count of tokens but a fault, and would spoil every sum it goes into. */
const MOST_TOKENS = 100_000_000;

export type JsonObject = Record<string, unknown>;

export interface ChunkChoice {
  /** The choice itself, for whoever must change it. */
  readonly json: JsonObject;
  readonly delta: JsonObject;
  readonly index: number;
  readonly token: TokenKind | null;
  /** The same but for its tool calls. */
  readonly besidesCalls: TokenKind | null;
  readonly toolCalls: readonly JsonObject[];
  /** UTF-8 bytes of its text, reasoning, refusal and arguments. */
  readonly tokenBytes: number;
  readonly finishReason: string | null;
}

export type ChunkReading =
  | { readonly ok: true; readonly choices: readonly ChunkChoice[]; readonly usage: ReportedUsage | null }
  | { readonly ok: false; readonly why: string };

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** @returns undefined where it is no JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** @returns what a caller adds to the text so far; of a list of parts, theirs. */
export function textOf({ content }: JsonObject): string {
  if (typeof content === 'string') return content;
  return Array.isArray(content) ? content.map(textOfPart).join('') : '';
}

function textOfPart(part: unknown): string {
  if (typeof part === 'string') return part;
  return isJsonObject(part) && !isThought(part) && typeof part['text'] === 'string' ? part['text'] : '';
}

/** @param payload an event's JSON that is no error. A chunk without `choices` (a ping, usage alone) says nothing more. */
export function readChatChunk(payload: unknown): ChunkReading {
  if (!isJsonObject(payload)) return { ok: false, why: 'an event is no JSON object' };
  const usage = readUsage(payload['usage']);
  const choices = payload['choices'] ?? [];
  if (!Array.isArray(choices)) return { ok: false, why: 'choices is no list' };
  const read: ChunkChoice[] = [];
  for (const choice of choices as readonly unknown[]) {
    const reading = readChoice(choice, read.length);
    if (typeof reading === 'string') return { ok: false, why: reading };
    read.push(reading);
  }
  return { ok: true, choices: read, usage };
}

/** @returns null where it is absent, says less than both counts, or says what cannot be. */
export function readUsage(usage: unknown): ReportedUsage | null {
  if (!isJsonObject(usage)) return null;
  const inputTokens = usage['prompt_tokens'] ?? usage['input_tokens'];
  const outputTokens = usage['completion_tokens'] ?? usage['output_tokens'];
  return isCount(inputTokens) && isCount(outputTokens) ? { inputTokens, outputTokens } : null;
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= MOST_TOKENS;
}

function readChoice(choice: unknown, position: number): ChunkChoice | string {
  if (!isJsonObject(choice)) return 'a choice is no object';
  const delta = choice['delta'] ?? {};
  if (!isJsonObject(delta)) return 'a delta is no object';
  const { finish_reason: finishReason, index } = choice;
  // Some send an empty string where OpenAI sends null.
  if (typeof finishReason !== 'string' && finishReason !== null && finishReason !== undefined) {
    return 'a finish_reason is no text';
  }
  for (const key of ['content', 'refusal', 'reasoning_content'] as const) {
    if (!isTextual(delta[key])) return `${key} is no text`;
  }
  const toolCalls = delta['tool_calls'] ?? [];
  if (!isObjectList(toolCalls)) return 'tool_calls is no list of objects';
  const besidesCalls = tokenBesidesCalls(delta);
  return {
    json: choice,
    delta,
    index: typeof index === 'number' ? index : position,
    token: toolCalls.length > 0 ? 'tool_call' : besidesCalls,
    besidesCalls,
    toolCalls,
    tokenBytes: bytesOf(delta) + argumentBytes(toolCalls),
    finishReason: finishReason || null,
  };
}

/** A list of parts counts as text: Mistral's reasoning models send one. */
function isTextual(value: unknown): boolean {
  return value === undefined || value === null || typeof value === 'string' || Array.isArray(value);
}

export function isObjectList(value: unknown): value is JsonObject[] {
  return Array.isArray(value) && value.every(isJsonObject);
}

function tokenBesidesCalls(delta: JsonObject): TokenKind | null {
  if (isFilled(delta['function_call'])) return 'function_call';
  if (isFilled(delta['audio'])) return 'audio';
  if (isFilled(delta['images'])) return 'image';
  if (isFilled(delta['refusal'])) return 'refusal';
  const { content } = delta;
  if (isFilled(content)) return Array.isArray(content) ? tokenOfParts(content) : 'content';
  const reasons = ['reasoning_content', 'reasoning', 'reasoning_details'].some((key) => isFilled(delta[key]));
  return reasons ? 'reasoning' : null;
}

function isFilled(value: unknown): boolean {
  if (typeof value === 'string' || Array.isArray(value)) return value.length > 0;
  return isJsonObject(value) && Object.keys(value).length > 0;
}

/** A part that is neither words nor thought is something to look at: no text says what it was. */
function tokenOfParts(parts: readonly unknown[]): TokenKind {
  if (parts.every(isThought)) return 'reasoning';
  return parts.every((part) => isThought(part) || typeof part === 'string' || isText(part)) ? 'content' : 'image';
}

function isThought(part: unknown): boolean {
  return isJsonObject(part) && part['type'] === 'thinking';
}

function isText(part: unknown): boolean {
  return isJsonObject(part) && typeof part['text'] === 'string';
}

/** What a tokenizer would have made: texts and names. `reasoning_details` repeat what `reasoning` says. */
function bytesOf(delta: JsonObject): number {
  let bytes = 0;
  for (const [key, value] of Object.entries(delta)) {
    if (typeof value === 'string' && key !== 'role') bytes += Buffer.byteLength(value);
    else if (key === 'function_call') bytes += argumentBytes([{ function: value }]);
  }
  return bytes;
}

function argumentBytes(calls: readonly JsonObject[]): number {
  let bytes = 0;
  for (const call of calls) {
    const { function: named } = call;
    if (!isJsonObject(named)) continue;
    for (const key of ['name', 'arguments'] as const) {
      const value = named[key];
      if (typeof value === 'string') bytes += Buffer.byteLength(value);
    }
  }
  return bytes;
}
