import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { firstValueFrom, lastValueFrom, take, toArray } from 'rxjs';
import { type ChatChunk, type ChatStream, FallbackExhaustedError } from '../../src/index.js';
import { reply } from '../../src/testing.js';
import { tells } from '../streams/stream-stage.js';
import { contextOf, rejectionOf, twoModels } from './host.js';

const unhandled: unknown[] = [];
const note = (reason: unknown) => void unhandled.push(reason);
beforeEach(() => void process.on('unhandledRejection', note));
afterEach(async () => {
  // Unhandled rejections are told once the microtasks are done.
  await new Promise((resolve) => setImmediate(resolve));
  process.off('unhandledRejection', note);
  expect(unhandled.splice(0)).toEqual([]);
});

async function textOf(stream: ChatStream): Promise<string> {
  let text = '';
  for await (const piece of stream.text()) text += piece;
  return text;
}

/** Text, then silence. */
const fallsSilent = reply.text(['one ', 'two'], { breakAfter: { deltas: 1, by: 'stall' } });

describe('stream()', () => {
  it('gives the text as it comes, and the whole answer at the end', async () => {
    await using stage = await twoModels(reply.text(['Hel', 'lo'], { usage: { inputTokens: 3, outputTokens: 2 } }));
    await using host = await contextOf(stage.options);
    const stream = host.models.stream('Hi');
    const chunks: ChatChunk[] = [];
    for await (const chunk of stream) chunks.push(chunk);
    expect(chunks).toMatchObject([
      { model: 'gpt-4', delta: 'Hel' },
      { model: 'gpt-4', delta: 'lo' },
    ]);
    expect(chunks[0]?.id).toBe(chunks[1]?.id);
    const result = await stream.result;
    expect(result).toMatchObject({
      content: 'Hello',
      finishReason: 'stop',
      model: 'gpt-4',
      fallbackUsed: false,
      attempts: [{ model: 'gpt-4', class: 'ok', status: 200 }],
    });
    expect(result.completion).toMatchObject({ object: 'chat.completion', id: chunks[0]?.id });
    expect(stage.first.calls[0]?.body).toMatchObject({ stream: true, messages: [{ role: 'user', content: 'Hi' }] });
  });

  it('falls back unseen before the first token', async () => {
    await using stage = await twoModels(reply.error(500), reply.text(['from ', 'two']));
    await using host = await contextOf(stage.options);
    const stream = host.models.stream('Hi');
    expect(await textOf(stream)).toBe('from two');
    expect(await stream.result).toMatchObject({ model: 'gpt-3.5-turbo', fallbackUsed: true, content: 'from two' });
  });

  it('asks at once, and its result awaited without a loop reads to the end by itself', async () => {
    await using stage = await twoModels(reply.text(Array.from({ length: 500 }, (_, n) => `${n} `)));
    await using host = await contextOf(stage.options);
    const stream = host.models.stream('Hi');
    await stage.first.waitForCall(1);
    const { content } = await stream.result;
    expect(content?.split(' ')).toHaveLength(501);
  });

  it('is held back while nobody reads, and gives everything to who reads later', async () => {
    const piece = 'x'.repeat(16_384);
    const count = 2_000;
    let sent = 0;
    await using stage = await twoModels(reply.text(Array.from({ length: count }, () => piece)));
    await using host = await contextOf(stage.options);
    const stream = host.models.stream('Hi');
    const call = await stage.first.waitForCall(1);
    // The server has 32 MB to say; what it could not get rid of, it is still holding a second later.
    const ended = await Promise.race([call.ended, new Promise((resolve) => setTimeout(resolve, 700, 'held back'))]);
    expect(ended).toBe('held back');
    for await (const { delta } of stream) sent += delta.length;
    expect(sent).toBe(count * piece.length);
    await stream.result;
  });

  it('keeps tool calls, refusals and reasoning in the whole answer', async () => {
    await using stage = await twoModels(reply.toolCalls([{ name: 'weather', arguments: { city: 'Oslo' } }]));
    await using host = await contextOf(stage.options);
    const { completion, content, finishReason } = await host.models.stream('Hi').result;
    expect({ content, finishReason }).toEqual({ content: null, finishReason: 'tool_calls' });
    expect(completion.choices[0]?.message.tool_calls).toMatchObject([
      { type: 'function', function: { name: 'weather', arguments: '{"city":"Oslo"}' } },
    ]);
  });

  it('asks for the usage, and tells it', async () => {
    await using stage = await twoModels(reply.text('Hello', { usage: { inputTokens: 3, outputTokens: 2 } }));
    await using host = await contextOf(stage.options);
    expect((await host.models.stream('Hi').result).usage).toMatchObject({ total_tokens: 5 });
    const params = { stream_options: { include_usage: false } };
    expect(await host.models.stream('Hi', { params }).result).not.toHaveProperty('usage');
  });

  it('counts the usage itself where the upstream refuses to be asked, and asks no more', async () => {
    const refusal = reply.error(422, { message: 'Extra inputs are not permitted', param: 'stream_options' });
    await using stage = await twoModels((call) => ('stream_options' in call.body ? refusal : 'Hello'));
    await using host = await contextOf(stage.options);
    for (let n = 0; n < 2; n++) {
      const { usage, attempts } = await host.models.stream('Hi').result;
      expect(usage?.completion_tokens).toBeGreaterThan(0);
      expect(attempts).toMatchObject([{ model: 'gpt-4', class: 'ok' }]);
    }
    expect(stage.first.calls).toHaveLength(3);
  });

  it('is an Observable too, whose end of subscription aborts', async () => {
    await using stage = await twoModels([reply.text(['a', 'b', 'c']), fallsSilent]);
    await using host = await contextOf(stage.options);
    const all = await lastValueFrom(host.models.stream('Hi').asObservable().pipe(toArray()));
    expect(all.map((chunk) => chunk.delta)).toEqual(['a', 'b', 'c']);
    const stream = host.models.stream('Hi');
    await firstValueFrom(stream.asObservable().pipe(take(1)));
    const call = stage.first.calls[1];
    expect(await call?.ended).toMatchObject({ how: 'left' });
    expect(await rejectionOf(stream.result)).toMatchObject({ name: 'AbortError' });
  });
});

