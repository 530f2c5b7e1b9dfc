/**
 * A model that knows one text by heart: asked the question, it tells all of it; asked to go on with a part of it, it
 * repeats what it was asked for (or otherwise, see `Repeat`) and tells the rest. Breaks where it is told to.
 */
import { asArray, asObject } from '../../src/simulation/json-value.js';
import type { JsonObject } from '../../src/simulation/json-value.js';
import { anchorOf } from '../../src/stream/seam.js';
import type { Played } from './models-in-memory.js';

/**
 * `asked`: exactly the words asked for; `all`: the text from its start; `changed`: the words with other white space and
 * quotes; `little`: only the last word of them.
 */
export type Repeat = 'asked' | 'all' | 'changed' | 'little';
export type BreakBy = 'cut' | 'reset' | 'malformed' | 'error' | 'stall';

/** How one answer is told. */
export interface Telling {
  readonly repeat: Repeat;
  /** Sizes of the deltas in UTF-16 units, used in turn. */
  readonly deltaChars: readonly number[];
  /** Sizes of the packets, used in turn. */
  readonly packetBytes: readonly number[];
  /** How many thoughts come before the text. */
  readonly thoughts: number;
  /** Everything but ASCII as `\uXXXX`. */
  readonly isEscaped: boolean;
  readonly lineEnd: '\n' | '\r\n';
  readonly withComments: boolean;
  readonly end: 'finish and done' | 'finish' | 'done';
  readonly reportsUsage: boolean;
  /** Breaks after this share (0 to 1) of its deltas, in the middle of an event or after it. */
  readonly breaks?: { readonly after: number; readonly by: BreakBy; readonly inEvent: boolean };
  /** A request to go on in another way than by prompt is refused. */
  readonly refusesWay?: boolean;
}

export const QUESTION: JsonObject = { role: 'user', content: 'Tell me.' };
export const REPORTED = { prompt_tokens: 11, completion_tokens: 7, total_tokens: 18 };

/** What the model is asked to go on with; undefined: it is asked the question. */
export interface AskedToGoOn {
  readonly text: string;
  readonly way: 'prompt' | 'prefix' | 'vllm';
  /** By prompt: the words that it is to repeat. */
  readonly words: string;
}

/** @throws where the request is neither the question nor one of the three ways of going on. */
export function readAsked(body: JsonObject, question = QUESTION): AskedToGoOn | undefined {
  const [asked, soFar, instruction, ...more] = asArray(body['messages']).map(asObject);
  if (JSON.stringify(asked) !== JSON.stringify(question) || more.length > 0) throw new Error('not what was asked');
  if (!soFar) return undefined;
  const { role, content: text, prefix } = soFar;
  if (role !== 'assistant' || typeof text !== 'string') throw new Error('no text to go on with');
  if (!instruction) {
    if (prefix === true) return { text, way: 'prefix', words: '' };
    if (body['continue_final_message'] === true && body['add_generation_prompt'] === false) {
      return { text, way: 'vllm', words: '' };
    }
    throw new Error('no way to go on that is known');
  }
  const said = String(instruction['content']);
  const words = said.slice(said.indexOf('\n\n') + 2);
  if (instruction['role'] !== 'user' || words === '' || !text.endsWith(words)) throw new Error('no words to repeat');
  return { text, way: 'prompt', words };
}

/** @returns what the model says, its repeat included: what was asked for where another repeat could be read in two ways. */
export function answerOf(whole: string, asked: AskedToGoOn | undefined, repeat: Repeat): string {
  if (!asked) return whole;
  const rest = whole.slice(asked.text.length);
  if (asked.way !== 'prompt') return rest;
  const repeated = repeatOf(asked, repeat);
  return repeated !== undefined && hasOneReading(asked.text, repeated, rest) ? repeated + rest : asked.words + rest;
}

/** Whether a model that goes straight on could be taken for one that repeats. */
export function seemsToRepeat({ text, way }: AskedToGoOn, answer: string): boolean {
  if (way === 'prompt') return false;
  const lastWords = anchorOf(text);
  const standOnce = text.indexOf(lastWords) === text.length - lastWords.length;
  return answer.startsWith(text) || (standOnce && answer.startsWith(lastWords));
}

