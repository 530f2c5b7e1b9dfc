/**
 * One tool call that a model made, whole: of use to a caller or not. The same rule for answers and for streams.
 */
import { parseJson } from './chat-chunk.js';

export interface ToolCall {
  readonly name: unknown;
  /** The arguments as they came; a custom tool's text. */
  readonly input: unknown;
  /** `custom` tools take any text. */
  readonly isCustom: boolean;
}

/**
 * Arguments that were left out or left empty are those of a function without any (several servers write `""`), and an
 * object instead of its text can still be read; only a text that is no JSON is of no use to anyone.
 */
export function isBrokenCall({ name, input, isCustom }: ToolCall): boolean {
  if (typeof name !== 'string' || name === '') return true;
  if (isCustom || typeof input !== 'string' || input.trim() === '') return false;
  return parseJson(input) === undefined;
}
