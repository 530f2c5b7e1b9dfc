/** How callers ask, and what they get: the shapes of `chat`, `stream` and `execute`. */
import type OpenAI from 'openai';
import type { AttemptRecord } from '../chain/events.js';
import type { Message } from '../store/conversation-store.js';

/** A text stands for one user message. */
export type ChatInput = string | readonly Message[];

export interface CallOptions {
  /** Default: `default`. */
  chain?: string;
  /** Replaces the chain's list and keeps its policy. */
  models?: readonly string[];
  /** False: only the chain's first model; its failure is thrown as FallbackExhaustedError. */
  fallback?: boolean;
  /** Milliseconds; only shortens the chain's own. */
  deadlineMs?: number;
  /** Its abort rejects with its reason, and ends every upstream call. */
  signal?: AbortSignal;
}

export interface ChatOptions extends CallOptions {
  /** With it, the conversation so far goes along, and the exchange is remembered. */
  userId?: string;
  /** A system message before everything else; it is not remembered. */
  system?: string;
  params?: Omit<OpenAI.ChatCompletionCreateParamsNonStreaming, 'model' | 'messages' | 'stream'>;
}

export interface Answered {
  /** The name of the model that answered. */
  readonly model: string;
  readonly fallbackUsed: boolean;
  readonly attempts: readonly AttemptRecord[];
  readonly latencyMs: number;
}

export interface ChatResult extends Answered {
  readonly content: string | null;
  readonly finishReason: string;
  readonly usage?: OpenAI.CompletionUsage;
  readonly completion: OpenAI.ChatCompletion;
}
