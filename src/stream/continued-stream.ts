/**
 * The next model's stream as a part of the first one's: the same id, nothing twice at the seam, one usage for all.
 *
 * Takes whole events as the stream reader gives them out and writes each anew; that costs a few microseconds an event,
 * and only a stream that broke pays it. Until the seam is found, nothing goes out. Reasoning of a model that goes on in
 * the middle of a text is left out: the caller is past it.
 */
import { isJsonObject, type JsonObject } from './chat-chunk.js';
import { encodeEvent } from './chunk-repair.js';
import { Seam } from './seam.js';
import { readSseEvent, SseScanner } from './sse-scanner.js';

export interface ContinuedStreamOptions {
  /** What the caller holds; null: nothing but reasoning, the answer begins anew. */
  readonly text: string | null;
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

export class ContinuedStream {
  /** `unproven`: it had to repeat something and did not; nothing of it goes out. */
  state: 'holding' | 'unproven' | 'open';
  /** What of this model's text went out. */
  deliveredText = '';
  readonly #options: ContinuedStreamOptions;
  readonly #scanner = new SseScanner();
  readonly #seam: Seam | null;
  readonly #out: Uint8Array[] = [];
  #isFirst = true;

  constructor(options: ContinuedStreamOptions) {
    this.#options = options;
    this.#seam = options.text === null ? null : new Seam(options.text, options.isAsked);
    this.state = this.#seam ? 'holding' : 'open';
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
    const [choice] = Array.isArray(chunk['choices']) ? (chunk['choices'] as unknown[]) : [];
    if (!isJsonObject(choice)) {
      if (this.state === 'open') this.#write(chunk);
      return;
    }
    const delta = isJsonObject(choice['delta']) ? choice['delta'] : {};
    const text = typeof delta['content'] === 'string' ? delta['content'] : '';
    delete delta['role'];
    if (this.#seam) for (const field of REASONING_FIELDS) delete delta[field];
    const isFinished = typeof choice['finish_reason'] === 'string';
    const rest = this.state === 'holding' ? this.#throughSeam(text, isFinished || 'tool_calls' in delta) : text;
    if (rest === undefined) return;
    if ('content' in delta || rest !== '') delta['content'] = rest;
    if (delta['content'] === '') delete delta['content'];
    choice['delta'] = delta;
    if (rest === '' && Object.keys(delta).length === 0 && !isFinished) return;
    this.deliveredText += rest;
    this.#write(chunk);
  }

  /** @returns what goes on after the text so far; undefined while that is not known. */
  #throughSeam(text: string, isOver: boolean): string | undefined {
    const seam = this.#seam;
    if (!seam) return text;
    const found = (text === '' ? undefined : seam.push(text)) ?? (isOver ? seam.end() : undefined);
    if (!found) return undefined;
    // A model that only calls its tools has repeated nothing, and nothing of the text is lost by it.
    const isSilent = found.rest.trim() === '' && isOver;
    this.state = found.isProven || isSilent || !this.#options.mustProve ? 'open' : 'unproven';
    return this.state === 'open' ? found.rest : undefined;
  }

  #write(chunk: JsonObject): void {
    if (this.#options.id !== null) chunk['id'] = this.#options.id;
    if (this.#isFirst) chunk['fallback'] = this.#options.fallback;
    this.#isFirst = false;
    this.#out.push(encodeEvent(chunk));
  }

  #flush(): Uint8Array {
    const out = this.#out.splice(0);
    return out.length === 1 && out[0] ? out[0] : Buffer.concat(out);
  }
}

/** What the caller pays for is what all of them wrote. */
function addTokens(usage: JsonObject, tokensBefore: number): void {
  for (const key of ['completion_tokens', 'total_tokens']) {
    const tokens = usage[key];
    if (typeof tokens === 'number') usage[key] = tokens + tokensBefore;
  }
}
