/**
 * Three models that say the same texts, of which the first breaks in one stream of five, and the second in one of five
 * that it goes on with: before or after the first token, in every way that a stream can break.
 *
 * Chance is drawn from what is asked, so that a seed plays the same in whatever order requests arrive. Every stream stops
 * half way at a gate, so that as many as one likes are open at once; it may be opened and shut again.
 */
import type { ServerResponse } from 'node:http';
import { asArray, asObject } from '../../src/simulation/json-value.js';
import type { JsonObject } from '../../src/simulation/json-value.js';
import { readContinuation } from '../../src/simulation/continued-answer.js';
import { hashText, seededRandom } from '../../src/simulation/latency-profile.js';
import { untilGone, waitFor, writeJson, writeSlowly } from '../../src/simulation/loopback-server.js';
import { sseEvent, SSE_DONE, SSE_HEADERS } from '../../src/simulation/openai-wire.js';
import { startCountedServer, type CountedServer } from './counted-server.js';

/** The first model goes by two names, so that its silences can be made short. */
export const CHAINS = { default: ['first', 'second', 'third'], silences: ['silent', 'second', 'third'] } as const;

const AFTER = ['cut', 'reset', 'stall', 'error event', 'malformed'] as const;
const BEFORE = ['status', ...AFTER] as const;

export interface Break {
  readonly place: 'before' | 'after';
  readonly how: (typeof BEFORE)[number];
  /** Of what the model says, 0 to 1; it breaks there. */
  readonly at: number;
}

/** What is to happen to one stream, by what was asked. */
export interface Fate {
  readonly text: string;
  /** By the order of the models; shorter than that list: the rest is sound. */
  readonly breaks: readonly Break[];
  /** To be asked: `silences` where it will stall. */
  readonly chain: keyof typeof CHAINS;
}

export interface BreakingModels extends CountedServer {
  fateOf(question: string): Fate;
  /** Lets every stream on that waits half way, and those that come there until it is shut. */
  openGate(): void;
  shutGate(): void;
}

const BROKEN_SHARE = 0.2;
/** Words that are long or short in bytes, need escapes in JSON, look like other things, and repeat. */
const WORDS = [
  'the',
  'the',
  'a',
  'fox',
  'naïve',
  '数据',
  '😀',
  '"quoted"',
  'C:\\dir',
  '\n\n',
  '3.14',
  '{"k":[1]}',
  'so',
  '…',
];
const WORDS_PER_TEXT = 40;
const MOST_CHARS_PER_DELTA = 16;
const PACE_MS = 10;

export async function startBreakingModels(seed: number): Promise<BreakingModels> {
  const gate = new Gate();
  const fateOf = (question: string) => drawFate(question, seed);
  const server = await startCountedServer(async (body, response) => {
    const asked = readAsked(body);
    const fate = fateOf(asked.question);
    const model = String(body['model']);
    const planned =
      fate.breaks[
        Math.max(
          0,
          [...CHAINS.default].findIndex((name) => name === model),
        )
      ];
    await play({ ...asked, id: `${model}-${asked.question}`, text: fate.text }, planned, gate, response);
  });
  return { ...server, fateOf, openGate: () => gate.open(), shutGate: () => gate.shut() };
}

function drawFate(question: string, seed: number): Fate {
  const random = seededRandom(hashText(`${seed} ${question}`));
  const breaks: Break[] = [];
  while (breaks.length < CHAINS.default.length - 1 && random() < BROKEN_SHARE) {
    const place = random() < 0.5 ? 'before' : 'after';
    const ways = place === 'before' ? BEFORE : AFTER;
    const how = ways[Math.floor(random() * ways.length)] ?? 'cut';
    // Who stalls does so before the gate, where others may have to wait for longer than that; and it is enough once.
    const at = how === 'stall' ? random() / 2 : random();
    if (how !== 'stall' || breaks.length === 0) breaks.push({ place, how, at });
  }
  const words = Array.from({ length: WORDS_PER_TEXT }, () => WORDS[Math.floor(random() * WORDS.length)]);
  const chain = breaks[0]?.how === 'stall' ? 'silences' : 'default';
  return { text: `${question}: ${words.join(' ')}`, breaks, chain };
}

