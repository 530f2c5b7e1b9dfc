import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  chunk,
  cut,
  DONE,
  event,
  finish,
  HELLO,
  OPTIONS,
  payloads,
  read,
  reading,
  ROLE,
  says,
  usage,
} from '../../test/streams/chat-reading.js';
import { ChatStreamReader, MAX_HELD_BYTES } from './chat-stream.js';

const call = (id: string | undefined, args: string): string =>
  says({
    tool_calls: [{ ...(id ? { id, type: 'function' } : {}), function: { ...(id && { name: id }), arguments: args } }],
  });
const at = (index: number, delta: object, finish_reason: string | null = null): string =>
  event(chunk({ index, delta, finish_reason }));

describe('the first token', () => {
  it.each([
    ['content', { content: 'x' }, 'text'],
    ['reasoning_content', { reasoning_content: 'x' }, 'reasoning'],
    ['reasoning', { content: '', reasoning: 'x' }, 'reasoning'],
    ['reasoning_details', { reasoning_details: [{ type: 'reasoning.text', text: 'x' }] }, 'reasoning'],
    ['a list of thoughts (Mistral)', { content: [{ type: 'thinking', thinking: [] }] }, 'reasoning'],
    ['a refusal', { refusal: 'no' }, 'unresumable'],
    ['a legacy function call', { function_call: { name: 'f', arguments: '' } }, 'unresumable'],
    ['audio', { audio: { id: 'a' } }, 'unresumable'],
  ])('is %s', (_, delta, spoken) => {
    const { log, reader } = read([says(delta)]);
    expect(log).toEqual(['first token', 'bytes', 'end']);
    expect(reader.delivered).toBe(spoken);
  });

  it.each([
    ['a role alone', ROLE],
    ['an empty delta', says({})],
    ['content null', says({ content: null })],
    ['an empty list of tool calls', says({ content: '', tool_calls: [] })],
    ['a chunk without choices (Azure)', event({ id: '', choices: [], prompt_filter_results: [] })],
    ['a chunk whose choices are missing', event({ id: 'x', type: 'ping' })],
    ['a comment', ': OPENROUTER PROCESSING\n\n'],
    ['an empty data line', 'data:\n\n'],
    ['a retry field', 'retry: 3000\n\n'],
  ])('is not %s, and nothing goes out', (_, text) => {
    const { log, progress, end } = read([text]);
    expect(log).toEqual(['end']);
    expect(progress).toEqual([false]);
    expect(end).toEqual({ type: 'cut' });
  });

  it('brings with it what was held, without the comments', () => {
    const { text, pieces } = read([ROLE, ': wait\n\n', says({}), HELLO]);
    expect(text).toBe(ROLE + says({}) + HELLO);
    expect(pieces).toHaveLength(2);
  });

  it('ends a stream that holds back more than the bound', () => {
    const filler = says({ role: 'assistant', padding: 'x'.repeat(100_000) });
    const { end, log } = read(Array.from({ length: MAX_HELD_BYTES / 100_000 + 1 }, () => filler));
    expect(end?.type).toBe('malformed');
    expect(log).toEqual(['end']);
  });
});

describe('the bytes of an ordinary stream', () => {
  it('go on as the very piece that came, where it holds nothing but whole ordinary events', () => {
    const { reader, told } = reading();
    reader.push(Buffer.from(ROLE + HELLO));
    const ordinary = Buffer.from(says({ content: ' A' }) + ': a comment\n\n' + says({ content: '' }) + HELLO);
    reader.push(ordinary);
    expect(told.pieces.at(-1)).toBe(ordinary);
  });

  it('leave out an empty data line, which official clients would try to read', () => {
    expect(read([HELLO, 'data:\n\n', 'data\n\n', HELLO]).text).toBe(HELLO + HELLO);
  });

  it('never hold a part of an event: what is half there waits for its other half', () => {
    const { reader, told } = reading();
    reader.push(Buffer.from(HELLO + HELLO.slice(0, 30)));
    expect(Buffer.concat(told.pieces).toString()).toBe(HELLO);
    reader.push(Buffer.from(HELLO.slice(30)));
    expect(Buffer.concat(told.pieces).toString()).toBe(HELLO + HELLO);
  });

  it('leave out [DONE], and usage only where the caller did not ask for it', () => {
    const stream = [ROLE + HELLO + finish('stop') + usage + DONE];
    expect(read(stream).text).toBe(ROLE + HELLO + finish('stop') + usage);
    const withheld = read(stream, { withholdUsage: true });
    expect(withheld.text).toBe(ROLE + HELLO + finish('stop'));
    expect(withheld.reader.usage).toEqual({ inputTokens: 9, outputTokens: 3 });
  });
});

