/**
 * Whatever the text, however it is cut into chunks and packets, wherever and however often its stream breaks: the caller
 * holds exactly the text, as one stream.
 */
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { createParser } from 'eventsource-parser';
import { describe, expect, it } from 'vitest';
import type { RequestResult, RequestSink, RequestSoFar, RunningRequest } from '../../src/chain/chain-request.js';
import { bodyFromParams } from '../../src/chain/chat-body.js';
import type { AttemptFinished } from '../../src/chain/events.js';
import type { FallbackOptions } from '../../src/config/options.js';
import { asArray, asObject } from '../../src/simulation/json-value.js';
import type { JsonObject } from '../../src/simulation/json-value.js';
import { NEVER_OPENS, PAYS_FOR_ALL } from '../app/policies.js';
import { stageInMemory } from './models-in-memory.js';
import type { MemoryStage, Played } from './models-in-memory.js';
import { answerOf, QUESTION, readAsked, REPORTED, seemsToRepeat, tell } from './telling-model.js';
import type { Telling } from './telling-model.js';

interface Run {
  readonly text: string;
  /** How each model of the chain is asked to go on. */
  readonly ways: readonly ('prompt' | 'prefix' | 'vllm')[];
  /** What the first attempts do, in order; all others tell as `last` says. */
  readonly broken: readonly Telling[];
  readonly last: Telling;
  readonly wantsUsage: boolean;
  /** The caller stops reading after every so many pieces, for longer than any silence may last. */
  readonly pausesAfter: number;
}

const words = fc.array(fc.constantFrom('the', 'cat', 'a', 'an', 'it’s', '"so"', 'über', '日本', '🙂🙃', '42', '3.14'), {
  maxLength: 40,
});
const texts = fc
  .array(
    fc.oneof(
      fc.string({ unit: 'binary', maxLength: 80 }),
      fc.string({ unit: 'grapheme', maxLength: 80 }),
      fc.json({ maxDepth: 3 }),
      words.map((list) => list.join(' ')),
      words.map((list) => list.map((word, n) => '  '.repeat(n % 4) + `if (${word}) { return '${word}'; }`).join('\n')),
      fc
        .tuple(fc.constantFrom('a', ' ', '\n', '-', '🙂', '"', '\\', 'ab ', '0'), fc.nat(150))
        .map(([one, n]) => one.repeat(n)),
    ),
    { minLength: 1, maxLength: 4 },
  )
  .map((parts) => parts.join(''))
  .filter((joined) => joined !== '');

const sizes = (max: number) => fc.array(fc.integer({ min: 1, max }), { minLength: 1, maxLength: 4 });
const tellings: fc.Arbitrary<Telling> = fc.record({
  repeat: fc.constantFrom('asked' as const, 'all' as const, 'changed' as const, 'little' as const),
  deltaChars: sizes(30),
  packetBytes: fc.oneof(sizes(60), sizes(4_000)),
  thoughts: fc.constantFrom(0, 0, 0, 2),
  isEscaped: fc.boolean(),
  lineEnd: fc.constantFrom('\n' as const, '\r\n' as const),
  withComments: fc.boolean(),
  end: fc.constantFrom('finish and done' as const, 'finish' as const, 'done' as const),
  reportsUsage: fc.boolean(),
});
const breaking = fc.tuple(
  tellings,
  fc.record({
    // Doubles are drawn by their bits: almost all of them would be next to nothing.
    after: fc.nat(999).map((thousandths) => thousandths / 1_000),
    by: fc.constantFrom('cut' as const, 'reset' as const, 'malformed' as const, 'error' as const, 'stall' as const),
    inEvent: fc.boolean(),
  }),
  fc.boolean(),
);
const runs: fc.Arbitrary<Run> = fc.record({
  text: texts,
  ways: fc.array(fc.constantFrom('prompt' as const, 'prompt' as const, 'prefix' as const, 'vllm' as const), {
    minLength: 2,
    maxLength: 4,
  }),
  broken: fc.array(
    breaking.map(([how, breaks, refusesWay]) => ({ ...how, breaks, refusesWay })),
    { maxLength: 6 },
  ),
  last: tellings,
  wantsUsage: fc.boolean(),
  pausesAfter: fc.constantFrom(0, 0, 3, 20),
});

const REFUSAL: Played = {
  status: 400,
  pieces: [
    Buffer.from('{"error":{"message":"no prefill","type":"invalid_request_error","code":null,"param":"messages"}}'),
  ],
  end: 'close',
};

function optionsOf({ ways }: Run): FallbackOptions {
  const names = ways.map((_, n) => `m${n}`);
  return {
    providers: { p: { baseUrl: 'http://127.0.0.1:1/v1' } },
    models: Object.fromEntries(ways.map((continuation, n) => [`m${n}`, { provider: 'p', continuation }])),
    chains: { default: names },
    policy: {
      maxRetries: 10,
      timeoutMs: 5_000,
      deadlineMs: 60_000,
      backoff: { baseMs: 1, maxMs: 1 },
      stream: { ttftMs: 1_500, idleMs: 500 },
      breaker: NEVER_OPENS,
      retryBudget: PAYS_FOR_ALL,
    },
  };
}

/** Who reads the stream, as an official client would. */
class Caller implements RequestSink {
  readonly chunks: JsonObject[] = [];
  text = '';
  /** The models that wrote, in order. */
  readonly writers: string[] = [];
  running: RunningRequest | undefined;
  result: RequestResult | undefined;
  finishes = 0;
  /** Output tokens of those whose text was delivered before they broke. */
  writtenTokens = 0;
  #isWriting = false;
  readonly #stage: MemoryStage;
  readonly #pausesAfter: number;
  readonly #parser = createParser({ onEvent: ({ data }) => this.#take(asObject(JSON.parse(data))) });
  readonly #decoder = new TextDecoder();
  #pieces = 0;