describe('leaving a stream', () => {
  const ways: readonly { readonly why: string; readonly leave: (stream: ChatStream) => Promise<unknown> }[] = [
    {
      why: 'by break',
      async leave(stream) {
        for await (const _ of stream) break;
      },
    },
    {
      why: 'by break out of its text',
      async leave(stream) {
        for await (const _ of stream.text()) break;
      },
    },
    {
      why: 'by an error in the loop',
      leave: (stream) =>
        rejectionOf(
          (async () => {
            for await (const _ of stream) throw new Error('mine');
          })(),
        ),
    },
    {
      why: 'by return() while a next() waits for a silent model',
      async leave(stream) {
        const iterator = stream[Symbol.asyncIterator]();
        await iterator.next();
        const waiting = Promise.allSettled([iterator.next()]);
        expect(await iterator.return?.()).toEqual({ done: true, value: undefined });
        await waiting;
      },
    },
    {
      why: 'by abort()',
      async leave(stream) {
        const iterator = stream[Symbol.asyncIterator]();
        await iterator.next();
        stream.abort();
        expect(await rejectionOf(iterator.next())).toMatchObject({ name: 'AbortError' });
        expect(await iterator.next()).toEqual({ done: true, value: undefined });
      },
    },
  ];

  it.each(ways)('$why aborts the upstream at once, also while it is silent', async ({ leave }) => {
    await using stage = await twoModels(fallsSilent);
    await using host = await contextOf(stage.options);
    const stream = host.models.stream('Hi');
    const call = await stage.first.waitForCall(1);
    await leave(stream);
    const leftAtMs = performance.now();
    const { how, atMs } = await call.ended;
    expect(how).toBe('left');
    expect(atMs - leftAtMs).toBeLessThan(100);
    expect(await rejectionOf(stream.result)).toMatchObject({ name: 'AbortError' });
    expect(stage.second.calls).toHaveLength(0);
  });

  it('before its first token aborts too, and asks no other model', async () => {
    await using stage = await twoModels(reply.hang());
    await using host = await contextOf(stage.options);
    const stream = host.models.stream('Hi');
    const call = await stage.first.waitForCall(1);
    await stream[Symbol.asyncIterator]().return?.();
    expect(await call.ended).toMatchObject({ how: 'left' });
    expect(stage.second.calls).toHaveLength(0);
  });

  it('in the turn in which it was asked for asks nobody', async () => {
    await using stage = await twoModels('Hello');
    await using host = await contextOf(stage.options);
    host.models.stream('Hi').abort();
    const slow = host.models.stream('Hi', { userId: 'ann' });
    slow.abort();
    await rejectionOf(slow.result);
    await host.models.chat('after');
    expect(stage.first.calls.map((call) => call.bodyText.includes('after'))).toEqual([true]);
  });

  it('once it has ended changes nothing', async () => {
    await using stage = await twoModels(reply.text(['a', 'b']));
    await using host = await contextOf(stage.options);
    const stream = host.models.stream('Hi');
    await stream.result;
    stream.abort();
    expect(await stream.result).toMatchObject({ content: 'ab' });
  });

  it('by a signal rejects loop and result with the signal’s reason', async () => {
    await using stage = await twoModels(fallsSilent);
    await using host = await contextOf(stage.options);
    const leaving = new AbortController();
    const stream = host.models.stream('Hi', { signal: leaving.signal });
    const reason = new Error('enough');
    const looped = rejectionOf(
      (async () => {
        for await (const _ of stream) leaving.abort(reason);
      })(),
    );
    expect(await looped).toBe(reason);
    expect(await rejectionOf(stream.result)).toBe(reason);
    expect(await stage.first.calls[0]?.ended).toMatchObject({ how: 'left' });
  });
});