describe('silence', () => {
  it('is broken by tokens and a finish, never by comments and empty deltas', () => {
    const parts = [ROLE, HELLO, ': x\n\n', says({ content: '' }), says({ content: ' A' }), says({}), finish('stop')];
    expect(read(parts).progress).toEqual([false, true, false, false, true, false, true]);
  });
});

describe('the end of a stream', () => {
  it.each([
    ['finish and [DONE]', [HELLO, finish('stop'), DONE], 'whole', 'stop'],
    ['a finish alone', [HELLO, finish('length')], 'whole', 'length'],
    ['a finish in the chunk that holds all the text', [finish('stop', { content: 'Hi' })], 'whole', 'stop'],
    ['[DONE] without a blank line', [HELLO, finish('stop'), 'data: [DONE]'], 'whole', 'stop'],
    ['a whole last event without a blank line', [HELLO, finish('stop').trimEnd()], 'whole', 'stop'],
    ['nothing at all', [], 'cut', undefined],
    ['text, then nothing', [HELLO], 'cut', undefined],
    ['half an event', [HELLO, HELLO.slice(0, 40)], 'cut', undefined],
    ['a role, then nothing', [ROLE], 'cut', undefined],
    ['no text before the finish', [ROLE, finish('stop'), DONE], 'empty', undefined],
    ['no text before [DONE]', [ROLE, DONE], 'empty', undefined],
    ['only reasoning before the finish', [says({ reasoning: 'x' }), finish('stop')], 'empty', undefined],
    ['no text because of the limit', [ROLE, finish('length'), DONE], 'whole', 'length'],
    ['no text because of the filter', [ROLE, finish('content_filter'), DONE], 'whole', 'content_filter'],
    ['an error', [HELLO, event({ error: { message: 'x' } }), DONE], 'error', undefined],
    ['a finish reason error', [HELLO, finish('error'), DONE], 'error', undefined],
    ['an event named error', [HELLO, 'event: error\ndata: {"message":"x"}\n\n'], 'error', undefined],
    ['an error that is no event', [HELLO, '{"error":{"message":"x"}}\n\n'], 'error', undefined],
    ['a page that is no event', [HELLO, '<html>502</html>\n\n', HELLO, DONE], 'malformed', undefined],
    ['a broken field name', [HELLO, HELLO.replace('data', 'dat'), DONE], 'malformed', undefined],
    ['no JSON', [HELLO, 'data: {"id":"c1","choices":[{"ind\n\n', HELLO, finish('stop'), DONE], 'malformed', undefined],
    ['JSON that is no object', [HELLO, 'data: 42\n\n', DONE], 'malformed', undefined],
    ['choices that are no list', [HELLO, event({ choices: 'x' }), DONE], 'malformed', undefined],
    ['a delta that is no object', [HELLO, event(chunk({ delta: 'x' })), DONE], 'malformed', undefined],
    ['content that is no text', [HELLO, says({ content: 42 }), DONE], 'malformed', undefined],
  ])('with %s', (_, parts, type, finishReason) => {
    const { end, log, text } = read(parts);
    expect(end?.type).toBe(type);
    expect(log.filter((word) => word === 'end')).toHaveLength(1);
    if (end?.type === 'whole') expect(end.finishReason).toBe(finishReason);
    expect(text).not.toMatch(/DONE|"error"|"ind$/);
    if (type === 'malformed' || type === 'error') expect(text).toBe(HELLO);
  });

  it('delivers a finish that the limit forced though no token came, as the first token', () => {
    const { log, text } = read([ROLE, finish('length'), DONE]);
    expect(log).toEqual(['first token', 'bytes', 'finish', 'end']);
    expect(text).toBe(ROLE + finish('length'));
  });

  it('is a failure where the answer was filtered before any text and another model may be asked', () => {
    const filtered = read([ROLE, finish('content_filter')], { failWhenFiltered: true });
    expect(filtered.log).toEqual(['end']);
    expect(filtered.end).toEqual({ type: 'filtered' });
    const thought = read([says({ reasoning: 'x' }), finish('content_filter')], { failWhenFiltered: true });
    expect(thought.end).toEqual({ type: 'filtered' });
    const partly = read([HELLO, finish('content_filter')], { failWhenFiltered: true });
    expect(partly.end).toEqual({ type: 'whole', finishReason: 'content_filter' });
  });

  it('ignores whatever follows the finish, but usage', () => {
    const after = [
      HELLO,
      event({ error: { message: 'late' } }),
      'data: nonsense\n\n',
      'event: error\ndata: x\n\n',
      ': x\n\n',
    ];
    const { text, end } = read([HELLO, finish('stop'), ...after, usage, DONE]);
    expect(text).toBe(HELLO + finish('stop') + usage);
    expect(end).toEqual({ type: 'whole', finishReason: 'stop' });
  });

  it('takes the choices out of a usage chunk that follows the finish', () => {
    const late = says({ role: 'assistant', content: '' }, { usage: { prompt_tokens: 1, completion_tokens: 2 } });
    const { text, reader } = read([HELLO, finish('stop'), late, DONE]);
    expect(payloads(text).at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 2 } });
    expect(reader.usage).toEqual({ inputTokens: 1, outputTokens: 2 });
  });

  it('says nothing more once stopped, even from within a call', () => {
    const { reader, told } = reading();
    const stopping = new ChatStreamReader(
      { onFirstToken: () => stopping.stop(), onBytes: () => told.log.push('bytes'), onFinish() {}, onEnd() {} },
      OPTIONS,
    );
    stopping.push(Buffer.from(ROLE + HELLO + finish('stop') + DONE));
    stopping.end();
    reader.stop();
    reader.push(Buffer.from(HELLO));
    reader.end();
    expect(told.log).toEqual([]);
  });
});

