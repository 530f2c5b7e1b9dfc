/**
 * Reads one choice of a whole chat answer: what a user gets of it, and how it ended. Text may come as a string or in
 * parts; tool calls as OpenAI's, custom ones, or the older `function_call`.
 */
import { meaningOfFinish } from '../stream/finish-reason.js';
import type { FinishMeaning } from '../stream/finish-reason.js';
import { isBrokenCall } from '../stream/tool-call.js';
import type { ToolCall } from '../stream/tool-call.js';
import { isRecord, itemsOf, property, textProperty } from './unknown-value.js';

export interface AnswerChoice {
  /** All text, parts joined. */
  readonly text: string;
  /**
   * Something a user can use: text, a tool call, a refusal, audio, an image. Reasoning alone is none: whoever asked
   * would be shown nothing.
   */
  readonly hasContent: boolean;
  readonly hasBrokenToolCall: boolean;
  /** A tool call, a refusal or a sound is no place for the JSON that was asked for. */
  readonly isExemptFromJson: boolean;
  /** As the upstream wrote it. */
  readonly finishReason: string | null;
  readonly end: FinishMeaning;
  /** With `end: 'error'`: what the choice says of it. */
  readonly error?: unknown;
  /** Of everything that the model wrote, reasoning and arguments too. */
  countBytes(): number;
}

/** @returns undefined where the choice has no message, so that no client could read it. */
export function readChoice(choice: unknown): AnswerChoice | undefined {
  const message = property(choice, 'message');
  if (!isRecord(message)) return undefined;
  const parts = Array.isArray(message['content']) ? message['content'] : [];
  const text = typeof message['content'] === 'string' ? message['content'] : parts.map(textOfPart).join('');
  const calls = toolCallsOf(message);
  const hasRefusal =
    textProperty(message, 'refusal') !== undefined || parts.some((part) => textProperty(part, 'refusal') !== undefined);
  const hasMedia =
    isRecord(message['audio']) || itemsOf(message['images']).length > 0 || parts.some((part) => isMediaPart(part));
  const finishReason = property(choice, 'finish_reason');
  const error = property(choice, 'error');
  const reason = typeof finishReason === 'string' ? finishReason : null;
  return {
    text,
    hasContent: text !== '' || calls.length > 0 || hasRefusal || hasMedia,
    hasBrokenToolCall: calls.some(isBrokenCall),
    isExemptFromJson: calls.length > 0 || hasRefusal || (text === '' && hasMedia),
    finishReason: reason,
    end: isRecord(error) && Object.keys(error).length > 0 ? 'error' : meaningOfFinish(reason),
    ...(isRecord(error) && { error }),
    countBytes: () =>
      Buffer.byteLength(text) + reasoningBytes(message) + calls.reduce((sum, call) => sum + argumentBytes(call), 0),
  };
}

function textOfPart(part: unknown): string {
  if (typeof part === 'string') return part;
  const text = property(part, 'text');
  return typeof text === 'string' && !isThinking(part) ? text : '';
}

function isThinking(part: unknown): boolean {
  const type = property(part, 'type');
  return type === 'thinking' || type === 'reasoning';
}

/** A part that is neither words nor thought: an image, a sound, a file. */
function isMediaPart(part: unknown): boolean {
  const type = textProperty(part, 'type');
  return type !== undefined && type !== 'refusal' && !type.endsWith('text') && !isThinking(part);
}

function toolCallsOf(message: Readonly<Record<string, unknown>>): readonly ToolCall[] {
  const written: readonly unknown[] = Array.isArray(message['tool_calls']) ? message['tool_calls'] : [];
  const older = isRecord(message['function_call']) ? [{ function: message['function_call'] }] : [];
  return [...written, ...older].map((call) => {
    const custom = property(call, 'custom');
    const inner = isRecord(custom) ? custom : property(call, 'function');
    return {
      name: property(inner, 'name'),
      input: property(inner, isRecord(custom) ? 'input' : 'arguments'),
      isCustom: isRecord(custom),
    };
  });
}

function argumentBytes(call: ToolCall): number {
  return typeof call.input === 'string' ? Buffer.byteLength(call.input) : 0;
}

function reasoningBytes(message: Readonly<Record<string, unknown>>): number {
  const reasoning = textProperty(message, 'reasoning_content') ?? textProperty(message, 'reasoning') ?? '';
  return Buffer.byteLength(reasoning);
}
