/**
 * Which part of a conversation still fits a model: the oldest exchanges go first, the question itself never.
 *
 * Tokens are counted as a quarter of the bytes: a true tokenizer blocks for seconds on hostile text, and the model has
 * the last word anyway (a prompt that is too long after all is a `context_length`, and a larger model is asked).
 */
import { estimateTokens } from '../upstream/answer.js';
import type { Message } from '../store/conversation-store.js';

/** What every message costs beside its text: role, separators. */
const TOKENS_PER_MESSAGE = 4;
/** Kept free for the answer where the request does not say how long it may be; at most a quarter of the window. */
const ANSWER_TOKENS = 1_024;

export interface WindowRequest {
  /** Before the conversation; never dropped. */
  readonly before: readonly Message[];
  readonly history: readonly Message[];
  /** After the conversation; never dropped. */
  readonly after: readonly Message[];
  /** Tokens; undefined: unknown, everything goes along. */
  readonly contextWindow: number | undefined;
  /** `max_tokens` of the request. */
  readonly answerTokens?: number;
}

/** @returns how many messages of the history, from its start, do not go along. */
export function countDropped(request: WindowRequest): number {
  const { before, history, after, contextWindow, answerTokens } = request;
  if (contextWindow === undefined || history.length === 0) return 0;
  const forAnswer = answerTokens ?? Math.min(ANSWER_TOKENS, contextWindow / 4);
  let left = contextWindow - forAnswer - [...before, ...after].reduce((sum, m) => sum + tokensOf(m), 0);
  let first = history.length;
  while (first > 0) {
    left -= tokensOf(history[first - 1]!);
    if (left < 0) break;
    first--;
  }
  // The conversation begins with a question, not with an answer to one that is gone.
  while (first > 0 && first < history.length && history[first]?.role !== 'user') first++;
  return first;
}

function tokensOf(message: Message): number {
  const { content } = message;
  const bytes = Buffer.byteLength(typeof content === 'string' ? content : JSON.stringify(message));
  return TOKENS_PER_MESSAGE + estimateTokens(bytes);
}
