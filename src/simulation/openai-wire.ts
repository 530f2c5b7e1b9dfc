/**
 * OpenAI's Chat Completions as bytes, as our own servers write them: the whole answer, the same as chunks, errors, the
 * list of models. For simulated and scripted models alike, so that both speak the format the same way.
 *
 * Knows no socket and no clock. Shapes: OpenAI's API reference, Chat Completions.
 */

export interface WireToolCall {
  readonly id: string;
  readonly name: string;
  /** JSON text. */
  readonly arguments: string;
}

export interface WireChoice {
  /** The text as a model says it, one piece per chunk of a stream; empty where it only calls tools. */
  readonly pieces: readonly string[];
  readonly toolCalls?: readonly WireToolCall[];
  /** What it thinks before it speaks (`reasoning_content`). */
  readonly reasoning?: readonly string[];
  readonly refusal?: string;
  /** `stop`, `length`, `tool_calls`, `content_filter`, or whatever a test wants to say. */
  readonly finishReason: string;
}

export interface WireAnswer {
  readonly id: string;
  readonly model: string;
  readonly createdEpochS: number;
  readonly choices: readonly WireChoice[];
  readonly inputTokens: number;
  readonly outputTokens: number;
}

export interface WireError {
  readonly message: string;
  readonly type: string | null;
  readonly code: string | number | null;
  readonly param: string | null;
}

/** The answer to a request that did not ask for a stream. */
export function completionOf(answer: WireAnswer): object {
  return {
    id: answer.id,
    object: 'chat.completion',
    created: answer.createdEpochS,
    model: answer.model,
    choices: answer.choices.map((choice, index) => ({
      index,
      message: messageOf(choice),
      logprobs: null,
      finish_reason: choice.finishReason,
    })),
    usage: usageOf(answer),
    system_fingerprint: null,
  };
}

export interface WireChunk {
  /** `token`: text, a thought, a refusal or a piece of a tool call; a model takes time for each. */
  readonly kind: 'role' | 'token' | 'finish' | 'usage';
  readonly json: object;
}

/** The same answer as chunks, in order: role, reasoning, text, tool calls, finish reason; with usage if asked for. */
export function* chunksOf(answer: WireAnswer, options: { readonly includeUsage: boolean }): Generator<WireChunk> {
  for (const [index, choice] of answer.choices.entries()) {
    const chunk = (kind: WireChunk['kind'], delta: object, finishReason: string | null = null): WireChunk => ({
      kind,
      json: {
        ...chunkHead(answer),
        choices: [{ index, delta, logprobs: null, finish_reason: finishReason }],
        ...(options.includeUsage ? { usage: null } : {}),
      },
    });
    yield chunk('role', { role: 'assistant', content: choice.toolCalls?.length ? null : '', refusal: null });
    for (const delta of deltasOf(choice)) yield chunk('token', delta);
    yield chunk('finish', {}, choice.finishReason);
  }
  if (options.includeUsage) {
    yield { kind: 'usage', json: { ...chunkHead(answer), choices: [], usage: usageOf(answer) } };
  }
}

function* deltasOf(choice: WireChoice): Generator<object> {
  for (const thought of choice.reasoning ?? []) yield { reasoning_content: thought };
  for (const content of choice.pieces) yield { content };
  if (choice.refusal !== undefined) yield { refusal: choice.refusal };
  for (const [index, call] of (choice.toolCalls ?? []).entries()) {
    yield { tool_calls: [{ index, id: call.id, type: 'function', function: { name: call.name, arguments: '' } }] };
    for (const half of halves(call.arguments)) yield { tool_calls: [{ index, function: { arguments: half } }] };
  }
}

export function sseEvent(data: object): string {
  return `data: ${JSON.stringify(data)}\n\n`;
}

export const SSE_DONE = 'data: [DONE]\n\n';
export const SSE_HEADERS = { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' } as const;

export function errorBodyOf(error: WireError): object {
  return { error: { message: error.message, type: error.type, param: error.param, code: error.code } };
}

export function modelListOf(models: readonly string[], createdEpochS: number): object {
  return { object: 'list', data: models.map((id) => modelObject(id, createdEpochS)) };
}

export function modelObject(id: string, createdEpochS: number): object {
  return { id, object: 'model', created: createdEpochS, owned_by: 'nestjs-llm-fallback' };
}

function messageOf(choice: WireChoice): object {
  return {
    role: 'assistant',
    content: choice.pieces.length > 0 || !choice.toolCalls?.length ? textOf(choice) : null,
    refusal: choice.refusal ?? null,
    ...(choice.reasoning?.length ? { reasoning_content: choice.reasoning.join('') } : {}),
    ...(choice.toolCalls?.length
      ? {
          tool_calls: choice.toolCalls.map((call) => ({
            id: call.id,
            type: 'function',
            function: { name: call.name, arguments: call.arguments },
          })),
        }
      : {}),
  };
}

function textOf(choice: WireChoice): string | null {
  return choice.refusal === undefined ? choice.pieces.join('') : null;
}

function chunkHead(answer: WireAnswer): object {
  return {
    id: answer.id,
    object: 'chat.completion.chunk',
    created: answer.createdEpochS,
    model: answer.model,
    system_fingerprint: null,
  };
}

function usageOf(answer: WireAnswer): object {
  return {
    prompt_tokens: answer.inputTokens,
    completion_tokens: answer.outputTokens,
    total_tokens: answer.inputTokens + answer.outputTokens,
  };
}

/** Arguments come in pieces from real models; two are enough to make a reader put them together. */
function halves(text: string): readonly string[] {
  const middle = Math.ceil(text.length / 2);
  return [text.slice(0, middle), text.slice(middle)].filter((half) => half !== '');
}
