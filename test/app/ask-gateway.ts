/**
 * What a caller of the gateway gets, read with nothing but an HTTP client, so that nothing between us and the wire
 * mends or hides anything.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { createParser } from 'eventsource-parser';
import { request } from 'undici';
import type { Dispatcher } from 'undici';
import { asArray, asObject, isJsonObject } from '../../src/simulation/json-value.js';
import type { JsonObject } from '../../src/simulation/json-value.js';

export interface CallerView {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** The body as text, all of it. */
  readonly body: string;
  /** Whether the body ended as HTTP ends one, not by a broken connection. */
  readonly isWhole: boolean;
  /** All content of the first choice, put together. */
  readonly text: string;
  readonly reasoning: string;
  readonly finishReason: string | undefined;
  readonly toolCalls: readonly { readonly index: number; readonly name: string; readonly arguments: string }[];
  readonly usageTotal: number | undefined;
  /** The error of a failed answer, or of the last error event. */
  readonly error: JsonObject | undefined;
  /** Of a stream: what came, in order; `done`, `error`, or what the chunk holds. */
  readonly events: readonly StreamEvent[];
  /** `x-fallback-trace`, taken apart. */
  readonly trace: readonly TracedAttempt[];
}

interface StreamEvent {
  readonly kind: 'done' | 'error' | 'role' | 'chunk' | 'unreadable';
  readonly data: string;
}

interface TracedAttempt {
  readonly model: string;
  readonly class: string;
  readonly ms: number;
}

export interface AskOptions {
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** Whose connections carry it; default: those that all of the process share, which stay open for a while. */
  readonly dispatcher?: Dispatcher;
  /** Told of every piece of the body as it comes. */
  readonly onPiece?: (bodySoFar: string) => void;
}

/** Sends one request to the gateway. Rejects only where no response head came. */
export async function askGateway(url: string, body: object, options: AskOptions = {}): Promise<CallerView> {
  const response = await request(`${url}${options.path ?? '/v1/chat/completions'}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...options.headers },
    body: JSON.stringify(body),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    ...(options.dispatcher === undefined ? {} : { dispatcher: options.dispatcher }),
  });
  const decoder = new TextDecoder();
  let text = '';
  let isWhole = true;
  try {
    for await (const piece of response.body as AsyncIterable<Uint8Array>) {
      text += decoder.decode(piece, { stream: true });
      options.onPiece?.(text);
    }
  } catch {
    isWhole = false;
  }
  const head = { status: response.statusCode, headers: response.headers, body: text, isWhole };
  const isStream = String(response.headers['content-type']).startsWith('text/event-stream');
  return { ...head, ...(isStream ? readStream(text) : readAnswer(text)), trace: readTrace(response.headers) };
}

type Content = Omit<CallerView, 'status' | 'headers' | 'body' | 'isWhole' | 'trace'>;

function readAnswer(text: string): Content {
  const json = parse(text) ?? {};
  const choice = asObject(asArray(json['choices'])[0]);
  const message = asObject(choice['message']);
  return {
    text: textOf(message['content']),
    reasoning: textOf(message['reasoning_content']),
    finishReason: textOrUndefined(choice['finish_reason']),
    toolCalls: asArray(message['tool_calls']).map((call, index) => ({ index, ...functionOf(call) })),
    usageTotal: totalOf(json),
    error: isJsonObject(json['error']) ? json['error'] : undefined,
    events: [],
  };
}

function readStream(body: string): Content {
  const events: StreamEvent[] = [];
  const calls = new Map<number, { name: string; arguments: string }>();
  let text = '';
  let reasoning = '';
  let finishReason: string | undefined;
  let usageTotal: number | undefined;
  let error: JsonObject | undefined;
  const parser = createParser({
    onEvent({ data }) {
      const json = parse(data);
      events.push({ kind: kindOf(data, json), data });
      if (json === undefined) return;
      if (isJsonObject(json['error'])) error = json['error'];
      usageTotal = totalOf(json) ?? usageTotal;
      const choice = asObject(asArray(json['choices'])[0]);
      const delta = asObject(choice['delta']);
      text += textOf(delta['content']);
      reasoning += textOf(delta['reasoning_content']);
      finishReason = textOrUndefined(choice['finish_reason']) ?? finishReason;
      for (const part of asArray(delta['tool_calls'])) {
        const index = Number(asObject(part)['index']);
        const call = calls.get(index) ?? { name: '', arguments: '' };
        const { name, arguments: more } = functionOf(part);
        calls.set(index, { name: call.name + name, arguments: call.arguments + more });
      }
    },
  });
  parser.feed(body);
  const toolCalls = [...calls].map(([index, call]) => ({ index, ...call }));
  return { text, reasoning, finishReason, toolCalls, usageTotal, error, events };
}

function kindOf(data: string, json: JsonObject | undefined): StreamEvent['kind'] {
  if (data === '[DONE]') return 'done';
  if (json === undefined) return 'unreadable';
  if (json['error'] !== undefined) return 'error';
  const delta = asObject(asObject(asArray(json['choices'])[0])['delta']);
  return delta['role'] === undefined ? 'chunk' : 'role';
}

function readTrace(headers: IncomingHttpHeaders): readonly TracedAttempt[] {
  const value = headers['x-fallback-trace'];
  if (typeof value !== 'string') return [];
  return value.split(', ').map((part) => {
    const [model = '', failureClass = '', ms = ''] = part.split(';');
    return { model, class: failureClass, ms: Number(ms.replace(/ms$/u, '')) };
  });
}

function parse(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isJsonObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function functionOf(call: unknown): { name: string; arguments: string } {
  const made = asObject(asObject(call)['function']);
  return { name: textOf(made['name']), arguments: textOf(made['arguments']) };
}

function totalOf(json: JsonObject): number | undefined {
  const total = asObject(json['usage'])['total_tokens'];
  return typeof total === 'number' ? total : undefined;
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function textOrUndefined(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