  constructor(stage: MemoryStage, pausesAfter: number) {
    this.#stage = stage;
    this.#pausesAfter = pausesAfter;
  }

  onCommit({ model = '' }: RequestSoFar): void {
    this.writers.push(model);
    this.#isWriting = true;
  }

  onResume(soFar: RequestSoFar): void {
    this.onCommit(soFar);
  }

  /** While one writes, no other runs. */
  onAttemptFinished({ failure, usage }: AttemptFinished): void {
    if (!failure || !this.#isWriting) return;
    this.#isWriting = false;
    this.writtenTokens += usage.outputTokens;
  }

  onBytes(bytes: Uint8Array): void {
    expect(this.result).toBeUndefined();
    this.#parser.feed(this.#decoder.decode(bytes, { stream: true }));
    if (this.#pausesAfter === 0 || ++this.#pieces % this.#pausesAfter !== 0) return;
    this.running?.pause();
    this.#stage.clock.setTimer(2_000, () => this.running?.resume());
  }

  onFinish(result: RequestResult): void {
    this.result = result;
    this.finishes++;
  }

  get choices(): JsonObject[] {
    return this.chunks.flatMap(({ choices }) => asArray(choices).map(asObject));
  }

  #take(chunk: JsonObject): void {
    this.chunks.push(chunk);
    const delta = asObject(asObject(asArray(chunk['choices'])[0])['delta']);
    if (typeof delta['content'] === 'string') this.text += delta['content'];
  }
}

interface Played1 {
  readonly caller: Caller;
  readonly attempts: readonly AttemptFinished[];
  readonly isUnambiguous: boolean;
}

async function play(one: Run): Promise<Played1> {
  let calls = 0;
  let isUnambiguous = true;
  const refused = new Set<string>();
  const stage = stageInMemory(optionsOf(one), (model, body) => {
    const number = calls++;
    const telling = one.broken[number] ?? one.last;
    const asked = readAsked(body);
    // What the caller holds is what is gone on from; half a character is asked for anew.
    const held = caller.text.replace(/[\ud800-\udbff]$/, '');
    if (asked) expect(asked.text).toBe(held);
    else expect(held).toBe('');
    if (asked && asked.way !== 'prompt' && telling.refusesWay === true && !refused.has(model)) {
      refused.add(model);
      return REFUSAL;
    }
    if (asked) expect(refused.has(model) && asked.way !== 'prompt').toBe(false);
    const answer = answerOf(one.text, asked, telling.repeat);
    if (asked && seemsToRepeat(asked, answer)) isUnambiguous = false;
    return tell(answer, telling, `id-${number}`, body['stream_options'] !== undefined);
  });
  const attempts: AttemptFinished[] = [];
  const caller = new Caller(stage, one.pausesAfter);
  stage.events.on('attempt.finished', (attempt) => {
    attempts.push(attempt);
    caller.onAttemptFinished(attempt);
  });
  const params = {
    messages: [QUESTION],
    stream: true,
    ...(one.wantsUsage && { stream_options: { include_usage: true } }),
  };
  caller.running = stage.engine.startChat({ requestId: 'r', route: {}, body: bodyFromParams(params) }, caller);
  for (let idle = 0; !caller.result && idle < 3; idle++) {
    while (!caller.result && stage.clock.step()) {
      idle = 0;
      await turn();
    }
    await turn();
  }
  return { caller, attempts, isUnambiguous };
}

describe('a stream that breaks, and goes on, and breaks again', () => {
  it('holds exactly the text, under one id, with one finish', async () => {
    await fc.assert(
      fc.asyncProperty(runs, async (one) => {
        const { caller, attempts, isUnambiguous } = await play(one);
        fc.pre(isUnambiguous);
        expect(caller.result?.verdict.type).toBe('answered');
        expect(caller.finishes).toBe(1);
        expect(caller.text).toBe(one.text);
        expect(new Set(caller.chunks.map(({ id }) => id)).size).toBe(1);
        const finishes = caller.choices.map((choice) => choice['finish_reason']).filter((reason) => reason !== null);
        expect(finishes).toEqual(['stop']);
        expectSwitches(caller);
        expectUsage(one, caller, attempts);
      }),
      { numRuns: 1_500 },
    );
  }, 60_000);
});

/** The first chunk of each model after the first says whom it follows; no other does. */
function expectSwitches({ chunks, writers }: Caller): void {
  const told = chunks.flatMap(({ fallback }) => (fallback === undefined ? [] : [asObject(fallback)]));
  expect(told.map(({ from, to }) => [from, to])).toEqual(writers.slice(1).map((to, n) => [writers[n], to]));
}

/** Input of the attempt that finished, output of all whose text was delivered. */
function expectUsage({ wantsUsage }: Run, caller: Caller, attempts: readonly AttemptFinished[]): void {
  const told = caller.chunks.flatMap(({ usage }) => (usage === undefined || usage === null ? [] : [asObject(usage)]));
  expect(told).toHaveLength(wantsUsage ? 1 : 0);
  const finisher = attempts.at(-1);
  if (!wantsUsage || !finisher) return;
  const [usage] = told;
  if (finisher.usage.reported) expect(usage?.['prompt_tokens']).toBe(REPORTED.prompt_tokens);
  expect(usage?.['prompt_tokens']).toBe(finisher.usage.inputTokens);
  expect(usage?.['completion_tokens']).toBe(caller.writtenTokens + finisher.usage.outputTokens);
  expect(usage?.['total_tokens']).toBe(Number(usage?.['prompt_tokens']) + Number(usage?.['completion_tokens']));
}
