import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  chunk,
  cut,
  DONE,
  event,
  finish,
  HELLO,
  payloads,
  read,
  ROLE,
  says,
  usage,
} from '../../test/streams/chat-reading.js';
import { MAX_TRAIL_BYTES } from './text-trail.js';

const at = (index: number, delta: object, finish_reason: string | null = null): string =>
  event(chunk({ index, delta, finish_reason }));
const part = (text: string) => ({ type: 'text', text });
const thought = { type: 'thinking', thinking: [part('hm')], text: 'hm' };

const countUsage = () => ({ inputTokens: 7, outputTokens: 2 });

/** A client's text, from the bytes that it got. */
const clientReads = (text: string) =>
  payloads<{ choices: { delta: { content: string } }[] }>(text)
    .map((each) => each.choices[0]?.delta.content)
    .join('');

describe('what was delivered of a stream that broke', () => {
  it.each([
    ['nothing', [ROLE, says({})], 'nothing', ''],
    ['thoughts', [says({ reasoning: 'hm' }), says({ reasoning: 'well' })], 'reasoning', ''],
    [
      'text',
      [ROLE, HELLO, says({ content: ' A' }), says({ content: ' B' }), says({ content: ' "C"\n' })],
      'text',
      'Hello A B "C"\n',
    ],
    ['text after thoughts', [says({ reasoning: 'hm' }), HELLO], 'text', 'Hello'],
    ['text and thoughts in one', [says({ reasoning: 'hm', content: 'Hello' }), HELLO], 'text', 'HelloHello'],
    [
      'text in parts (Mistral)',
      [says({ content: [thought, part('Hel')] }), says({ content: [part('lo')] })],
      'text',
      'Hello',
    ],
    [
      'an image among the parts',
      [says({ content: [part('See'), { type: 'image_url', image_url: {} }] })],
      'unresumable',
      'See',
    ],
    ['an image beside the text', [HELLO, says({ images: [{ url: 'x' }] })], 'unresumable', 'Hello'],
    ['a refusal after text', [HELLO, says({ refusal: 'no' }), HELLO], 'unresumable', 'HelloHello'],
    ['text before half an event', [HELLO, says({ content: 'lost' }).slice(0, -8)], 'text', 'Hello'],
    ['text before a malformed event', [HELLO, 'data: {"id\n\n', says({ content: 'lost' })], 'text', 'Hello'],
  ])('is told: %s', (_, events, delivered, text) => {
    const { reader } = read(events);
    expect([reader.delivered, reader.deliveredText]).toEqual([delivered, text]);
  });

  it('is the text of the first choice, however the choices take turns', () => {
    const turns = [at(1, { content: 'x' }), at(0, { content: 'a' }), at(0, { content: 'b' }), at(1, { content: 'y' })];
    const { reader } = read([...turns, ...turns, at(1, { content: 'z' })], { choices: 2 });
    expect(reader.deliveredText).toBe('abab');
    const late = [at(0, { content: 'a' }, 'stop'), at(0, { content: 'late' }), at(1, { content: 'x' })];
    expect(read(late, { choices: 2 }).reader.deliveredText).toBe('a');
    const both = [0, 1].map((index) => ({ index, delta: { content: 'late' }, finish_reason: null }));
    const mixed = [late[0] ?? '', event({ ...chunk({}), choices: both })];
    expect(read(mixed, { choices: 2 }).reader.deliveredText).toBe('a');
  });

  it('is no longer told where it is longer than what is kept: nobody could go on from it', () => {
    const long = says({ content: 'x'.repeat(MAX_TRAIL_BYTES / 4) });
    expect(read([long, long, long, long]).reader.delivered).toBe('text');
    expect(read([HELLO, long, long, long, long]).reader.delivered).toBe('unresumable');
  });

  it('is what a client has read, at whatever byte the stream was cut and however it came in pieces', () => {
    const words = ['Hé ', '🙂', '"quoted" ', 'tab\t', '\\u0041', '', ' end'];
    const events = [ROLE, ...[...words, ...words].map((content) => says({ content }))].join('');
    const bytes = Buffer.from(events.replaceAll('é', '\\u00e9') + events);
    fc.assert(
      fc.property(fc.nat(bytes.length), fc.array(fc.nat(bytes.length), { maxLength: 30 }), (end, places) => {
        const { reader, text } = read(cut(bytes.subarray(0, end), places));
        expect(reader.deliveredText).toBe(clientReads(text));
      }),
      { numRuns: 500 },
    );
  });
});

describe('the usage that the caller asked for', () => {
  const counted = {
    ...chunk({}),
    choices: [],
    usage: { prompt_tokens: 7, completion_tokens: 2, total_tokens: 9 },
  };

  it.each([
    ['[DONE]', [HELLO, finish('stop'), DONE]],
    ['nothing after the finish', [HELLO, finish('stop')]],
    ['[DONE] alone', [HELLO, DONE]],
    ['a usage that is none', [HELLO, finish('stop'), event({ ...chunk({}), choices: [], usage: {} }), DONE]],
  ])('is counted by us and written last, where the upstream ended with %s', (_, events) => {
    const { text, log, end } = read(events, { countUsage });
    expect(payloads(text).at(-1)).toEqual(counted);
    expect(payloads(text).at(-2)).toMatchObject({ choices: [{ finish_reason: 'stop' }] });
    expect([log.at(-1), end?.type]).toEqual(['end', 'whole']);
  });

  it.each([
    ['in a chunk of its own', [HELLO, finish('stop'), usage, DONE]],
    [
      'with the finish',
      [
        HELLO,
        event(chunk({ delta: {}, finish_reason: 'stop' }, { usage: { prompt_tokens: 1, completion_tokens: 1 } })),
      ],
    ],
  ])('is the upstream’s where it tells it %s', (_, events) => {
    expect(read(events, { countUsage }).text).toBe(events.join('').replace(DONE, ''));
  });

  it('is not written into a stream that broke', () => {
    expect(read([HELLO], { countUsage }).text).toBe(HELLO);
    expect(read([ROLE, DONE], { countUsage }).text).toBe('');
  });
});
