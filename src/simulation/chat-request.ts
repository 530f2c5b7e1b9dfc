/**
 * What our own model servers read of a Chat Completions request: checked as OpenAI checks it, as far as a caller could
 * notice, and unknown fields ignored.
 */
import { type AskedContinuation, readContinuation } from './continued-answer.js';
import { asArray, asObject, parseJsonObject } from './json-value.js';
import type { JsonObject } from './json-value.js';
import type { WireError } from './openai-wire.js';

export interface ChatRequest {
  readonly model: string;
  readonly messages: readonly ChatMessage[];
  readonly stream: boolean;
  readonly includeUsage: boolean;
  /** Choices asked for, 1 to 128. */
  readonly n: number;
  /** `max_completion_tokens`, else `max_tokens`. */
  readonly maxTokens?: number;
  readonly tools: readonly ToolDefinition[];
  /** `auto`, `none`, `required`, or the name of the function that must be called. */
  readonly toolChoice: string;
  readonly output: { readonly type: 'text' } | { readonly type: 'json'; readonly schema?: unknown };
  /** It is asked to go on with a text. */
  readonly continues?: AskedContinuation;
}

interface ChatMessage {
  readonly role: string;
  /** Text parts joined; empty where there is no text. */
  readonly text: string;
}

interface ToolDefinition {
  readonly name: string;
  readonly parameters: unknown;
}

/** @returns the request, or the error that OpenAI would answer it with (status 400). */
export function readChatRequest(body: Uint8Array): ChatRequest | { readonly error: WireError } {
  const fields = parseJsonObject(body);
  if (fields === undefined)
    return invalid('We could not parse the JSON body of your request. (HINT: it must be a JSON object.)', null);
  if (typeof fields['model'] !== 'string' || fields['model'] === '')
    return invalid('you must provide a model parameter', 'model');
  if (!Array.isArray(fields['messages']))
    return invalid("Missing required parameter: 'messages'.", 'messages', 'missing_required_parameter');
  if (fields['messages'].length === 0) return invalid("[] is too short - 'messages'", 'messages');
  const maxTokens = fields['max_completion_tokens'] ?? fields['max_tokens'] ?? undefined;
  if (maxTokens !== undefined && !isCount(maxTokens))
    return invalid("Invalid value for 'max_tokens': integer above 0 expected.", 'max_tokens');
  const n = fields['n'] ?? 1;
  if (!isCount(n) || n > 128) return invalid("Invalid value for 'n': integer from 1 to 128 expected.", 'n');
  const messages = asArray(fields['messages']).map(readMessage);
  const texts = messages.map(({ text }) => text);
  const continues = readContinuation(fields, texts);
  return {
    model: fields['model'],
    messages,
    ...(continues && { continues }),
    stream: fields['stream'] === true,
    includeUsage: asObject(fields['stream_options'])['include_usage'] === true,
    n,
    ...(maxTokens === undefined ? {} : { maxTokens }),
    tools: readTools(fields['tools']),
    toolChoice: readToolChoice(fields['tool_choice']),
    output: readOutput(asObject(fields['response_format'])),
  };
}

function readMessage(given: unknown): ChatMessage {
  const { role, content } = asObject(given);
  const parts = Array.isArray(content) ? asArray(content).map((part) => asObject(part)['text']) : [content];
  return {
    role: typeof role === 'string' ? role : '',
    text: parts.filter((part) => typeof part === 'string').join(''),
  };
}

function readTools(given: unknown): readonly ToolDefinition[] {
  return asArray(given)
    .map((tool) => asObject(asObject(tool)['function']))
    .flatMap(({ name, parameters }) => (typeof name === 'string' ? [{ name, parameters }] : []));
}

function readToolChoice(given: unknown): string {
  if (typeof given === 'string') return given;
  const { name } = asObject(asObject(given)['function']);
  return typeof name === 'string' ? name : 'auto';
}

function readOutput(format: JsonObject): ChatRequest['output'] {
  if (format['type'] === 'json_object') return { type: 'json' };
  if (format['type'] !== 'json_schema') return { type: 'text' };
  return { type: 'json', schema: asObject(format['json_schema'])['schema'] };
}

function invalid(message: string, param: string | null, code: string | null = null): { readonly error: WireError } {
  return { error: { message, type: 'invalid_request_error', param, code } };
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1;
}