describe('what official clients would read wrongly', () => {
  it('gets a finish where the stream said only [DONE], in its own id, model and time', () => {
    const { text, end, log } = read([ROLE, HELLO, DONE]);
    expect(payloads(text).at(-1)).toEqual({
      id: 'c1',
      object: 'chat.completion.chunk',
      created: 7,
      model: 'm',
      choices: [{ index: 0, delta: {}, finish_reason: 'stop' }],
    });
    expect(end).toEqual({ type: 'whole', finishReason: 'stop' });
    expect(log).toEqual(['first token', 'bytes', 'end']);
  });

  it('gets indexes for tool calls that came without, by id', () => {
    const nameless = says({ tool_calls: [{ id: '', function: { name: 'c', arguments: '{}' } }] });
    const calls = [call('a', '{"x"'), call(undefined, ':1}'), call('b', '{}'), call('a', ' '), nameless, nameless];
    const { text } = read([ROLE, ...calls, DONE]);
    const indexes = [...text.matchAll(/"index":(\d+)\}\]\}/g)].map((match) => Number(match[1]));
    expect(indexes).toEqual([0, 0, 1, 0, 2, 3]);
  });

  it('gets finish_reason tool_calls where tool calls came but the stream said stop, or nothing', () => {
    for (const last of [finish('stop'), DONE]) {
      const { text, end } = read([call('a', '{}'), last]);
      expect(payloads(text).at(-1)).toMatchObject({ choices: [{ finish_reason: 'tool_calls' }] });
      expect(end).toEqual({ type: 'whole', finishReason: 'tool_calls' });
    }
  });

  it('passes well-formed tool calls on as they came', () => {
    const whole = says({ tool_calls: [{ index: 0, id: 'a', function: { name: 'f', arguments: '{}' } }] });
    expect(read([ROLE, whole, finish('tool_calls'), DONE]).text).toBe(ROLE + whole + finish('tool_calls'));
  });
});

describe('a stream of several choices', () => {
  it('has finished when all of them have', () => {
    const parts = [at(0, { content: 'a' }), at(1, { content: 'b' }), at(0, {}, 'stop'), at(1, { content: 'c' })];
    expect(read(parts, { choices: 2 }).end).toEqual({ type: 'cut' });
    const whole = read([...parts, at(1, {}, 'length')], { choices: 2 });
    expect(whole.end).toEqual({ type: 'whole', finishReason: 'stop' });
    expect(whole.text).toBe([...parts, at(1, {}, 'length')].join(''));
  });

  it('goes on though the first has finished before the second began', () => {
    const parts = [at(0, { content: 'a' }), at(0, {}, 'stop'), at(1, { content: 'b' }), at(1, {}, 'stop'), DONE];
    const { text, log } = read(parts, { choices: 2 });
    expect(text).toBe(parts.slice(0, -1).join(''));
    expect(log.indexOf('finish')).toBe(2);
  });

  it('is whole with fewer choices than were asked for: some upstreams know no n', () => {
    const { end } = read([at(0, { content: 'a' }), at(0, {}, 'stop')], { choices: 2 });
    expect(end).toEqual({ type: 'whole', finishReason: 'stop' });
  });

  it('drops what follows the finish of one choice', () => {
    const parts = [at(0, { content: 'a' }), at(1, { content: 'b' }), at(0, {}, 'stop')];
    const { text } = read([...parts, at(0, { content: 'late' }), at(1, {}, 'stop')], { choices: 2 });
    expect(text).toBe(parts.join('') + at(1, {}, 'stop'));
  });
});

