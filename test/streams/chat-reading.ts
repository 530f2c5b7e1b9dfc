/** Chat chunks as upstreams write them, and a stream reader that notes down what it tells. */
import { createParser } from 'eventsource-parser';
import { ChatStreamReader } from '../../src/stream/chat-stream.js';
import type { ChatStreamEnd, ChatStreamOptions } from '../../src/stream/chat-stream.js';

export interface Told {
  readonly log: string[];
  readonly pieces: Uint8Array[];
  end: ChatStreamEnd | null;
}

export const OPTIONS: ChatStreamOptions = {
  isError: (payload) => typeof payload === 'object' && payload !== null && 'error' in payload,
};

export function chunk(choice: object, rest: object = {}): object {
  const choices = [{ index: 0, finish_reason: null, ...choice }];
  return { id: 'c1', object: 'chat.completion.chunk', created: 7, model: 'm', choices, ...rest };
}
export const event = (payload: unknown): string => `data: ${JSON.stringify(payload)}\n\n`;
export const says = (delta: object, rest: object = {}): string => event(chunk({ delta }, rest));
export const finish = (reason: string, delta: object = {}): string => event(chunk({ delta, finish_reason: reason }));
export const usage = event({ ...chunk({}), choices: [], usage: { prompt_tokens: 9, completion_tokens: 3 } });
export const DONE = 'data: [DONE]\n\n';
export const ROLE = says({ role: 'assistant', content: '' });
export const HELLO = says({ content: 'Hello' });

export function reading(options: Partial<ChatStreamOptions> = {}): { reader: ChatStreamReader; told: Told } {
  const told: Told = { log: [], pieces: [], end: null };
  const reader = new ChatStreamReader(
    {
      onFirstToken: (held) => told.log.push(held ? 'held token' : 'first token'),
      onBytes(bytes) {
        told.pieces.push(bytes);
        if (told.log.at(-1) !== 'bytes') told.log.push('bytes');
      },
      onFinish: () => told.log.push('finish'),
      onEnd(end) {
        told.log.push('end');
        told.end = end;
      },
    },
    { ...OPTIONS, ...options },
  );
  return { reader, told };
}

export function read(parts: readonly (string | Uint8Array)[], options: Partial<ChatStreamOptions> = {}) {
  const { reader, told } = reading(options);
  const progress = parts.map((part) => reader.push(typeof part === 'string' ? Buffer.from(part) : part));
  reader.end();
  return { ...told, reader, progress, text: Buffer.concat(told.pieces).toString() };
}

/** What a client makes of the bytes. */
export function payloads<Payload = unknown>(text: string): Payload[] {
  const found: Payload[] = [];
  const parser = createParser({ onEvent: ({ data }) => found.push(JSON.parse(data)) });
  parser.feed(text);
  return found;
}

export function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const sorted = [...new Set(places)].filter((place) => place > 0 && place < bytes.length).toSorted((a, b) => a - b);
  return [0, ...sorted].map((from, index) => bytes.subarray(from, sorted[index] ?? bytes.length));
}
