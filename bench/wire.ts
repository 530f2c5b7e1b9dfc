/**
 * What goes over the wire in the bench, built once: requests as callers send them, answers and chunks as OpenAI writes
 * them. The upstream, the load and the checks on both read the same numbers from here.
 */

/** What the upstream does for a path that starts with the route's name. */
export const ROUTES = ['answering', 'failing', 'burst', 'paced', 'idle'] as const;
export type Route = (typeof ROUTES)[number];

export interface StreamShape {
  /** Chunks with content; a role chunk, a finish chunk and `[DONE]` come on top. */
  readonly contentChunks: number;
  /** Time from one chunk to the next, 0: as fast as the reader takes them. */
  readonly paceMs: number;
}

export const STREAM_SHAPES = {
  burst: { contentChunks: 1_000, paceMs: 0 },
  paced: { contentChunks: 120, paceMs: 20 },
  // Long enough to have a thousand of them open at once, slow enough that a busy core opens them.
  idle: { contentChunks: 20, paceMs: 500 },
} as const satisfies Partial<Record<Route, StreamShape>>;
export type StreamRoute = keyof typeof STREAM_SHAPES;

export const STREAM_END = 'data: [DONE]\n\n';

const LARGE_BODY_CHARACTERS = 200_000;
const SENTENCE =
  'A proxy that is asked to carry "quoted" words,\nand breaks of line, has to leave each of them alone. ';

export type BodySize = 'small' | 'large';

/** A caller's request. `model` is a chain's name for the app; the bare proxy does not look at it. */
export function requestBody({ model, size, stream }: { model: string; size: BodySize; stream: boolean }): string {
  return JSON.stringify({ model, messages: messagesOf(size), temperature: 0.2, ...(stream ? { stream } : {}) });
}

export function messagesOf(size: BodySize): { role: 'system' | 'user'; content: string }[] {
  const text =
    size === 'small'
      ? 'Say in one sentence what a fallback is good for.'
      : SENTENCE.repeat(LARGE_BODY_CHARACTERS / SENTENCE.length);
  return [
    { role: 'system', content: 'You are a helpful assistant. Answer in plain words.' },
    { role: 'user', content: text },
  ];
}

export const COMPLETION = JSON.stringify({
  ...chunkHead('chat.completion'),
  choices: [
    {
      index: 0,
      message: { role: 'assistant', content: words(80), refusal: null, annotations: [] },
      logprobs: null,
      finish_reason: 'stop',
    },
  ],
  usage: {
    prompt_tokens: 38,
    completion_tokens: 81,
    total_tokens: 119,
    prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
    completion_tokens_details: { reasoning_tokens: 0, audio_tokens: 0 },
  },
});

export const SERVER_ERROR = JSON.stringify({
  error: {
    message: 'The server had an error while processing your request. Sorry about that!',
    type: 'server_error',
    param: null,
    code: null,
  },
});

export const MODEL_LIST = JSON.stringify({
  object: 'list',
  data: [{ id: 'bench', object: 'model', owned_by: 'bench' }],
});

/** The events of one whole stream, each as its own bytes: role, content, finish, `[DONE]`. */
export function streamEvents({ contentChunks }: StreamShape): Buffer[] {
  const deltas = Array.from({ length: contentChunks }, (_, at) => ({ content: ` word${at % 97}` }));
  return [
    chunk({ role: 'assistant', content: '', refusal: null }, null, 0),
    ...deltas.map((delta, at) => chunk(delta, null, at)),
    chunk({}, 'stop', 0),
    Buffer.from(STREAM_END),
  ];
}

export function eventsPerStream({ contentChunks }: StreamShape): number {
  return contentChunks + 3;
}

export function chunk(delta: object, finishReason: string | null, at: number): Buffer {
  const event = {
    ...chunkHead('chat.completion.chunk'),
    choices: [{ index: 0, delta, logprobs: null, finish_reason: finishReason }],
    // OpenAI pads each chunk by a different length, so that lengths do not tell the words.
    obfuscation: 'aZ09bY18cX27'.slice(at % 11),
  };
  return Buffer.from(`data: ${JSON.stringify(event)}\n\n`);
}

function chunkHead(object: string): object {
  return {
    id: 'chatcmpl-BenchAbcdefghijklmnopqrstuvwx',
    object,
    created: 1_732_420_800,
    model: 'gpt-4-0613',
    service_tier: 'default',
    system_fingerprint: 'fp_5d58a6052a',
  };
}

function words(count: number): string {
  return Array.from({ length: count }, (_, at) => `word${at % 97}`).join(' ');
}
