/**
 * Takes a chat in our own words (a message, a user, a chain), asks the chain, remembers the exchange. Serves the
 * module's service and the `/chat` route alike; what only a route knows (owner, drills, request id) stands in DeskOptions.
 */
import { randomUUID } from 'node:crypto';
import type OpenAI from 'openai';
import type { RequestResult, RequestSink, RequestSoFar } from '../chain/chain-request.js';
import { bodyAskingForUsage, bodyFromParams, type BodyTarget, type ChatBody } from '../chain/chat-body.js';
import type { ChatCall, Engine } from '../chain/engine.js';
import { FallbackRejectedError, errorOf } from '../chain/errors.js';
import type { FailureClass } from '../policy/failure.js';
import type { Message } from '../store/conversation-store.js';
import { AnswerStream } from './answer-stream.js';
import type { ChatInput, ChatOptions, ChatResult } from './call-options.js';
import { CallersLeave } from './callers-leave.js';
import type { ConversationMemory } from './conversation-memory.js';
import { countDropped } from './conversation-window.js';

export interface DeskOptions extends ChatOptions {
  /** Whose users `userId` speaks of; a host's own code is one owner. */
  owner?: string;
  requestId?: string;
  drills?: ReadonlyMap<string, FailureClass>;
  /** See AnswerStreamSource. */
  onCommit?: (soFar: RequestSoFar) => void;
}

const HOST_OWNER = 'host';

export class ChatDesk {
  readonly #engine: Engine;
  readonly memory: ConversationMemory;

  constructor(engine: Engine, memory: ConversationMemory) {
    this.#engine = engine;
    this.memory = memory;
  }

  /**
   * @throws FallbackExhaustedError where no model answered, FallbackRejectedError where the request is at fault, the
   * signal's reason where it was aborted.
   */
  async chat(input: ChatInput, options: DeskOptions = {}): Promise<ChatResult> {
    options.signal?.throwIfAborted();
    const asked = messagesOf(input);
    const history = await this.#historyOf(options);
    options.signal?.throwIfAborted();
    const call = callOf(conversationBody(asked, history, options, false), options);
    const result = await this.#ask(call, options.signal);
    await this.#remember(options, asked, result.completion.choices[0]?.message);
    return result;
  }

  /** Asks at once; see `ChatStream`. */
  stream(input: ChatInput, options: DeskOptions = {}): AnswerStream {
    return new AnswerStream({
      ...(options.signal && { signal: options.signal }),
      ...(options.onCommit && { onCommit: options.onCommit }),
      prepare: async () => {
        const asked = messagesOf(input);
        const call = callOf(conversationBody(asked, await this.#historyOf(options), options, true), options);
        return (sink) => this.#engine.startChat(call, sink);
      },
      chainName: options.chain ?? 'default',
      onAnswered: (message) => this.#remember(options, messagesOf(input), message),
    });
  }

  #ask(call: ChatCall, signal: AbortSignal | undefined): Promise<ChatResult> {
    return new Promise((resolve, reject) => {
      const leave = new CallersLeave(signal);
      const sink: RequestSink = {
        onCommit() {},
        onBytes() {},
        onFinish: (result) => {
          leave.end();
          const error = errorOf(result, call.route.chain ?? 'default');
          if (error) reject(error);
          else if (result.end) resolve(chatResultOf(result, result.end.answer?.json));
          else reject(leave.reason);
        },
      };
      leave.cancels(this.#engine.startChat(call, sink));
    });
  }

  async #historyOf(options: DeskOptions): Promise<readonly Message[]> {
    const { userId, owner = HOST_OWNER, signal } = options;
    return userId === undefined ? [] : this.memory.recall(owner, userId, signal);
  }

  async #remember(options: DeskOptions, asked: readonly Message[], answer: Message | undefined): Promise<void> {
    const { userId, owner = HOST_OWNER } = options;
    if (userId !== undefined && answer) await this.memory.remember(owner, userId, [...asked, asAsked(answer)]);
  }
}

