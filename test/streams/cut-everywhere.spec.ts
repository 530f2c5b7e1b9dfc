/**
 * One answer, whose stream breaks at every one of its bytes, cleanly and by reset, on real sockets, through the running
 * gateway: where another model is left the caller holds the whole answer, where none is, one error says what happened.
 */
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { asArray, asObject, parseJsonObject } from '../../src/simulation/json-value.js';
import type { JsonObject } from '../../src/simulation/json-value.js';
import { listenOnLoopback, readBody } from '../../src/simulation/loopback-server.js';
import type { LoopbackServer } from '../../src/simulation/loopback-server.js';
import { askGateway } from '../app/ask-gateway.js';
import type { CallerView } from '../app/ask-gateway.js';
import { NEVER_OPENS, PAYS_FOR_ALL } from '../app/policies.js';
import { startGateway } from '../app/start-gateway.js';
import type { RunningGateway } from '../app/start-gateway.js';
import { answerOf, readAsked, tell } from './telling-model.js';
import type { Telling } from './telling-model.js';

const SECTION = [
  'Die Antwort ist 3.14159, „ungefähr“. 日本語でも\u3002 🙂🙃👩‍👩‍👧 geht es weiter:\n\n',
  '```ts\nif (open) {\n    return { "state": "half-open", tries: [1, 2, 3] };\n}\n```\n\n',
  'And so on and on and on and on, until it is done: ',
  `${'a'.repeat(60)}.\n\n`,
].join('');
const TEXT = Array.from({ length: 8 }, (_, n) => `## ${n + 1}\n\n${SECTION}`).join('');

const TELLING: Telling = {
  repeat: 'asked',
  // Odd sizes, so that pairs of surrogates are parted, too.
  deltaChars: [171, 43, 313, 1, 199],
  packetBytes: [100_000],
  thoughts: 1,
  isEscaped: false,
  lineEnd: '\n',
  withComments: false,
  end: 'finish and done',
  reportsUsage: true,
};

const bytesOf = (answer: string, id: string): Buffer => Buffer.concat(tell(answer, TELLING, id, true).pieces);
const ANSWER = bytesOf(TEXT, 'chatcmpl-first');
/** From here on all that matters has been said. */
const FINISHED_AT = ANSWER.indexOf('"finish_reason":"stop"') + '"finish_reason":"stop"}]}'.length;
const BY = ['cut', 'reset'] as const;
/** On two busy cores. */
const LIMIT_MS = 120_000;
/** Requests that are under way at once. */
const ABREAST = 48;

let models: LoopbackServer;
let gateway: RunningGateway;
beforeAll(async () => {
  models = await listenOnLoopback(
    createServer((request, response) => void play(request, response).catch(() => response.destroy())),
  );
  gateway = await startGateway({
    config: {
      providers: { p: { baseUrl: `${models.origin}/v1` } },
      models: { breaking: { provider: 'p' }, telling: { provider: 'p' } },
      chains: { default: ['breaking', 'telling'], alone: ['breaking'] },
      policy: { maxRetries: 0, breaker: NEVER_OPENS, retryBudget: PAYS_FOR_ALL },
      health: { intervalMs: 3_600_000 },
    },
    env: { FALLBACK_LOG_LEVEL: 'silent' },
  });
}, 30_000);
afterAll(async () => {
  await gateway?.stop();
  await models?.close();
});

/** The question says where the first model breaks, and how. */
const questionOf = (at: number, by: (typeof BY)[number]): JsonObject => ({ role: 'user', content: `${at} ${by}` });

async function play(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = parseJsonObject((await readBody(request)) ?? Buffer.alloc(0)) ?? {};
  const question = asObject(asArray(body['messages'])[0]);
  const [at, by] = String(question['content']).split(' ');
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.flushHeaders();
  if (body['model'] === 'telling') {
    response.end(bytesOf(answerOf(TEXT, readAsked(body, question), 'asked'), 'chatcmpl-second'));
  } else if (by === 'cut') response.end(ANSWER.subarray(0, Number(at)));
  else response.write(ANSWER.subarray(0, Number(at)), () => response.socket?.resetAndDestroy());
}

/** Asks once per place, many at a time. @param judge of an answer; what it throws fails the test with the place. */
async function breakEverywhere(
  model: string,
  byAt: (at: number) => (typeof BY)[number],
  judge: (view: CallerView, at: number) => void,
): Promise<void> {
  let next = 0;
  const askOn = async (): Promise<void> => {
    for (let at = next++; at <= ANSWER.length; at = next++) {
      const by = byAt(at);
      const body = { model, messages: [questionOf(at, by)], stream: true, stream_options: { include_usage: true } };
      const view = await askGateway(gateway.url, body);
      try {
        judge(view, at);
      } catch (error) {
        throw new Error(`broken at byte ${at} by ${by}: ${view.body.slice(-600)}`, { cause: error });
      }
    }
  };
  await Promise.all(Array.from({ length: ABREAST }, askOn));
}

function expectOneEnd({ status, isWhole, events, body }: CallerView, end: 'done' | 'error'): void {
  expect([status, isWhole]).toEqual([200, true]);
  expect(body.endsWith('\n\n')).toBe(true);
  const ends = events.filter(({ kind }) => kind === 'done' || kind === 'error');
  expect(ends.map(({ kind }) => kind)).toEqual([end]);
  expect(ends[0]).toBe(events.at(-1));
}

describe('a stream that is broken at every byte of a 5 kB answer', () => {
  it('has as many bytes as that', () => {
    expect(ANSWER.length).toBeGreaterThan(4_500);
    expect(ANSWER.length).toBeLessThan(6_000);
  });

  it.each(BY)(
    'by %s, is whole where another model goes on: the text, one id, one finish, one end',
    { timeout: LIMIT_MS },
    async (by) => {
      await breakEverywhere(
        'default',
        () => by,
        (view, at) => {
          expectOneEnd(view, 'done');
          expect(view.text).toBe(TEXT);
          expect(view.finishReason).toBe('stop');
          expect(view.usageTotal).toBeGreaterThan(0);
          const chunks = view.events.flatMap(({ kind, data }) => (kind === 'done' ? [] : [asObject(JSON.parse(data))]));
          expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
          const first = view.headers['x-fallback-model'] === 'breaking';
          const switches = chunks.filter(({ fallback }) => asObject(fallback)['from'] === 'breaking');
          expect(switches).toHaveLength(first && at < FINISHED_AT ? 1 : 0);
        },
      );
    },
  );

  it(
    'ends in one error where nobody is left, unless it had finished, broken the one way and the other by turns',
    { timeout: LIMIT_MS },
    async () => {
      await breakEverywhere(
        'alone',
        (at) => BY[at % 2] ?? 'cut',
        (view, at) => {
          if (at >= FINISHED_AT) {
            expectOneEnd(view, 'done');
            expect(view.text).toBe(TEXT);
          } else if (view.status === 200) {
            expectOneEnd(view, 'error');
            expect(TEXT.startsWith(view.text)).toBe(true);
            expect(view.error?.['message']).toContain(`after ${view.text.length} characters`);
            expect(asArray(view.error?.['attempts'])).toHaveLength(1);
          } else {
            expect([view.status, view.isWhole, view.text]).toEqual([502, true, '']);
            expect(asArray(view.error?.['attempts'])).toHaveLength(1);
          }
        },
      );
    },
  );
});
