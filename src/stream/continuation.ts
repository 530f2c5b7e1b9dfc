/**
 * What the next model is asked when an answer broke off: the caller's own request, the text so far, and, by `prompt`,
 * one message that asks to repeat the last words and go on.
 *
 * The request stays as it was: system prompt, persona, tools, parameters. The instruction speaks as the user whose
 * connection dropped: notices in the voice of an operator were refused as injections, and a system message of ours would
 * override the caller's persona (dario's and LiteLLM's reports; see docs/concepts/streams.md). Pure.
 */
import type { ContinuationWay } from '../policy/plan.js';
import { isJsonObject } from './chat-chunk.js';
import { anchorOf } from './seam.js';

/** Fewer than most tokens have, so that a repeat is not cut off where words are short. */
const BYTES_PER_REPEATED_TOKEN = 2;

type Json = Readonly<Record<string, unknown>>;

export interface ContinuationRequest {
  /** What the caller holds. */
  readonly text: string;
  readonly way: ContinuationWay;
  /** What has been written of the answer so far, in tokens: it counts against the caller's limit. */
  readonly writtenTokens: number;
}

/** @param params the caller's request, without the model. */
export function continuationParams(params: Json, request: ContinuationRequest): Json {
  const { way, text } = request;
  const { messages, begun, rest } = withoutBeginning(params);
  const soFar = { role: 'assistant', content: begun + text };
  return {
    ...rest,
    ...lessened(params, 'max_tokens', request),
    ...lessened(params, 'max_completion_tokens', request),
    ...(way === 'vllm' && { continue_final_message: true, add_generation_prompt: false }),
    messages: [...messages, ...trailingMessages(soFar, text, way)],
  };
}

/**
 * A caller may have begun the answer itself: a last message of the assistant that says `prefix`, or
 * `continue_final_message`. What came goes on in that same message, since neither is valid in any other place.
 */
function withoutBeginning(params: Json): { readonly messages: unknown[]; readonly begun: string; readonly rest: Json } {
  const messages = Array.isArray(params['messages']) ? (params['messages'] as unknown[]) : [];
  const last: unknown = messages.at(-1);
  const isBegun = isJsonObject(last) && (last['prefix'] === true || params['continue_final_message'] === true);
  if (!isBegun || typeof last['content'] !== 'string') return { messages, begun: '', rest: params };
  const { continue_final_message: _, add_generation_prompt: __, ...rest } = params;
  return { messages: messages.slice(0, -1), begun: last['content'], rest };
}

/**
 * @param text what the caller holds.
 * @returns what of it a model can be asked to go on with: well-formed, without half a character (a high surrogate whose
 * other half was to come) at its end. Providers refuse a text that is no Unicode.
 */
export function textToGoOnWith(text: string): { readonly text: string; readonly half: string } {
  const [half = ''] = /[\ud800-\udbff]$/.exec(text) ?? [];
  return { text: text.slice(0, text.length - half.length).toWellFormed(), half };
}

function trailingMessages(soFar: Json, text: string, way: ContinuationWay): Json[] {
  switch (way) {
    case 'prefix':
      return [{ ...soFar, prefix: true }];
    case 'vllm':
      return [soFar];
    case 'prompt':
      return [soFar, { role: 'user', content: instruction(anchorOf(text)) }];
    default:
      return way satisfies never;
  }
}

function instruction(lastWords: string): string {
  return [
    'My connection dropped while you were writing that reply, and what stands above is all that reached me.',
    'Please pick it up exactly where it breaks off, in the same language, voice and format.',
    'Begin by repeating these last words of it exactly as they stand, then go straight on, without any remark of your own:',
    `\n\n${lastWords}`,
  ].join(' ');
}

/** By what was written; what the model is asked to repeat must fit in all the same, and one token more. */
function lessened(params: Json, key: string, { text, way, writtenTokens }: ContinuationRequest): Json {
  const limit = params[key];
  if (typeof limit !== 'number') return {};
  const repeated = way === 'prompt' ? Math.ceil(Buffer.byteLength(anchorOf(text)) / BYTES_PER_REPEATED_TOKEN) : 0;
  return { [key]: Math.max(limit - writtenTokens, repeated + 1) };
}