/**
 * An answer as a message of the next request, which may go to another model: there, fields that its author alone knows
 * (`annotations`, `reasoning_content`, even a `refusal` that is null) are refused with 400 or 422.
 */
function asAsked(answer: Message): Message {
  if (answer.role !== 'assistant') return answer;
  const { content = null, refusal, tool_calls: calls } = answer;
  return {
    role: 'assistant',
    content,
    ...(typeof refusal === 'string' && { refusal }),
    ...(calls !== undefined && calls.length > 0 && { tool_calls: calls }),
  };
}

function callOf(body: ChatBody, options: DeskOptions): ChatCall {
  const { chain, models, fallback, deadlineMs, drills } = options;
  return {
    requestId: options.requestId ?? randomUUID(),
    body,
    route: { ...(chain !== undefined && { chain }), ...(models && { models }) },
    ...(fallback !== undefined && { fallback }),
    ...(deadlineMs !== undefined && { deadlineMs }),
    ...(drills && { drills }),
  };
}

function messagesOf(input: ChatInput): readonly Message[] {
  const messages: readonly Message[] = typeof input === 'string' ? [{ role: 'user', content: input }] : input;
  if (messages.length > 0 && input !== '') return messages;
  throw new FallbackRejectedError({
    message: 'Nothing was asked: expected a text, or at least one message.',
    status: 400,
    code: 'invalid_value',
    class: 'invalid_request',
    param: 'message',
  });
}

/** The body for each model holds as much of the conversation as fits it. */
function conversationBody(
  asked: readonly Message[],
  history: readonly Message[],
  options: DeskOptions,
  streaming: boolean,
): ChatBody {
  const { system, params } = options;
  const before: readonly Message[] = system === undefined ? [] : [{ role: 'system', content: system }];
  const bodyWithout = (dropped: number) => {
    const messages = [...before, ...history.slice(dropped), ...asked];
    return streaming
      ? bodyAskingForUsage({ ...params, messages, stream: true })
      : bodyFromParams({ ...params, messages, stream: undefined });
  };
  const answerTokens = params?.max_completion_tokens ?? params?.max_tokens;
  const droppedFor = (target: BodyTarget) =>
    countDropped({
      before,
      history,
      after: asked,
      contextWindow: target.contextWindow,
      ...(typeof answerTokens === 'number' && { answerTokens }),
    });
  return fittedBody(bodyWithout, droppedFor);
}

/** @param bodyWithout the body without so many messages of the conversation. */
function fittedBody(bodyWithout: (dropped: number) => ChatBody, droppedFor: (target: BodyTarget) => number): ChatBody {
  const whole = bodyWithout(0);
  const fitted = (target: BodyTarget): ChatBody => {
    const dropped = droppedFor(target);
    return dropped === 0 ? whole : bodyWithout(dropped);
  };
  return {
    ...whole,
    bytesFor: (target) => fitted(target).bytesFor(target),
    ...(whole.bytesWithoutUsage && {
      bytesWithoutUsage: (target: BodyTarget) => {
        const body = fitted(target);
        return body.bytesWithoutUsage?.(target) ?? body.bytesFor(target);
      },
    }),
    continuing: (request) => fittedBody((dropped) => bodyWithout(dropped).continuing(request), droppedFor),
  };
}

/** @param json a whole, checked answer. */
export function chatResultOf(result: RequestResult, json: unknown): ChatResult {
  const completion = json as OpenAI.ChatCompletion;
  const choice = completion.choices[0];
  return {
    content: typeof choice?.message.content === 'string' ? choice.message.content : null,
    finishReason: choice?.finish_reason ?? 'stop',
    ...(completion.usage && { usage: completion.usage }),
    completion,
    model: result.model ?? '',
    fallbackUsed: result.fallbackUsed,
    attempts: result.attempts,
    latencyMs: Math.round(result.latencyMs),
  };
}
