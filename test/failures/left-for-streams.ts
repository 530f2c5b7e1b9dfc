/**
 * The cases whose full reaction needs what a stream does after its first token (a continuation, a fresh start) or
 * tool calls that are held until they are whole. Until streams do that, such a break ends in an error event, and
 * `replay.spec.ts` asserts that for each of them; a test holds this list to the rule.
 */
import type { FailureCase } from './catalogue.js';

export const LEFT_FOR_STREAMS: Readonly<Record<string, string>> = {
  'openrouter-midstream-error': 'continues the text after an error chunk',
  'stream-silent-truncation': 'continues the text after a clean end that is none',
  'stream-cut-rst-after-tokens': 'continues the text after a reset',
  'stream-cut-mid-event': 'continues the text after half an event',
  'stream-cut-mid-utf8': 'continues the text after half a character',
  'stream-stall-after-tokens': 'continues the text after silence',
  'stream-comments-after-tokens': 'continues the text after nothing but comments',
  'stream-malformed-json-mid': 'continues the text after a malformed event',
  'stream-error-event-mid': 'continues the text after an error event',
  'stream-reasoning-only-cut': 'starts afresh in the same stream, since only reasoning was delivered',
  'stream-tool-call-cut': 'holds tool calls, so that a half one can fall back whole',
  'stream-tool-call-bad-args': 'holds tool calls, so that one with bad arguments can fall back whole',
};

/** The rule behind the list. */
export function needsStreamsAfterTheFirstToken({ request, expect }: FailureCase): boolean {
  if (expect.reaction === 'continue' || expect.reaction === 'restart') return true;
  return request.tools !== undefined && expect.reaction === 'next_model';
}