interface Asked {
  readonly question: string;
  /** What the caller holds, and what is to be repeated of it. */
  readonly soFar: string;
  readonly lastWords: string;
}

function readAsked(body: JsonObject): Asked {
  const texts = asArray(body['messages']).map((message) => String(asObject(message)['content']));
  const continuation = readContinuation(body, texts);
  return { question: texts[0] ?? '', soFar: continuation?.text ?? '', lastWords: continuation?.lastWords ?? '' };
}

async function play(
  { text, soFar, lastWords, id }: Asked & { readonly text: string; readonly id: string },
  planned: Break | undefined,
  gate: Gate,
  response: ServerResponse,
): Promise<void> {
  const chunk = (delta: object, finishReason: string | null = null) =>
    sseEvent({
      id,
      object: 'chat.completion.chunk',
      created: 0,
      model: id,
      choices: [{ index: 0, delta, finish_reason: finishReason }],
    });
  if (!text.startsWith(soFar)) return writeJson(response, 400, { error: { message: `no text of mine: ${soFar}` } });
  if (planned?.place === 'before' && planned.how === 'status') return writeJson(response, 500, {});
  response.writeHead(200, SSE_HEADERS);
  response.write(chunk({ role: 'assistant', content: '' }));
  if (planned?.place === 'before') return breakOff(planned.how, response);
  const deltas = cutUp(lastWords + text.slice(soFar.length), hashText(id));
  const breakAt = planned === undefined ? Infinity : 1 + Math.floor(planned.at * (deltas.length - 1));
  const gateAt = Math.floor(deltas.length / 2);
  for (const [index, content] of deltas.entries()) {
    if (index === breakAt && planned !== undefined) return breakOff(planned.how, response);
    if (index === gateAt) await gate.pass(response);
    if (index > 0 && !(await waitFor(response, PACE_MS))) return;
    if (!(await writeSlowly(response, chunk({ content })))) return;
  }
  response.end(chunk({}, 'stop') + SSE_DONE);
}

async function breakOff(how: Break['how'], response: ServerResponse): Promise<void> {
  if (how === 'reset') response.socket?.resetAndDestroy();
  else if (how === 'stall') await untilGone(response);
  else if (how === 'cut') response.end();
  else if (how === 'malformed') response.write('data: {"choices":[{"index":0,"delta":{"con\n\n');
  else response.write(sseEvent({ error: { message: 'broke off', type: 'server_error', code: null, param: null } }));
}

/** Into pieces of random lengths that split no character. */
function cutUp(text: string, seed: number): string[] {
  const random = seededRandom(seed);
  const characters = Array.from(text);
  const deltas: string[] = [];
  for (let at = 0; at < characters.length;) {
    const length = 1 + Math.floor(random() * MOST_CHARS_PER_DELTA);
    deltas.push(characters.slice(at, at + length).join(''));
    at += length;
  }
  return deltas;
}

class Gate {
  #isOpen = false;
  readonly #waiting = new Set<() => void>();

  open(): void {
    this.#isOpen = true;
    for (const goOn of this.#waiting) goOn();
  }

  shut(): void {
    this.#isOpen = false;
  }

  /** Resolves when it is open, or the client has left. */
  async pass(response: ServerResponse): Promise<void> {
    if (this.#isOpen || response.destroyed) return;
    await new Promise<void>((resolve) => {
      const goOn = () => {
        this.#waiting.delete(goOn);
        response.off('close', goOn);
        resolve();
      };
      this.#waiting.add(goOn);
      response.once('close', goOn);
    });
  }
}
