/**
 * The ways in which a simulated model can be broken, and the failure class that each must be given: the contract's
 * section 6 as a wire can show it. The dashboard and the `drill` command list these; `play-fault.ts` plays them.
 */
import type { FailureClass } from '../policy/failure.js';
import type { WireError } from './openai-wire.js';

export interface SimulatedFault {
  readonly kind: SimulatedFaultKind;
  /**
   * How many characters of the answer go out before it breaks (those of `BREAKS_INSIDE`): of its text, then of what it
   * calls tools with.
   */
  readonly afterChars?: number;
  /** `Retry-After` of `rate_limited` and `overloaded`, whole seconds; absent: the header is not sent. */
  readonly retryAfterS?: number;
}

/** 40: a few words, so that a viewer sees the answer begin. */
export const DEFAULT_AFTER_CHARS = 40;

/**
 * What an attempt on a model broken so is to be classified as, by whether the request was streamed.
 * `null`: the fault cannot show there, the model answers as usual (`invalid_output` needs a request for JSON, too).
 */
export const EXPECTED_CLASS = {
  server_error: both('server_error'),
  overloaded: both('overloaded'),
  rate_limited: both('rate_limited'),
  auth: both('auth'),
  permission: both('permission'),
  quota: both('quota'),
  not_found: both('not_found'),
  network: both('network'),
  timeout: { plain: 'timeout_total', stream: 'timeout_ttft' },
  timeout_after_headers: { plain: 'timeout_total', stream: 'timeout_ttft' },
  bad_response: both('bad_response'),
  truncated_json: both('bad_response'),
  error_in_200: both('server_error'),
  empty_answer: both('empty_answer'),
  stream_cut: { plain: 'bad_response', stream: 'stream_cut' },
  stream_error: { plain: 'server_error', stream: 'stream_error' },
  timeout_idle: { plain: 'timeout_total', stream: 'timeout_idle' },
  malformed_event: both('bad_response'),
  invalid_output: { plain: 'invalid_output', stream: null },
  context_length: both('context_length'),
  content_filter: both('content_filter'),
  invalid_request: both('invalid_request'),
  unsupported: both('unsupported'),
} as const satisfies Record<string, { readonly plain: FailureClass | null; readonly stream: FailureClass | null }>;

/** The faults that can come when a part of the answer is out already. */
export const BREAKS_INSIDE = ['stream_cut', 'stream_error', 'timeout_idle', 'malformed_event'] as const;

export type SimulatedFaultKind = keyof typeof EXPECTED_CLASS;

export function isSimulatedFaultKind(word: string): word is SimulatedFaultKind {
  return Object.hasOwn(EXPECTED_CLASS, word);
}

export const SIMULATED_FAULT_KINDS: readonly SimulatedFaultKind[] =
  Object.keys(EXPECTED_CLASS).filter(isSimulatedFaultKind);

/** The faults that are an HTTP status and an error body, in the words of OpenAI. */
export const ERROR_RESPONSES: Partial<Record<SimulatedFaultKind, WireError & { readonly status: number }>> = {
  server_error: error(500, 'The server had an error while processing your request. Sorry about that!', 'server_error'),
  overloaded: error(
    503,
    'The model is temporarily overloaded. Please try again later.',
    'service_unavailable_error',
    'server_is_overloaded',
  ),
  rate_limited: error(
    429,
    'Rate limit reached for requests per min (RPM): Limit 3, Used 3, Requested 1.',
    'requests',
    'rate_limit_exceeded',
  ),
  auth: error(
    401,
    'Incorrect API key provided. You can find your API key in your account settings.',
    'invalid_request_error',
    'invalid_api_key',
  ),
  permission: error(
    403,
    'Country, region, or territory not supported',
    'request_forbidden',
    'unsupported_country_region_territory',
  ),
  quota: error(
    429,
    'You exceeded your current quota, please check your plan and billing details.',
    'insufficient_quota',
    'insufficient_quota',
  ),
  not_found: error(
    404,
    'The model does not exist or you do not have access to it.',
    'invalid_request_error',
    'model_not_found',
  ),
  context_length: error(
    400,
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 9012 tokens.",
    'invalid_request_error',
    'context_length_exceeded',
    'messages',
  ),
  content_filter: error(
    400,
    "The response was filtered due to the prompt triggering the provider's content management policy.",
    'invalid_request_error',
    'content_filter',
    'prompt',
  ),
  invalid_request: error(
    400,
    "Invalid value: 'robot'. Supported values are: 'system', 'assistant', 'user', 'tool', and 'developer'.",
    'invalid_request_error',
    'invalid_value',
    'messages[0].role',
  ),
  unsupported: error(
    400,
    "Unsupported parameter: 'max_tokens' is not supported with this model.",
    'invalid_request_error',
    'unsupported_parameter',
    'max_tokens',
  ),
};

function both<const C extends FailureClass>(failureClass: C): { readonly plain: C; readonly stream: C } {
  return { plain: failureClass, stream: failureClass };
}

function error(status: number, message: string, type: string, code: string | null = null, param: string | null = null) {
  return { status, message: `[simulated] ${message}`, type, code, param };
}
