/**
 * The next model's stream as a part of the first one's: the same id, nothing twice at the seam, one usage for all.
 *
 * Takes whole events as the stream reader gives them out and writes each anew; that costs a few microseconds an event,
 * and only a stream that broke pays it. Until the seam is found, nothing goes out. Reasoning of a model that goes on in
 * the middle of a text is left out: the caller is past it.
 */
import { isJsonObject, isObjectList, textOf, type JsonObject } from './chat-chunk.js';
import { encodeEvent } from './chunk-repair.js';
import { Seam } from './seam.js';
import { readSseEvent, SseScanner } from './sse-scanner.js';
import { TextTrail } from './text-trail.js';

export interface ContinuedStreamOptions {
  /** What the next model was asked to go on with; null: the answer begins anew. */
  readonly text: string | null;
  /** Half a character that the caller holds beyond that text (a high surrogate); the model says it whole. */
  readonly half?: string;
  /** The model was asked to repeat the last words. */
  readonly isAsked: boolean;
  /** One that repeats nothing is given up; otherwise its text is taken as it comes. */
  readonly mustProve: boolean;
  /** Of the stream that the caller reads; null: it named none. */
  readonly id: string | null;
  /** Goes out with the first event. */
  readonly fallback: { readonly from: string; readonly to: string; readonly reason: string };
  /** Output tokens of the attempts before, whose text was delivered. */
  readonly tokensBefore: number;
}

const REASONING_FIELDS = ['reasoning', 'reasoning_content', 'reasoning_details'];
/** Answers that are no text: whoever gives one has repeated nothing. */
const OTHER_ANSWERS = ['refusal', 'function_call', 'audio', 'images'];

export class ContinuedStream {
  /** `unproven`: it had to repeat something and did not; nothing of it goes out. */
  state: 'holding' | 'unproven' | 'open';
  readonly #options: ContinuedStreamOptions;
  readonly #scanner = new SseScanner();
  readonly #seam: Seam | null;
  readonly #trail = new TextTrail();
  readonly #out: Uint8Array[] = [];
  /** What the next text begins with that the caller holds already. */
  #half: string;
  #isFirst = true;
  /** Usage that came while all was held: some tell it before their finish, and no other comes. */
  #early: JsonObject | null = null;

  constructor(options: ContinuedStreamOptions) {
    this.#options = options;
    this.#half = options.half ?? '';
    this.#seam = options.text === null ? null : new Seam(options.text, options.isAsked);
    this.state = this.#seam ? 'holding' : 'open';
  }

  /** What of this model's text (the first choice's) went out. */
  get deliveredText(): string {
    return this.#trail.text();
  }

  /** @param bytes whole events. @returns what goes out now; empty while held. */
  take(bytes: Uint8Array): Uint8Array {
    for (let at = 0; at < bytes.length && this.state !== 'unproven';) {
      const end = this.#scanner.next(bytes, at);
      if (end < 0) break;
      at = end;
      this.#takeEvent();
    }
    return this.#flush();
  }

  #takeEvent(): void {
    const { bytes, start, end } = this.#scanner;
    const { data } = readSseEvent(bytes, start, end);
    if (data === null) {
      if (this.state === 'open' && !this.#isFirst) this.#out.push(bytes.slice(start, end));
      return;
    }
    const chunk: unknown = JSON.parse(data);
    if (isJsonObject(chunk)) this.#takeChunk(chunk);
  }

