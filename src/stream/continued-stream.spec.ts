import { describe, expect, it } from 'vitest';
import { ContinuedStream, type ContinuedStreamOptions } from './continued-stream.js';

const OPTIONS: ContinuedStreamOptions = {
  text: 'One two',
  isAsked: true,
  mustProve: true,
  id: 'chatcmpl-A1',
  fallback: { from: 'A', to: 'B', reason: 'stream_cut' },
  tokensBefore: 7,
};

type Delta = Record<string, unknown>;

function chunk(delta: Delta, finish: string | null = null, more: object = {}): string {
  const whole = { id: 'chatcmpl-B', object: 'chat.completion.chunk', created: 2, model: 'b', ...more };
  return `data: ${JSON.stringify({ ...whole, choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
}

function textOf(delta: Delta = {}): string {
  const { content } = delta;
  return typeof content === 'string' ? content : '';
}

function play(events: readonly string[], options: Partial<ContinuedStreamOptions> = {}) {
  const stream = new ContinuedStream({ ...OPTIONS, ...options });
  const out = events.map((event) => Buffer.from(stream.take(Buffer.from(event))).toString());
  const chunks = out
    .join('')
    .split('\n\n')
    .filter((event) => event.startsWith('data: '))
    .map(
      (event) =>
        JSON.parse(event.slice(6)) as {
          id: string;
          choices: { delta: Delta; finish_reason: string | null }[];
          fallback?: object;
          usage?: Record<string, number>;
        },
    );
  return { stream, out, chunks, text: chunks.map((c) => textOf(c.choices[0]?.delta)).join('') };
}

describe('the next model’s stream, as a part of the first one’s', () => {
  it('has the first one’s id, only what is new, and says once where it comes from', () => {
    const played = play([
      chunk({ role: 'assistant', content: '' }),
      chunk({ content: 'One tw' }),
      chunk({ content: 'o three' }),
      chunk({ content: ' four' }),
      chunk({}, 'stop'),
    ]);
    expect(played.text).toBe(' three four');
    expect(played.chunks.map((c) => c.id)).toEqual(['chatcmpl-A1', 'chatcmpl-A1', 'chatcmpl-A1']);
    expect(played.chunks.map((c) => c.fallback)).toEqual([OPTIONS.fallback, undefined, undefined]);
    expect(played.chunks.some((c) => 'role' in (c.choices[0]?.delta ?? {}))).toBe(false);
    expect(played.stream.deliveredText).toBe(' three four');
  });

  it('lets nothing out until the seam is found', () => {
    expect(play([chunk({ content: 'One' }), chunk({ content: ' tw' })]).out).toEqual(['', '']);
  });

  it('is given up where it had to repeat something and did not', () => {
    const { stream, out } = play([chunk({ content: 'Sorry' }), chunk({ content: ', no.' }, 'stop')]);
    expect([stream.state, out.join('')]).toEqual(['unproven', '']);
  });

  it('is taken as it comes from the last model', () => {
    const { stream, text, chunks } = play([chunk({ content: ' three' }) + chunk({}, 'stop')], { mustProve: false });
    expect([stream.state, text, chunks.at(-1)?.choices[0]?.finish_reason]).toEqual(['open', ' three', 'stop']);
  });

  it('that repeats all and has no more to say ends with the finish alone', () => {
    const { text, chunks } = play([chunk({ content: 'One two' }, 'stop')]);
    expect([text, chunks.length, chunks[0]?.choices[0]?.finish_reason]).toEqual(['', 1, 'stop']);
  });

  it('may call its tools instead of going on with the text', () => {
    const calls = [{ index: 0, id: 'c', function: { name: 'f', arguments: '{}' } }];
    const { stream, chunks } = play([chunk({ tool_calls: calls }), chunk({}, 'tool_calls')]);
    expect(stream.state).toBe('open');
    expect(chunks[0]?.choices[0]?.delta['tool_calls']).toEqual(calls);
  });

  it('leaves its reasoning out in the middle of a text, and keeps it where the answer begins anew', () => {
    const events = [chunk({ reasoning_content: 'hm' }), chunk({ content: 'One two three' })];
    expect(play(events).chunks.map((c) => c.choices[0]?.delta)).toEqual([{ content: ' three' }]);
    expect(play(events, { text: null }).chunks.map((c) => c.choices[0]?.delta)).toEqual([
      { reasoning_content: 'hm' },
      { content: 'One two three' },
    ]);
  });

  it('counts what was written before it into its usage', () => {
    const usage = { prompt_tokens: 9, completion_tokens: 3, total_tokens: 12 };
    const { chunks } = play([
      chunk({ content: 'One two three' }, 'stop'),
      `data: ${JSON.stringify({ id: 'b', choices: [], usage })}\n\n`,
    ]);
    expect(chunks.at(-1)?.usage).toEqual({ prompt_tokens: 9, completion_tokens: 10, total_tokens: 19 });
  });

  it('tells the usage also where it came before the seam was found', () => {
    const usage = { prompt_tokens: 9, completion_tokens: 3, total_tokens: 12 };
    const { chunks } = play([`data: ${JSON.stringify({ id: 'b', choices: [], usage })}\n\n`, chunk({}, 'stop')], {
      isAsked: false,
      mustProve: false,
    });
    expect(chunks.map((c) => c.usage?.['completion_tokens'])).toEqual([undefined, 10]);
    expect(chunks[0]?.fallback).toEqual(OPTIONS.fallback);
  });
});
