/**
 * What a scripted model can be told to do with one call: the words of `nestjs-llm-fallback/testing`.
 *
 * Values only; `play-reply.ts` puts them on the wire.
 */
import type { WireError } from './openai-wire.js';

/** A string is an answer of that text. */
export type Reply = string | ScriptedReply;

export type ScriptedReply =
  | ({
      readonly type: 'answer';
      readonly deltas: readonly string[];
      readonly toolCalls: readonly ScriptedToolCall[];
    } & AnswerOptions)
  | ({ readonly type: 'json'; readonly status: number; readonly body: unknown } & Sending)
  | ({ readonly type: 'error-inside-200'; readonly error: WireError } & Sending)
  | ({
      readonly type: 'sse';
      readonly pieces: readonly SsePiece[];
      readonly end: WireEnd;
      readonly paceMs: number;
    } & Sending)
  | {
      readonly type: 'raw';
      readonly pieces: readonly (string | Uint8Array)[];
      readonly end: WireEnd;
      readonly paceMs: number;
    }
  | { readonly type: 'hang'; readonly after: 'nothing' | 'headers' };

/** How a connection ends: closed cleanly, reset, or not at all. */
export type WireEnd = 'close' | 'reset' | 'hang';

/** Text and bytes go out as they are, an object as one `data:` event. */
export type SsePiece = string | Uint8Array | object;

export interface Sending {
  readonly headers?: Readonly<Record<string, string>>;
  /** Silence before anything is sent, headers included. */
  readonly delayMs?: number;
}

export interface AnswerOptions extends Sending {
  /** Default: `tool_calls` where there are some, else `stop`. */
  readonly finishReason?: string;
  /** Default: 9 input tokens, and one output token for each delta. */
  readonly usage?: { readonly inputTokens: number; readonly outputTokens: number };
  /** Thoughts (`reasoning_content`) before the text. */
  readonly reasoning?: readonly string[];
  /** Between the deltas of a stream. */
  readonly paceMs?: number;
  /** Breaks after so many deltas; where the call asked for no stream, in the middle of the body. */
  readonly breakAfter?: { readonly deltas: number; readonly by: BreakKind };
}

/** `cut`: the body ends as if it were whole; `reset`: the connection; `stall`: silence; `error`: an error event. */
export type BreakKind = 'cut' | 'reset' | 'stall' | 'error';

export interface ScriptedToolCall {
  readonly name: string;
  /** An object is sent as JSON; a string as it is, for arguments that are none. */
  readonly arguments: object | string;
  readonly id?: string;
}

export const reply = {
  /** An answer; a list of texts gives the deltas of a stream, a single text is split into words. */
  text(text: string | readonly string[], options: AnswerOptions = {}): ScriptedReply {
    const deltas = typeof text === 'string' ? (text.match(/\s*\S+|\s+$/gu) ?? []) : text;
    return { type: 'answer', deltas, toolCalls: [], ...options };
  },

  toolCalls(calls: readonly ScriptedToolCall[], options: AnswerOptions = {}): ScriptedReply {
    return { type: 'answer', deltas: [], toolCalls: calls, ...options };
  },

  /** An HTTP error in OpenAI's shape. */
  error(status: number, error: Partial<WireError> = {}, sending: Sending = {}): ScriptedReply {
    const said = { type: typeOf(status), ...error };
    return { type: 'json', status, body: { error: completed(said, `scripted error ${status}`) }, ...sending };
  },

  /** A 200 that holds an error: as the body, or as the first event of a stream. */
  errorInside200(error: Partial<WireError> = {}, sending: Sending = {}): ScriptedReply {
    return { type: 'error-inside-200', error: completed(error, 'scripted error inside a 200'), ...sending };
  },

  /** Any JSON with any status. */
  json(status: number, body: unknown, sending: Sending = {}): ScriptedReply {
    return { type: 'json', status, body, ...sending };
  },

  /** The list of models, in answer to `GET /models`. */
  models(ids: readonly string[]): ScriptedReply {
    const data = ids.map((id) => ({ id, object: 'model', created: 0, owned_by: 'scripted' }));
    return { type: 'json', status: 200, body: { object: 'list', data } };
  },

  /** A 200 event stream of exactly these pieces, each in a packet of its own. */
  sse(
    pieces: readonly SsePiece[],
    options: Sending & { readonly end?: WireEnd; readonly paceMs?: number } = {},
  ): ScriptedReply {
    return { type: 'sse', pieces, end: 'close', paceMs: 0, ...options };
  },

  /** Exactly these bytes on the socket, status line and headers included: for what is no HTTP any more. */
  raw(
    pieces: string | Uint8Array | readonly (string | Uint8Array)[],
    options: { readonly end?: WireEnd; readonly paceMs?: number } = {},
  ): ScriptedReply {
    const list = typeof pieces === 'string' || pieces instanceof Uint8Array ? [pieces] : pieces;
    return { type: 'raw', pieces: list, end: 'close', paceMs: 0, ...options };
  },

  /** Never answers; with `after: 'headers'` it sends those and then nothing. */
  hang(options: { readonly after?: 'nothing' | 'headers' } = {}): ScriptedReply {
    return { type: 'hang', after: 'nothing', ...options };
  },

  /** Takes the call and resets the connection. */
  reset(): ScriptedReply {
    return { type: 'raw', pieces: [], end: 'reset', paceMs: 0 };
  },
} as const;

/** As OpenAI writes it beside such a status. */
function typeOf(status: number): string {
  if (status === 429) return 'rate_limit_error';
  return status >= 500 ? 'server_error' : 'invalid_request_error';
}

function completed(error: Partial<WireError>, message: string): WireError {
  return { message, type: 'server_error', code: null, param: null, ...error };
}
