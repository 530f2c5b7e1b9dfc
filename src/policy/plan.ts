/**
 * Who may be asked for one request, in order, and under which rules: a chain and a request become a RequestPlan.
 *
 * Pure. What each model can do is known from configuration; what it is worth just now is the HealthView's affair.
 */
import type { Policy } from './policy.js';

/**
 * How a model is asked to go on with a text: by an instruction; by a trailing assistant message marked `prefix`
 * (DeepSeek, Mistral); by vLLM's `continue_final_message`.
 */
export type ContinuationWay = 'prompt' | 'prefix' | 'vllm';

export interface PlannedModel {
  readonly name: string;
  readonly provider: string;
  /** Tokens; unknown where the configuration does not say. */
  readonly contextWindow?: number;
  /** Model over chain over global. */
  readonly policy: Policy;
  /** Retries on this model within one request, where its own options bound them. */
  readonly maxRetries?: number;
  /** `none`: never asked to go on with another's text. */
  readonly continuation: ContinuationWay | 'none';
  /** Which entry of the chain it stands in: equals of a group share one. */
  readonly entry: number;
}

export interface RequestPlan {
  /** The chain whose rules apply; a label of metrics, so never a caller's word. */
  readonly chain: string;
  /** At least one. */
  readonly models: readonly PlannedModel[];
  readonly streaming: boolean;
  /** A text that broke off can be gone on with: no JSON output, no `logprobs`, one choice. */
  readonly isContinuable: boolean;
  /** Of the chain. */
  readonly policy: Policy;
  /** From the start of the request; a caller's own deadline has already shortened it. */
  readonly deadlineMs: number;
}

export interface PlanRequest {
  readonly streaming: boolean;
  readonly isContinuable: boolean;
  /** False: the first model only. */
  readonly fallback: boolean;
  /** The caller's own deadline in ms; it only shortens. */
  readonly deadlineMs?: number;
}

export function makePlan(
  chain: { readonly name: string; readonly models: readonly PlannedModel[]; readonly policy: Policy },
  request: PlanRequest,
): RequestPlan {
  return {
    chain: chain.name,
    models: request.fallback ? chain.models : chain.models.slice(0, 1),
    streaming: request.streaming,
    isContinuable: request.isContinuable,
    policy: chain.policy,
    deadlineMs: Math.min(chain.policy.deadlineMs, request.deadlineMs ?? Infinity),
  };
}