function repeatOf({ text, words }: AskedToGoOn, repeat: Repeat): string | undefined {
  switch (repeat) {
    case 'asked':
      return words;
    case 'all':
      return text;
    case 'changed':
      return changed(words);
    case 'little':
      return /(?<=\s)\S{3,}\s*$/u.exec(words)?.[0];
    default:
      return repeat satisfies never;
  }
}

/** Other white space between the words, other quotes; what stands at the end stays. */
function changed(words: string): string {
  const core = words.trimEnd();
  const other = core
    .replaceAll('"', '\u201c')
    .replaceAll("'", '\u2019')
    .replace(/\s+/gu, (blank) => `${blank}\n`);
  return other + words.slice(core.length);
}

/** Whether what is said fits the end of the text from one place alone. */
function hasOneReading(text: string, repeated: string, rest: string): boolean {
  const said = repeated + rest;
  if (repeated === text) return text === anchorOf(text) || !said.startsWith(anchorOf(text));
  if (said.startsWith(text)) return false;
  const plain = plainOf(text.trimEnd());
  const saidPlain = plainOf(said);
  const places = Array.from({ length: plain.length }, (_, from) => from).filter((from) => plain[from] !== ' ');
  return places.filter((from) => saidPlain.startsWith(plain.slice(from))).length === 1;
}

function plainOf(text: string): string {
  return text
    .trimStart()
    .replace(/\s+/gu, ' ')
    .replace(/[\u2018-\u201b\u2032\u00b4]/gu, "'")
    .replace(/[\u201c-\u201f\u2033\u00ab\u00bb]/gu, '"');
}

/** The bytes of an answer. @param id of the stream. @param wantsUsage the caller asked for it. */
export function tell(answer: string, telling: Telling, id: string, wantsUsage: boolean): Played {
  const { breaks, thoughts, withComments } = telling;
  const deltas = [
    ...Array.from({ length: thoughts }, (_, n) => ({ reasoning_content: `thought ${n} ` })),
    ...inPieces(answer, telling.deltaChars).map((content) => ({ content })),
  ];
  const kept = breaks ? deltas.slice(0, Math.floor(breaks.after * (deltas.length + 1))) : deltas;
  const event = (payload: unknown) => eventOf(payload, telling);
  const chunk = (delta: object, finish: string | null = null) =>
    event({ id, object: 'chat.completion.chunk', created: 5, model: 'm', choices: [choiceOf(delta, finish)] });
  const comment = withComments ? `: still here${telling.lineEnd}${telling.lineEnd}` : '';
  const events = [chunk({ role: 'assistant', content: '' }), ...kept.map((delta) => comment + chunk(delta))];
  if (!breaks) {
    if (telling.end !== 'done') events.push(chunk({}, 'stop'));
    if (telling.reportsUsage && wantsUsage) events.push(event({ id, choices: [], usage: REPORTED }));
    if (telling.end !== 'finish') events.push(`data: [DONE]${telling.lineEnd}${telling.lineEnd}`);
  } else if (breaks.by === 'malformed') events.push(event({ id }).replace('{', '{{'));
  else if (breaks.by === 'error') {
    events.push(event({ error: { message: 'broken', type: 'server_error', code: null, param: null } }));
  } else if (breaks.inEvent) {
    const half = chunk({ content: 'half' });
    events.push(half.slice(0, half.length / 2));
  }
  const bytes = Buffer.from(events.join(''));
  return { pieces: packets(bytes, telling.packetBytes), end: breaks ? END_OF[breaks.by] : 'close' };
}

const END_OF = { cut: 'close', reset: 'reset', malformed: 'hang', error: 'hang', stall: 'hang' } as const;

function choiceOf(delta: object, finish_reason: string | null): object {
  return { index: 0, delta, finish_reason };
}

function eventOf(payload: unknown, { isEscaped, lineEnd }: Telling): string {
  const json = JSON.stringify(payload);
  return `data: ${isEscaped ? escaped(json) : json}${lineEnd}${lineEnd}`;
}

function escaped(json: string): string {
  return json.replace(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

function inPieces(text: string, sizes: readonly number[]): string[] {
  const pieces: string[] = [];
  for (let at = 0; at < text.length;) {
    const size = sizes[pieces.length % sizes.length] ?? 1;
    pieces.push(text.slice(at, at + size));
    at += size;
  }
  return pieces;
}

function packets(bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < bytes.length;) {
    const size = sizes[pieces.length % sizes.length] ?? 1;
    pieces.push(bytes.subarray(at, at + size));
    at += size;
  }
  return pieces;
}
