/** What a caller holds in the end: a stream that went on, or one that could not. */
import { expect } from 'vitest';
import { asArray, asObject } from '../../src/simulation/json-value.js';
import type { Heard } from './stream-stage.js';

export const STORY =
  'Once upon a time there was a chain of models, and each of them knew the whole story by heart. The end.';

/** One stream: the text, one id, one finish, one end, and the trace of all that came after the headers. */
export function expectWhole(heard: Heard, text: string, attempts: readonly string[]): void {
  expect(heard).toMatchObject({ status: 200, isWhole: true, text, finishReason: 'stop', attempts });
  const ends = heard.events.filter(({ kind }) => kind === 'done' || kind === 'error');
  expect(ends).toEqual([{ kind: 'done', data: '[DONE]' }]);
  expect(heard.events.at(-1)?.kind).toBe('done');
  expect(new Set(heard.chunks.map(({ id }) => id)).size).toBe(1);
  const choices = heard.chunks.flatMap(({ choices: list }) => asArray(list).map(asObject));
  expect(choices.filter(({ finish_reason: reason }) => typeof reason === 'string')).toHaveLength(1);
  expect(choices.filter(({ delta }) => 'role' in asObject(delta))).toHaveLength(1);
  expect(asObject(heard.chunks.at(-1)?.['fallback'])).toHaveProperty('trace');
}

/** The text so far, then one error, and the end. */
export function expectBroken(heard: Heard, text: string, why: RegExp): void {
  expect(heard).toMatchObject({ status: 200, isWhole: true, text });
  const ends = heard.events.filter(({ kind }) => kind === 'done' || kind === 'error');
  expect(ends.map(({ kind }) => kind)).toEqual(['error']);
  expect(heard.events.at(-1)?.kind).toBe('error');
  expect(heard.error?.['message']).toMatch(why);
  expect(heard.error?.['message']).toContain(`after ${text.length} characters`);
  expect(heard.finishReason).toBeUndefined();
}