const anyText = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 8 }),
  fc.string({ unit: 'binary', maxLength: 4 }),
  fc.constantFrom('', '"', '\\', '{"content":"x"}', '","content":"', '\n\n', 'data: [DONE]\n\n', '\u2028', '🙂'),
);
const ordinaryDelta = fc.oneof(
  { weight: 8, arbitrary: anyText.map((content) => ({ content })) },
  { weight: 3, arbitrary: anyText.map((text) => ({ content: null, reasoning_content: text })) },
  { weight: 1, arbitrary: anyText.map((text) => ({ content: text, reasoning: text })) },
  { weight: 1, arbitrary: fc.constant({ role: 'assistant', content: '' }) },
);
/** The ways in which chunks are written, as providers differ. */
const written = fc.record({
  space: fc.boolean(),
  spread: fc.boolean(),
  escaped: fc.boolean(),
  eol: fc.constantFrom('\n', '\r\n'),
  padding: fc.option(fc.stringMatching(/^[a-z]{0,5}$/)),
  extras: fc.constantFrom({}, { logprobs: null }, { logprobs: { content: [] } }),
  comments: fc.boolean(),
});

describe('any stream, cut anywhere', () => {
  it('tells the same as parsing all of it, and passes on the same bytes', () => {
    fc.assert(
      fc.property(
        fc.array(ordinaryDelta, { maxLength: 12 }),
        written,
        fc.constantFrom('', 'stop', 'length'),
        fc.array(fc.nat(3000), { maxLength: 20 }),
        (deltas, style, reason, places) => {
          const write = (payload: object): string => {
            const json = JSON.stringify(payload, null, style.spread ? ' ' : undefined).replaceAll('\n', '');
            const ascii = json.replaceAll(
              /[^\x20-\x7e]/g,
              (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
            );
            const text = `data:${style.space ? ' ' : ''}${style.escaped ? ascii : json}${style.eol}${style.eol}`;
            return style.comments ? `: ping${style.eol}${style.eol}${text}` : text;
          };
          const chunks = deltas.map((delta) =>
            chunk({ delta, ...style.extras }, style.padding === null ? {} : { obfuscation: style.padding }),
          );
          if (reason) chunks.push(chunk({ delta: {}, finish_reason: reason }));
          const bytes = Buffer.from(chunks.map(write).join(''));

          const texts = deltas.map((delta) =>
            Object.assign({ content: '', reasoning_content: '', reasoning: '' }, delta),
          );
          const hasText = texts.some(({ content }) => content);
          const hasReasoning = texts.some((text) => text.reasoning_content || text.reasoning);
          const goesOut = reason === 'stop' ? hasText || hasReasoning : hasText || hasReasoning || reason === 'length';

          const whole = read([bytes]);
          const inPieces = read(cut(bytes, places));
          expect(inPieces.text).toBe(whole.text);
          expect(inPieces.end).toEqual(whole.end);
          expect(inPieces.reader.tokenBytes).toBe(whole.reader.tokenBytes);
          expect(inPieces.reader.delivered).toBe(hasText ? 'text' : hasReasoning ? 'reasoning' : 'nothing');
          const isEmpty = reason === 'stop' && !hasText;
          expect(inPieces.end?.type).toBe(reason === '' ? 'cut' : isEmpty ? 'empty' : 'whole');
          // An empty answer ends before its finish goes out.
          const expected = isEmpty ? chunks.slice(0, -1) : chunks;
          if (goesOut) expect(payloads(inPieces.text)).toEqual(JSON.parse(JSON.stringify(expected)));
          else expect(inPieces.text).toBe('');
        },
      ),
      { numRuns: 1000 },
    );
  });

  it('never passes on an event that is broken by one byte where it stops being JSON', () => {
    const before = says({ content: 'one' }) + says({ content: ' two' });
    const target = says({ content: ' three é' });
    fc.assert(
      fc.property(fc.nat(Buffer.byteLength(target) - 3), fc.nat(255), (place, byte) => {
        const broken = Buffer.from(target);
        broken[place] = byte;
        const { text } = read([Buffer.concat([Buffer.from(before), broken, Buffer.from(says({ content: ' four' }))])]);
        for (const payload of payloads(text)) expect(payload).toBeTypeOf('object');
      }),
      { numRuns: 2000 },
    );
  });
});
