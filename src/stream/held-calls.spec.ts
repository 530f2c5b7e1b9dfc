import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chunk, cut, DONE, event, finish, HELLO, payloads, read, ROLE, says } from '../../test/streams/chat-reading.js';
import type { ChatStreamOptions } from './chat-stream.js';
import { MAX_HELD_CALL_BYTES } from './held-calls.js';

const fragment = (index: number, args: string, name?: string, choice = 0): string =>
  event(
    chunk({
      index: choice,
      delta: {
        tool_calls: [
          { index, ...(name && { id: `call_${index}`, type: 'function' }), function: { name, arguments: args } },
        ],
      },
    }),
  );
const of = (choice: number, delta: object, finish_reason: string | null = null): string =>
  event(chunk({ index: choice, delta, finish_reason }));
const WHOLE = fragment(0, '{"city":"Rome"}', 'weather');
const MORE = says({ content: ' more' });
const CALLS = finish('tool_calls');

describe('tool calls', () => {
  it.each([
    ['one', [ROLE, WHOLE]],
    ['one in fragments', [ROLE, fragment(0, '', 'f'), fragment(0, '{"a'), fragment(0, '":1}')]],
    ['several in parallel', [fragment(0, '{', 'f'), fragment(1, '[', 'g'), fragment(0, '}'), fragment(1, ']')]],
    ['one without arguments', [fragment(0, '', 'f')]],
    ['one whose arguments are blank', [fragment(0, ' \n', 'f')]],
    [
      'one whose arguments are an object',
      [says({ tool_calls: [{ index: 0, function: { name: 'f', arguments: {} } }] })],
    ],
    ['one whose arguments are null', [says({ tool_calls: [{ index: 0, function: { name: 'f', arguments: null } }] })]],
    ['a custom one', [says({ tool_calls: [{ index: 0, type: 'custom', custom: { name: 'f', input: 'not {' } }] })]],
  ])('go out as they came, once the answer has finished: %s', (_, events) => {
    const { text, log, end } = read([...events, CALLS, DONE]);
    expect(text).toBe([...events, CALLS].join(''));
    expect(log).toEqual(['held token', 'first token', 'bytes', 'finish', 'end']);
    expect(end).toEqual({ type: 'whole', finishReason: 'tool_calls' });
  });

  it.each([
    ['before them', [ROLE, HELLO, WHOLE], ROLE + HELLO, WHOLE],
    ['between them', [fragment(0, '{', 'f'), HELLO, fragment(0, '}')], HELLO, fragment(0, '{', 'f') + fragment(0, '}')],
    ['after them', [WHOLE, HELLO, MORE], HELLO + MORE, WHOLE],
    ['of thought', [says({ reasoning_content: 'hm' }), WHOLE], says({ reasoning_content: 'hm' }), WHOLE],
  ])('let text go on at once: %s', (_, events, atOnce, held) => {
    const broken = read(events);
    expect(broken.text).toBe(atOnce);
    expect(read([...events, CALLS]).text).toBe(atOnce + held + CALLS);
  });

  it('that stand beside text in one chunk stay here alone', () => {
    const tool_calls = [{ index: 0, function: { name: 'f', arguments: '{}' } }];
    const both = event(chunk({ delta: { role: 'assistant', content: 'Hello', tool_calls } }, { obfuscation: 'x' }));
    const { text, log } = read([both, MORE]);
    expect(log).toEqual(['first token', 'bytes', 'end']);
    expect(payloads(text)).toMatchObject([
      { obfuscation: 'x', choices: [{ delta: { role: 'assistant', content: 'Hello' } }] },
      { choices: [{ delta: { content: ' more' } }] },
    ]);
    const whole = payloads(read([both, MORE, CALLS]).text);
    expect(whole.map((payload) => JSON.stringify(payload).includes('tool_calls":['))).toEqual([
      false,
      false,
      true,
      false,
    ]);
    expect(whole[2]).toEqual(chunk({ delta: { tool_calls } }));
  });

  it('that come in the chunk that finishes go out with it', () => {
    const tool_calls = [{ index: 0, function: { name: 'f', arguments: '{}' } }];
    const only = finish('tool_calls', { content: 'x', tool_calls });
    expect(read([only]).text).toBe(only);
    const other = fragment(1, '{}', 'g');
    expect(read([other, only]).text).toBe(other + only);
  });

  it.each([
    ['half an argument', [fragment(0, '{"city":"Ro', 'weather')]],
    ['two arguments in one', [fragment(0, '{}', 'f'), fragment(0, '{}')]],
    ['no name', [fragment(0, '{}')]],
    ['one of several broken', [fragment(0, '{}', 'f'), fragment(1, '{', 'g')]],
    [
      'the broken one in the last chunk',
      [says({ tool_calls: [{ index: 0, function: { name: 'f', arguments: '{' } }] })],
    ],
  ])('that nobody could read end the stream, and nothing of them goes out: %s', (_, events) => {
    for (const last of [CALLS, DONE, finish('content_filter')]) {
      const { text, log, end, reader } = read([HELLO, ...events, last, DONE]);
      expect([text, end?.type, reader.delivered, reader.deliveredText]).toEqual([HELLO, 'malformed', 'text', 'Hello']);
      expect(log).toEqual(['first token', 'bytes', 'end']);
      const alone = read([ROLE, ...events, last, DONE]);
      expect([alone.text, alone.reader.delivered, alone.log]).toEqual(['', 'nothing', ['held token', 'end']]);
    }
  });

  it('tell of nothing beside them in the chunk where they turn out to be broken', () => {
    const tool_calls = [{ index: 0, function: { name: 'f', arguments: '{' } }];
    const { text, reader } = read([finish('tool_calls', { content: 'lost', tool_calls })]);
    expect([text, reader.delivered]).toEqual(['', 'nothing']);
  });

  it.each(['length', 'max_tokens'])('that were cut by the limit go out: their finish says so (%s)', (reason) => {
    const half = fragment(0, '{"city":"Ro', 'weather');
    const { text, end } = read([half, finish(reason)]);
    expect([text, end]).toEqual([half + finish(reason), { type: 'whole', finishReason: reason }]);
  });

  it('that are cut off by a break leave nothing of themselves', () => {
    const cutOff = read([ROLE, fragment(0, '{"ci', 'weather')]);
    expect([cutOff.text, cutOff.end, cutOff.reader.delivered]).toEqual(['', { type: 'cut' }, 'nothing']);
    const afterText = read([HELLO, WHOLE, event({ error: { message: 'x' } })]);
    expect([afterText.text, afterText.end?.type, afterText.reader.delivered]).toEqual([HELLO, 'error', 'text']);
    const afterThought = read([says({ reasoning: 'hm' }), WHOLE]);
    expect(afterThought.reader.delivered).toBe('reasoning');
  });

  it('are told of at once where nothing was said before, and keep the stream from being silent', () => {
    const { log, progress } = read([ROLE, WHOLE, fragment(1, '{', 'g'), ': x\n\n', HELLO]);
    expect(log).toEqual(['held token', 'first token', 'bytes', 'end']);
    expect(progress).toEqual([false, true, true, false, true]);
  });

  it('that are larger than what is held end the stream', () => {
    const big = fragment(0, `"${'x'.repeat(1_000_000)}`, 'f');
    const { end, text } = read([HELLO, ...Array.from({ length: MAX_HELD_CALL_BYTES / 1_000_000 + 1 }, () => big)]);
    expect([end?.type, text]).toEqual(['malformed', HELLO]);
  });

  it('go out as they come where that was asked for, broken or not, and nobody can go on from there', () => {
    const half = fragment(0, '{', 'f');
    const { text, log, reader, end } = read([HELLO, half, MORE, CALLS], { toolCalls: 'pass' });
    expect(text).toBe(HELLO + half + MORE + CALLS);
    expect([log, end?.type]).toEqual([['first token', 'bytes', 'finish', 'end'], 'whole']);
    expect(reader.delivered).toBe('unresumable');
    expect(read([half], { toolCalls: 'pass' }).log).toEqual(['first token', 'bytes', 'end']);
  });

  it('of the older kind go out as they come', () => {
    const older = says({ function_call: { name: 'f', arguments: '{' } });
    const { text, reader } = read([older]);
    expect([text, reader.delivered]).toEqual([older, 'unresumable']);
  });
});

