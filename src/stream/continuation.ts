/**
 * What the next model is asked when an answer broke off: the caller's own request, the text so far, and, by `prompt`,
 * one message that asks to repeat the last words and go on.
 *
 * The request stays as it was: system prompt, persona, tools, parameters. The instruction speaks as the user whose
 * connection dropped: notices in the voice of an operator were refused as injections, and a system message of ours would
 * override the caller's persona (dario's and LiteLLM's reports; see docs/concepts/streams.md). Pure.
 */
import type { ContinuationWay } from '../policy/plan.js';
import { anchorOf } from './seam.js';

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
  const { text, way, writtenTokens } = request;
  const asked = Array.isArray(params['messages']) ? (params['messages'] as unknown[]) : [];
  const messages = [...asked, ...trailingMessages(text, way)];
  return {
    ...params,
    ...lessened(params, 'max_tokens', writtenTokens),
    ...lessened(params, 'max_completion_tokens', writtenTokens),
    ...(way === 'vllm' && { continue_final_message: true, add_generation_prompt: false }),
    messages,
  };
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

function trailingMessages(text: string, way: ContinuationWay): Json[] {
  const soFar = { role: 'assistant', content: text };
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

function lessened(params: Json, key: string, writtenTokens: number): Json {
  const limit = params[key];
  return typeof limit === 'number' ? { [key]: Math.max(1, limit - writtenTokens) } : {};
}