describe('a stream whose model breaks', () => {
  const text = 'One two three four five six seven.';
  const breaks = tells(text, { until: 14, by: 'cut' });

  it('goes on, says once who follows whom, and is one answer at the end', async () => {
    await using stage = await twoModels(breaks, tells(text));
    await using host = await contextOf(stage.options);
    const stream = host.models.stream('Hi');
    const chunks: ChatChunk[] = [];
    for await (const chunk of stream) chunks.push(chunk);
    expect(chunks.map(({ delta }) => delta).join('')).toBe(text);
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
    const second = chunks.findIndex(({ model }) => model === 'gpt-3.5-turbo');
    const fallback = { from: 'gpt-4', to: 'gpt-3.5-turbo', reason: 'stream_cut' };
    expect(chunks.map((chunk) => chunk.fallback)).toEqual(chunks.map((_, n) => (n === second ? fallback : undefined)));
    const result = await stream.result;
    expect(result).toMatchObject({
      content: text,
      model: 'gpt-3.5-turbo',
      fallbackUsed: true,
      attempts: [{ class: 'stream_cut' }, { class: 'ok' }],
    });
    expect(result.completion.choices).toMatchObject([{ message: { role: 'assistant', content: text } }]);
    // 14 characters of the first, four tokens by our count; ten deltas of the second, what it repeats among them.
    expect(result.usage).toMatchObject({ prompt_tokens: 9, completion_tokens: 4 + Math.ceil(text.length / 5) });
  });

  it('goes on in its text, as an Observable, and in a result that is awaited alone', async () => {
    await using stage = await twoModels(breaks, tells(text));
    await using host = await contextOf(stage.options);
    expect(await textOf(host.models.stream('Hi'))).toBe(text);
    const all = await lastValueFrom(host.models.stream('Hi').asObservable().pipe(toArray()));
    expect(all.map(({ delta }) => delta).join('')).toBe(text);
    expect(await host.models.stream('Hi').result).toMatchObject({ content: text });
  });

  it.each([
    { why: 'while the next model is silent', next: reply.hang() },
    { why: 'while the next one speaks', next: tells(text, { until: 24, by: 'stall' }) },
  ])('is left at once, $why', async ({ next }) => {
    await using stage = await twoModels(breaks, next);
    await using host = await contextOf(stage.options);
    const stream = host.models.stream('Hi');
    const second = stage.second.waitForCall(1);
    const iterator = stream[Symbol.asyncIterator]();
    await iterator.next();
    const { ended } = await second;
    const leftAtMs = performance.now();
    await iterator.return?.();
    const { how, atMs } = await ended;
    expect(how).toBe('left');
    expect(atMs - leftAtMs).toBeLessThan(100);
    expect(await rejectionOf(stream.result)).toMatchObject({ name: 'AbortError' });
  });
});

describe('a stream that fails', () => {
  it('before its first token throws from the loop, every attempt told', async () => {
    await using stage = await twoModels(reply.error(500), reply.error(500));
    await using host = await contextOf(stage.options);
    const stream = host.models.stream('Hi');
    const error = await rejectionOf(textOf(stream));
    expect(error).toBeInstanceOf(FallbackExhaustedError);
    expect(error).toMatchObject({ attempts: [{ class: 'server_error' }, { class: 'server_error' }] });
    expect(await rejectionOf(stream.result)).toBe(error);
  });

  it('after its first token gives the text so far, then throws: never silently short', async () => {
    await using stage = await twoModels(
      reply.text(['one ', 'two'], { breakAfter: { deltas: 1, by: 'cut' } }),
      reply.error(500),
    );
    await using host = await contextOf({
      ...stage.options,
      policy: { ...stage.options.policy, stream: { onBreak: 'error' } },
    });
    let text = '';
    const stream = host.models.stream('Hi');
    const error = await rejectionOf(
      (async () => {
        for await (const { delta } of stream) text += delta;
      })(),
    );
    expect(text).toBe('one ');
    expect(error).toMatchObject({ attempts: [{ model: 'gpt-4', class: 'stream_cut' }] });
    expect(await rejectionOf(stream.result)).toBe(error);
  });

  it('and whom nobody listens to troubles nobody', async () => {
    await using stage = await twoModels(reply.error(500), reply.error(500));
    await using host = await contextOf(stage.options);
    host.models.stream('Hi');
    host.models.stream('');
    host.models.stream('Hi', { chain: 'nobody' });
    const call = await stage.second.waitForCall(1);
    await call.ended;
  });
});
