/**
 * What a simulated model says: some 40 to 80 words that mention the question and say that they are simulated, JSON
 * where JSON was asked for, a call where tools were offered. The same question gets the same answer, so that one model can
 * go on where another one broke off.
 *
 * Pure: no clock, no chance, no socket.
 */
import type { ChatRequest } from './chat-request.js';
import { restOfAnswer } from './continued-answer.js';
import { hashText } from './latency-profile.js';
import type { WireChoice, WireToolCall } from './openai-wire.js';
import { sampleJson } from './sample-json.js';

export interface GeneratedAnswer {
  readonly choices: readonly WireChoice[];
  readonly inputTokens: number;
  readonly outputTokens: number;
}

/** The question is quoted up to here, in characters: longer ones would drown the answer. */
const QUOTE_LENGTH = 80;

/** Said after the quoted question; which ones, and in which order, the question decides. */
const SENTENCES = [
  "No real model was asked: a small server on this machine wrote these words in OpenAI's wire format.",
  'The time before the first word and the pace of the others follow measurements of real services.',
  'Break this model and send the same question again, and the next model of the chain will answer it.',
  'The response headers tell which model answered, how many attempts it took and how long each of them lasted.',
  'With a key for a real provider in the environment, the same request would reach a real model instead.',
  'The same question always gets the same answer here, so that a test can compare two runs word by word.',
  'Every failure that a provider can show on the wire can be played here, from a refused key to a cut stream.',
] as const;

const SENTENCES_PER_ANSWER = 3;

export function generateAnswer(request: ChatRequest): GeneratedAnswer {
  const choices = Array.from({ length: request.n }, (_, index) => generateChoice(request, index));
  return {
    choices,
    inputTokens: request.messages.reduce((sum, message) => sum + 4 + Math.ceil(message.text.length / 4), 3),
    outputTokens: choices.reduce((sum, choice) => sum + tokensOf(choice), 0),
  };
}

/** A text as the tokens of a model: a word or a part of one, with the space before it. */
export function splitIntoPieces(text: string): readonly string[] {
  return text.match(/\s*\S{1,12}|\s+$/gu) ?? [];
}

function generateChoice(request: ChatRequest, index: number): WireChoice {
  const { continues } = request;
  if (continues !== undefined) return textChoice(request, continued(request, continues, index));
  const call = generateToolCall(request, index);
  if (call !== undefined) return { pieces: [], toolCalls: [call], finishReason: 'tool_calls' };
  return textChoice(request, generateText(request, index));
}

function continued(
  request: ChatRequest,
  { text, lastWords, messages }: NonNullable<ChatRequest['continues']>,
  index: number,
): string {
  const asked = { ...request, messages: request.messages.slice(0, -messages) };
  return lastWords + restOfAnswer(text, generateText(asked, index));
}

function textChoice(request: ChatRequest, text: string): WireChoice {
  const pieces = splitIntoPieces(text);
  const limit = request.maxTokens ?? Infinity;
  return { pieces: pieces.slice(0, limit), finishReason: pieces.length > limit ? 'length' : 'stop' };
}

function generateText(request: ChatRequest, index: number): string {
  const question = questionOf(request);
  const label = `[simulated ${request.model}]`;
  if (request.output.type === 'json') {
    const answer = `${label} ${quote(question)}`;
    const value =
      request.output.schema === undefined
        ? { simulated: true, model: request.model, answer }
        : sampleJson(request.output.schema, answer);
    return JSON.stringify(value);
  }
  const start = hashText(question) + index;
  const sentences = Array.from(
    { length: SENTENCES_PER_ANSWER },
    (_, step) => SENTENCES[(start + step * 2) % SENTENCES.length],
  );
  return [label, `You asked: ${quote(question)}`, ...sentences].join(' ');
}

/** A call where one must be made, or may be made and none was made yet. */
function generateToolCall(request: ChatRequest, index: number): WireToolCall | undefined {
  const { tools, toolChoice, messages } = request;
  const named = tools.find((tool) => tool.name === toolChoice);
  const mayCall = toolChoice === 'required' || (toolChoice === 'auto' && messages.at(-1)?.role !== 'tool');
  const tool = named ?? (mayCall ? tools[0] : undefined);
  if (tool === undefined) return undefined;
  const question = questionOf(request);
  const seed = `${tool.name} ${question} ${index}`;
  return {
    id: `call_sim${hashText(seed).toString(36)}`,
    name: tool.name,
    arguments: JSON.stringify(sampleJson(tool.parameters ?? { type: 'object' }, question)),
  };
}

function questionOf(request: ChatRequest): string {
  return request.messages.findLast((message) => message.role === 'user')?.text ?? request.messages.at(-1)?.text ?? '';
}

function quote(question: string): string {
  const characters = Array.from(question.replaceAll(/\s+/gu, ' ').trim());
  if (characters.length === 0) return '(nothing).';
  const shown =
    characters.length > QUOTE_LENGTH ? `${characters.slice(0, QUOTE_LENGTH - 1).join('')}…` : characters.join('');
  return `"${shown}".`;
}

function tokensOf(choice: WireChoice): number {
  const calls = (choice.toolCalls ?? []).map((call) => Math.ceil((call.name.length + call.arguments.length) / 4));
  return choice.pieces.length + calls.reduce((sum, tokens) => sum + tokens, 0);
}