  #takeChunk(chunk: JsonObject): void {
    if (isJsonObject(chunk['usage'])) addTokens(chunk['usage'], this.#options.tokensBefore);
    const { choices } = chunk;
    const [first, ...others] = isObjectList(choices) ? choices : [];
    if (!first) {
      if (this.state === 'open') this.#write(chunk);
      else if (isJsonObject(chunk['usage'])) this.#early = chunk;
    } else if (!this.#seam) this.#takeAnew(chunk, [first, ...others]);
    else if (this.#goesOn(first, this.#seam)) {
      if (saysSomething(first)) this.#write(chunk);
    }
  }

  /** An answer from its start, whatever it is; only the roles have been told before. */
  #takeAnew(chunk: JsonObject, choices: readonly JsonObject[]): void {
    for (const [position, choice] of choices.entries()) {
      if ((choice['index'] ?? position) !== 0 || !isJsonObject(choice['delta'])) continue;
      const { delta } = choice;
      delete delta['role'];
      if (typeof delta['content'] === 'string') delta['content'] = this.#afterHalf(delta['content']);
      this.#trail.appendText(textOf(delta));
    }
    const saying = choices.filter(saysSomething);
    if (saying.length === 0) return;
    chunk['choices'] = saying;
    this.#write(chunk);
  }

  /** @param choice becomes what goes on of it after the text so far. @returns whether something may. */
  #goesOn(choice: JsonObject, seam: Seam): boolean {
    const delta = isJsonObject(choice['delta']) ? choice['delta'] : {};
    const text = textOf(delta);
    const callsTools = isObjectList(delta['tool_calls']) && delta['tool_calls'].length > 0;
    const isOver = callsTools || isFinished(choice) || OTHER_ANSWERS.some((field) => isFilled(delta[field]));
    const found = this.state === 'holding' ? this.#throughSeam(seam, text, isOver, callsTools) : text;
    if (found === undefined) return false;
    const rest = this.#afterHalf(found);
    for (const field of ['role', 'content', ...REASONING_FIELDS]) delete delta[field];
    if (rest !== '') delta['content'] = rest;
    choice['delta'] = delta;
    this.#trail.appendText(rest);
    return true;
  }

  /** @returns what goes on after the text so far; undefined while that is not known. */
  #throughSeam(seam: Seam, text: string, isOver: boolean, callsTools: boolean): string | undefined {
    const found = (text === '' ? undefined : seam.push(text)) ?? (isOver ? seam.end() : undefined);
    if (!found) return undefined;
    // A model that only calls its tools has repeated nothing, and nothing of the text is lost by it.
    const onlyCalls = callsTools && found.rest.trim() === '';
    this.state = found.isProven || onlyCalls || !this.#options.mustProve ? 'open' : 'unproven';
    return this.state === 'open' ? found.rest : undefined;
  }

  #afterHalf(text: string): string {
    if (this.#half === '' || text === '') return text;
    const rest = text.startsWith(this.#half) ? text.slice(this.#half.length) : text;
    this.#half = '';
    return rest;
  }

  #write(chunk: JsonObject): void {
    if (this.#options.id !== null) chunk['id'] = this.#options.id;
    if (this.#isFirst) chunk['fallback'] = this.#options.fallback;
    this.#isFirst = false;
    this.#out.push(encodeEvent(chunk));
    const early = this.#early;
    this.#early = null;
    if (early) this.#write(early);
  }

  #flush(): Uint8Array {
    const out = this.#out.splice(0);
    return out.length === 1 && out[0] ? out[0] : Buffer.concat(out);
  }
}

/** Some send an empty finish reason where OpenAI sends null. */
function isFinished({ finish_reason: reason }: JsonObject): boolean {
  return typeof reason === 'string' && reason !== '';
}

function saysSomething(choice: JsonObject): boolean {
  return isFinished(choice) || (isJsonObject(choice['delta']) && Object.values(choice['delta']).some(isFilled));
}

function isFilled(value: unknown): boolean {
  if (value === null || value === undefined || value === '') return false;
  return typeof value !== 'object' || Object.keys(value).length > 0;
}

/** What the caller pays for is what all of them wrote. */
function addTokens(usage: JsonObject, tokensBefore: number): void {
  for (const key of ['completion_tokens', 'output_tokens', 'total_tokens']) {
    const tokens = usage[key];
    if (typeof tokens === 'number') usage[key] = tokens + tokensBefore;
  }
}
