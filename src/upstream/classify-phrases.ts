/**
 * What known phrases in error messages mean: the last thing asked, where codes, types and statuses leave it open. A 400
 * is the vaguest status of all; a 429 or a 500 can be something else in disguise, and only what has been seen there is
 * looked for there.
 *
 * Every pattern runs over lower-case text of at most a few thousand characters, and every gap in it is bounded.
 */
import type { FailureClass } from '../policy/failure.js';

const PHRASES = {
  quota:
    /exceeded your current quota|insufficient[_ ](?:quota|credits?|balance|funds)|credit balance|out of credits|no (?:prepaid )?credits|credits? (?:exhausted|depleted)|all available credits|billing (?:hard )?limit|specified api usage limits|spend(?:ing)? limit|payment required|not enough (?:credits?|balance|funds)|monthly included credits|key limit exceeded|requires more credits/,
  auth: /api[- ]?key (?:is )?(?:not valid|invalid|expired|not found|missing)|(?:invalid|incorrect|missing|no) api[- ]?key|invalid authentication|authentication fail|invalid subscription key/,
  permission:
    /location is not supported|(?:country|region)[^.]{0,40} not supported|does not have (?:access|permission)|(?:not|n't) have access|permission denied/,
  content_filter:
    /content (?:management |usage )?polic(?:y|ies)|content[_ -]filter|safety (?:system|filter)|usage polic(?:y|ies)|input was flagged|been flagged|(?:blocked|rejected|refused) (?:by|due to|because of) [^.]{0,40}(?:polic|filter|safety|moderation)/,
  context_length:
    /(?:maximum|max|model's|available|loaded with) (?:context|prompt) (?:length|size|window)|context[ _](?:length|window|size|limit)[^.]{0,40} exceed|exceeds?[^.]{0,60} context|context (?:length|window|size) (?:of|is)[^.]{0,40} (?:only|too)|(?:prompt|input|inputs?|request|messages?) (?:is|are) too long|too many (?:input )?tokens|token count[^.]{0,40} exceeds|maximum prompt length|too large for model with|reduce the length of the (?:messages|prompt|input)|exceeds the maximum number of tokens|`inputs` tokens|greater than the context length/,
  not_found:
    /model[^\n]{0,80} (?:does not exist|not found|is not available|has been (?:deprecated|decommissioned|retired|shut down|removed)|no longer available)|not a valid model|unknown model|invalid model\b|no such model/,
  overloaded:
    /overloaded|(?:at|over|out of|no|exceeds?|insufficient|lacks?) capacity|capacity (?:is |has been )?exceeded|loading (?:the )?model|model[^.\n]{0,80} is (?:currently |still )?loading|server (?:is )?(?:too )?busy|engine is busy/,
  unsupported:
    /does(?: not|n't) support|not support(?:ed)?\b|unsupported|unrecognized request argument|unknown parameter|(?:extra (?:inputs|fields)|additional propert(?:y|ies)) (?:are|is) not (?:permitted|allowed)|supports at most|maximum allowed number of output tokens/,
  // OpenRouter's 404 for a model that is there, but not for this request.
  noEndpoint: /no endpoints found that support/,
  rate_limited: /rate[- ]?limit|too many requests|(?:tokens|requests) per (?:min|day|hour|second)|throttl/,
} as const;

type Phrase = keyof typeof PHRASES;

/** What a class that a type or a status stands for may turn out to be, in this order. */
const REFINEMENTS: Partial<Record<FailureClass, readonly Phrase[]>> = {
  invalid_request: [
    'quota',
    'auth',
    'not_found',
    'permission',
    'content_filter',
    'context_length',
    'overloaded',
    'unsupported',
  ],
  rate_limited: ['quota', 'overloaded'],
  server_error: ['context_length', 'overloaded'],
  not_found: ['noEndpoint'],
  context_length: ['rate_limited'],
};

/** An error that says neither status nor type: the text is all there is. */
const ALL_PHRASES: readonly Phrase[] = [
  'quota',
  'auth',
  'content_filter',
  'context_length',
  'not_found',
  'overloaded',
  'rate_limited',
];

/** A class seen more closely: the same one where no known phrase says otherwise. */
export function refineByPhrase(failureClass: FailureClass, text: string): FailureClass {
  return firstPhrase(REFINEMENTS[failureClass] ?? [], text) ?? failureClass;
}

/** The class of an error of which nothing but its text is known. */
export function classOfText(text: string): FailureClass | undefined {
  return firstPhrase(ALL_PHRASES, text);
}

function firstPhrase(phrases: readonly Phrase[], text: string): FailureClass | undefined {
  const found = phrases.find((phrase) => PHRASES[phrase].test(text));
  return found === 'noEndpoint' ? 'unsupported' : found;
}

/** A request larger than the limit itself: no wait makes it fit. */
export function saysRequestTooLarge(text: string): boolean {
  if (/request too large|tokens must be reduced|reduce your message size/.test(text)) return true;
  const numbers = /\blimit:? (\d{1,12})\b[^\n]{0,80}?\brequested:? (\d{1,12})\b/.exec(text);
  return numbers !== null && Number(numbers[2]) > Number(numbers[1]);
}

/** Whether a text speaks of one model rather than of the account: "does not have access to model `gpt-4`". */
export function namesModel(text: string): boolean {
  return (
    /\bmodels?\b[^.,;\n]{0,40}?[`'"“][\w.:/@-]{2,80}[`'"”]/.test(text) ||
    /\bmodel:? [a-z][\w.:/@-]{0,40}\d/.test(text) ||
    /\baccess to (?:this|the) model\b/.test(text)
  );
}