describe('tool calls of several choices', () => {
  const two: Partial<ChatStreamOptions> = { choices: 2 };

  it('are held until all of them have finished, and with them the finish of their own', () => {
    const events = [
      fragment(0, '{}', 'f', 1),
      of(0, { content: 'a' }),
      of(1, {}, 'tool_calls'),
      of(0, { content: 'b' }),
    ];
    expect(read(events, two).text).toBe(of(0, { content: 'a' }) + of(0, { content: 'b' }));
    const last = read([of(0, { content: 'a' }), fragment(0, '{}', 'f', 1), of(1, { content: 'b' }, 'stop')], two);
    expect(payloads(last.text)).toEqual([
      chunk({ delta: { content: 'a' } }),
      chunk({ index: 1, delta: { content: 'b' } }),
    ]);
    const { text, end } = read([...events, of(0, {}, 'stop')], two);
    expect(text).toBe([events[1], events[3], events[0], events[2], of(0, {}, 'stop')].join(''));
    expect(end?.type).toBe('whole');
  });

  it('are parted from the text of another in the same chunk', () => {
    const called = { index: 1, delta: { tool_calls: [{ index: 0, function: { name: 'f' } }] }, finish_reason: 'stop' };
    const said = { index: 0, delta: { content: 'a' }, finish_reason: null };
    const mixed = event({ ...chunk({}), choices: [said, called] });
    expect(payloads(read([mixed], two).text)).toEqual([{ ...chunk({}), choices: [said] }]);
    const whole = payloads(read([mixed, of(0, {}, 'stop')], two).text);
    expect(whole).toEqual([
      { ...chunk({}), choices: [said] },
      { ...chunk({}), choices: [{ ...called, finish_reason: 'tool_calls' }] },
      chunk({ delta: {}, finish_reason: 'stop' }),
    ]);
  });

  it('go out at the end of a stream with fewer choices than were asked for', () => {
    const events = [fragment(0, '{}', 'f'), CALLS];
    for (const last of [[], [DONE]]) {
      const { text, end } = read([...events, ...last], two);
      expect([text, end?.type]).toEqual([events.join(''), 'whole']);
    }
  });

  it('of which one is broken are delivered of none', () => {
    const events = [fragment(0, '{}', 'f', 0), fragment(0, '{', 'f', 1), of(0, {}, 'stop')];
    expect(read([...events, of(1, {}, 'stop')], two)).toMatchObject({ text: '', end: { type: 'malformed' } });
    expect(read([...events, of(1, {}, 'length')], two).end?.type).toBe('whole');
  });
});

