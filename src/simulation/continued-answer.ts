/**
 * How a simulated model goes on with a text that somebody else began: it reads from the request that it is asked to, and
 * says the rest of what it would have said itself, so that the whole reads as one answer.
 *
 * Three ways of asking are known: a last message that is the text so far and says `prefix: true`; the same with
 * `continue_final_message` (vLLM); the text so far, then a user's message that ends in the last words of it. Pure.
 */
import { asArray, asObject } from './json-value.js';
import type { JsonObject } from './json-value.js';

export interface AskedContinuation {
  /** What stands there already. */
  readonly text: string;
  /** The last words of it, which the answer begins with; empty: it goes straight on. */
  readonly lastWords: string;
  /** How many messages at the end ask for this; those before them hold the question. */
  readonly messages: 1 | 2;
}

/** @param fields the request as it came. @param texts of its messages. */
export function readContinuation(fields: JsonObject, texts: readonly string[]): AskedContinuation | undefined {
  const messages = asArray(fields['messages']).map(asObject);
  const last = messages.at(-1);
  const lastText = texts.at(-1) ?? '';
  if (last?.['role'] === 'assistant') {
    const isAsked = last['prefix'] === true || fields['continue_final_message'] === true;
    return isAsked && lastText !== '' ? { text: lastText, lastWords: '', messages: 1 } : undefined;
  }
  if (last?.['role'] !== 'user' || messages.at(-2)?.['role'] !== 'assistant') return undefined;
  const text = texts.at(-2) ?? '';
  const lastWords = quotedEnd(lastText, text);
  return lastWords === undefined ? undefined : { text, lastWords, messages: 2 };
}

/** @returns the last paragraph of a message, or more of it, where that is how the text ends. */
function quotedEnd(message: string, text: string): string | undefined {
  for (let gap = message.indexOf('\n\n'); gap >= 0; gap = message.indexOf('\n\n', gap + 1)) {
    const paragraph = message.slice(gap + 2);
    if (paragraph !== '' && text.endsWith(paragraph)) return paragraph;
  }
  return undefined;
}

/** A text of a simulated model begins so; the name may be cut off. */
const LABEL = /^\[simulated [^\]]*\]?/u;

/**
 * @param text what stands there.
 * @param answer what this model would have said from the start: its label, then what all of them say to this question.
 * @returns what is missing; a text that no simulated model began gets all of the answer after it.
 */
export function restOfAnswer(text: string, answer: string): string {
  if (answer.startsWith(text)) return answer.slice(text.length);
  const body = answer.replace(LABEL, '');
  const [label = ''] = LABEL.exec(text) ?? [];
  if (label !== '' && !label.endsWith(']')) return `]${body}`;
  const said = text.slice(label.length);
  if (label !== '' && body.startsWith(said)) return body.slice(said.length);
  return /\s$/u.test(text) ? answer : ` ${answer}`;
}
