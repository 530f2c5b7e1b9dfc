/**
 * What single words mean: `error.code`, `error.type`, Google's `status`, AWS's names of errors, and HTTP statuses. Words are compared without case, separators and a closing `error` or `exception`, so that
 * `rate_limit_error`, `RateLimitError` and `RATE_LIMIT` are one.
 *
 * Words that say no more than the status does (`invalid_request_error`, `api_error`) are left out on purpose: OpenAI
 * writes `invalid_request_error` beside a 401 and a 404.
 * Source: the failure catalogue in test/data, and the providers' own error references.
 */
import { FAILURE_CLASSES, type FailureClass } from '../policy/failure.js';

/** The longest word in the table is shorter by far; longer ones are no words. */
const LONGEST_WORD = 80;

const WORDS_BY_CLASS: Partial<Record<FailureClass, string>> = {
  auth: `invalid_api_key incorrect_api_key api_key_invalid api_key_expired missing_api_key no_api_key authentication
    authentication_failed invalid_authentication unauthorized unauthenticated account_deactivated invalid_token
    expired_token token_expired unrecognized_client invalid_signature invalid_client access_token_expired
    model_authentication`,
  permission: `permission permission_denied forbidden request_forbidden access_denied access_terminated no_access
    unsupported_country_region_territory ip_not_authorized service_disabled insufficient_permissions`,
  quota: `insufficient_quota credit_balance_exhausted organization_spend_limit_exceeded
    organization_usage_limit_exceeded project_spend_limit_exceeded project_usage_limit_exceeded
    enforced_spend_limit_reached spend_limit_reached billing billing_hard_limit_reached billing_not_active
    billing_disabled insufficient_balance insufficient_credits insufficient_funds payment_required
    exceeded_current_quota usage_limit_reached usage_limit_exceeded service_quota_exceeded arrearage`,
  not_found: `not_found model_not_found deployment_not_found model_not_available unavailable_model unknown_model
    model_decommissioned model_deprecated model_not_supported resource_not_found invalid_model model_does_not_exist`,
  rate_limited: `rate_limit rate_limited rate_limit_exceeded rate_limit_reached ratelimit requests tokens slow_down
    resource_exhausted throttling throttled throttled_request too_many_requests request_limit_exceeded
    model_rate_limit input_tokens output_tokens`,
  overloaded: `overloaded model_overloaded engine_overloaded server_overloaded server_is_overloaded
    service_unavailable unavailable no_capacity capacity_exceeded model_not_ready model_loading
    engine_unavailable`,
  context_length: `context_length_exceeded context_length context_window_exceeded exceed_context_size
    request_too_large prompt_too_long input_too_long tokens_limit_reached context_overflow
    max_context_length_exceeded`,
  content_filter: `content_filter content_filtered content_policy content_policy_violation
    image_content_policy_violation responsible_ai_policy_violation moderation_blocked content_moderation
    data_inspection_failed sensitive_words_detected invalid_prompt prohibited_content`,
  unsupported: `unsupported_parameter unsupported_value unsupported_feature unsupported_content_type unknown_parameter
    operation_not_supported extra_forbidden value_error_extra not_supported`,
  server_error: `server internal internal_server internal_service internal_failure model_error model_timeout
    model_stream_error conflict timeout request_timeout deadline_exceeded gateway_timeout bad_gateway`,
};

const CLASS_BY_WORD = new Map(
  FAILURE_CLASSES.flatMap((failureClass) => {
    const words = WORDS_BY_CLASS[failureClass]?.split(/\s+/) ?? [];
    return words.map((word) => [bare(word), failureClass] as const);
  }),
);

const INVALID_REQUEST_WORDS = new Set(
  'invalid_request bad_request invalid_argument invalid_parameter unprocessable_entity validation value_error'
    .split(' ')
    .map(bare),
);

/** The class that a word stands for; undefined for one that we do not know or that says nothing. */
export function classOfWord(word: string): FailureClass | undefined {
  return CLASS_BY_WORD.get(bare(word));
}

/** Says only that the request was refused: counts where no status says more. */
export function isInvalidRequestWord(word: string): boolean {
  return INVALID_REQUEST_WORDS.has(bare(word));
}

function bare(word: string): string {
  return word
    .slice(0, LONGEST_WORD)
    .toLowerCase()
    .replaceAll(/[^a-z0-9]/g, '')
    .replace(/(?:error|exception)$/, '');
}

const CLASS_BY_STATUS: Readonly<Record<number, FailureClass>> = {
  401: 'auth',
  402: 'quota',
  403: 'permission',
  404: 'not_found',
  405: 'not_found', // a POST to a route that is not this one: a wrong base URL, never the caller's fault
  407: 'permission', // a proxy between us and the provider
  408: 'server_error',
  409: 'server_error',
  410: 'not_found',
  413: 'context_length',
  421: 'server_error', // the connection reached the wrong server
  424: 'server_error', // something behind the provider failed (Bedrock's model errors)
  425: 'server_error',
  429: 'rate_limited',
  451: 'permission',
  498: 'overloaded', // Groq: no capacity in this tier
  499: 'server_error', // the provider's own proxy gave up on it
  529: 'overloaded', // Anthropic's own status
};

/** The class that a status has by itself; a 2xx has none and is a `bad_response` here. */
export function classOfStatus(status: number): FailureClass {
  const known = CLASS_BY_STATUS[status];
  if (known) return known;
  if (status >= 400 && status <= 499) return 'invalid_request';
  return status >= 500 && status <= 599 ? 'server_error' : 'bad_response';
}