interface Fragment {
  index?: number;
  id?: string;
  type?: string;
  function: { name?: string; arguments: string };
}

interface Delta {
  role?: string;
  content?: string | null;
  reasoning_content?: string;
  tool_calls?: Fragment[];
}

interface Chunk {
  choices: { delta: Delta; finish_reason: string | null }[];
}

/** What a client makes of the chunks: texts added up, calls by their index, else by when their id first came. */
function understood(chunks: readonly Chunk[]) {
  const choices = chunks.flatMap((each) => each.choices);
  const fragments = choices.flatMap(({ delta }) => delta.tool_calls ?? []);
  const calls = new Map<number, string>();
  const ids: unknown[] = [];
  for (const { id, index: written, function: named } of fragments) {
    if (written === undefined && !ids.includes(id)) ids.push(id);
    const index = written ?? ids.indexOf(id);
    calls.set(index, (calls.get(index) ?? '') + (named.name ?? '') + named.arguments);
  }
  return {
    text: choices.map(({ delta }) => delta.content ?? '').join(''),
    reasoning: choices.map(({ delta }) => delta.reasoning_content ?? '').join(''),
    finishReason: choices.map((choice) => choice.finish_reason ?? '').join(''),
    fragments,
    calls: [...calls.entries()].toSorted(([left], [right]) => left - right),
  };
}

