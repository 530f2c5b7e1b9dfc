/**
 * B of the catalogue's harness: the model that always answers, in the way that the request asks for.
 */
import { reply, startScriptedModel } from '../../src/testing.js';
import type { ScriptedCall, ScriptedModel } from '../../src/testing.js';

export interface HealthyServer {
  readonly baseUrl: string;
  /** Calls for a model id, in order of arrival. */
  callsOf(model: string): readonly ScriptedCall[];
  close(): Promise<void>;
}

export async function startHealthyServer(): Promise<HealthyServer> {
  const model: ScriptedModel = await startScriptedModel((call) => {
    if (isContinuation(call)) return reply.text([' three']);
    if (Array.isArray(call.body['tools']))
      return reply.toolCalls([{ name: 'get_weather', arguments: { city: 'Paris' } }]);
    if (asksForJson(call)) return reply.text(['{"from":"B"}']);
    return reply.text(['Hello', ' from', ' B']);
  });
  return {
    baseUrl: model.baseUrl,
    callsOf: (name) => model.calls.filter((call) => call.model === name),
    close: () => model.close(),
  };
}

/** A text so far among the last two messages (as they are, or followed by an instruction). */
function isContinuation(call: ScriptedCall): boolean {
  const messages: readonly unknown[] = Array.isArray(call.body['messages']) ? call.body['messages'] : [];
  return messages.slice(-2).some((message) => fieldOf(message, 'role') === 'assistant');
}

function asksForJson(call: ScriptedCall): boolean {
  const type = fieldOf(call.body['response_format'], 'type');
  return type !== undefined && type !== 'text';
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null
    ? Object.entries(value).find(([key]) => key === name)?.[1]
    : undefined;
}