const anyText = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 6 }),
  fc.constantFrom('"', '\\', '\n\n', '🙂', '{"tool_calls":[{}]}', 'data: [DONE]\n\n', '', 'x'.repeat(70)),
);
const anyCall = fc.record({
  args: fc.oneof(fc.json({ maxDepth: 2 }), fc.constantFrom('', '{}', ' ')),
  places: fc.array(fc.nat(40), { maxLength: 4 }),
  isBroken: fc.oneof({ weight: 8, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
});
const anySaid = fc.oneof(
  { weight: 4, arbitrary: anyText.map((content) => ({ content })) },
  { weight: 2, arbitrary: anyText.map((text) => ({ content: '', reasoning_content: text })) },
  { weight: 1, arbitrary: fc.constantFrom({}, { role: 'assistant', content: '' }, { content: null }) },
);
const scenarios = fc.record({
  calls: fc.array(anyCall, { maxLength: 3 }),
  said: fc.array(anySaid, { maxLength: 10 }),
  /** What comes next: a fragment of this call, or else what is said. */
  order: fc.array(fc.nat(6), { maxLength: 40 }),
  merges: fc.boolean(),
  isIndexed: fc.boolean(),
  ending: fc.constantFrom('tool_calls', 'stop', 'length', 'done', 'cut', 'error', 'malformed'),
  cuts: fc.array(fc.nat(4_000), { maxLength: 20 }),
  toolCalls: fc.constantFrom('hold', 'pass'),
});
type Scenario = typeof scenarios extends fc.Arbitrary<infer T> ? T : never;

/** The deltas of one stream: calls in fragments, texts among them; now and then both in one. */
function stepsOf({ calls, said, order, merges, isIndexed }: Scenario): Delta[] {
  const queues = calls.map(({ args, places, isBroken }, index) => {
    const whole = isBroken ? `{${args}` : args;
    return cut(Buffer.from(whole), places).map((piece, position): Fragment => ({
      ...(isIndexed ? { index } : { id: `call_${index}` }),
      ...(position === 0 && { id: `call_${index}`, type: 'function' }),
      function: { ...(position === 0 && { name: `f${index}` }), arguments: piece.toString() },
    }));
  });
  const texts: Delta[] = [...said];
  const steps: Delta[] = [];
  const rest = Array.from({ length: 60 }, (_, turn) => turn % (calls.length + 1));
  for (const choice of [...order, ...rest]) {
    const piece = queues[choice]?.shift();
    const text = piece && !merges ? undefined : texts.shift();
    if (piece || text) steps.push({ ...text, ...(piece && { tool_calls: [piece] }) });
  }
  return steps;
}

const ENDINGS: Record<Scenario['ending'], string> = {
  tool_calls: finish('tool_calls') + DONE,
  stop: finish('stop') + DONE,
  length: finish('length'),
  done: DONE,
  cut: '',
  error: event({ error: { message: 'x' } }) + DONE,
  malformed: 'data: {"id\n\n' + DONE,
};

describe('whatever a model says and calls, in any order, cut anywhere', () => {
  it('the text is the text, at once and in order; calls are whole or not there at all', () => {
    fc.assert(
      fc.property(scenarios, (scenario) => {
        const { calls, ending, cuts, toolCalls } = scenario;
        const steps = stepsOf(scenario);
        const bytes = Buffer.from(steps.map((delta) => says(delta)).join('') + ENDINGS[ending]);
        const { text, end, log, reader } = read(cut(bytes, cuts), { toolCalls });
        const seen = understood(payloads<Chunk>(text));
        const meant = understood(steps.map(asChunk));

        const isFinished = !['cut', 'error', 'malformed'].includes(ending);
        const isBroken = toolCalls === 'hold' && ending !== 'length' && calls.some((call) => call.isBroken);
        const hasAnswer = meant.text !== '' || calls.length > 0;
        const isEmpty = isFinished && ending !== 'length' && !hasAnswer;
        const isWhole = isFinished && !isBroken && !isEmpty;

        // An answer that turned out to be empty may have had its thoughts delivered.
        expect(seen.text).toBe(meant.text);
        expect(seen.reasoning).toBe(meant.reasoning);
        expect(end?.type === 'whole').toBe(isWhole);
        if (isWhole || toolCalls === 'pass') expect(seen.calls).toEqual(meant.calls);
        else expect(seen.fragments).toEqual([]);
        if (isWhole) expect(seen.finishReason).toBe(finishOf(ending, calls.length > 0));
        else expect(seen.finishReason).toBe('');
        if (!isWhole) {
          const isPassed = toolCalls === 'pass' && calls.length > 0;
          const said = meant.text !== '' ? 'text' : meant.reasoning !== '' ? 'reasoning' : 'nothing';
          expect(reader.delivered).toBe(isPassed ? 'unresumable' : said);
        }
        expect(reader.deliveredText).toBe(meant.text);
        expectOrder(log, text);
      }),
      { numRuns: 2_000 },
    );
  });

  it('fragments of calls keep their order, and stand before the finish', () => {
    fc.assert(
      fc.property(scenarios, (scenario) => {
        const steps = stepsOf({ ...scenario, isIndexed: true });
        const isBroken = scenario.calls.some((call) => call.isBroken);
        fc.pre(scenario.calls.length > 0 && !isBroken);
        const bytes = Buffer.from(steps.map((delta) => says(delta)).join('') + ENDINGS.tool_calls);
        const seen = payloads<Chunk>(read(cut(bytes, scenario.cuts)).text);
        const meant = understood(steps.map(asChunk));
        expect(understood(seen).fragments).toEqual(meant.fragments);
        expect(understood(seen.slice(-1)).finishReason).toBe('tool_calls');
      }),
      { numRuns: 500 },
    );
  });
});

const asChunk = (delta: Delta): Chunk => ({ choices: [{ delta, finish_reason: null }] });

function finishOf(ending: Scenario['ending'], hasCalls: boolean): string {
  if (ending === 'length' || ending === 'tool_calls') return ending;
  return hasCalls ? 'tool_calls' : 'stop';
}

/** At most one held token, then one first token before any bytes, and the end last. */
function expectOrder(log: readonly string[], text: string): void {
  expect(log.join(' ')).toMatch(/^(held token )?(first token (bytes )?(finish (bytes )?)?)?end$/);
  expect(log.includes('first token')).toBe(text !== '');
}
