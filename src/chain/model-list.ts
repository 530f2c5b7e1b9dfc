/**
 * What a provider's answer to `GET /models` tells: that the key is accepted, which models there are, or nothing at all.
 * Only reads; who asks, and what follows, is decided elsewhere.
 *
 * Lists are not what OpenAI's reference says everywhere: a bare list (Together), `models` (Google, Ollama), names with a
 * prefix (`models/gemini-2.5-pro`) or a tag (`llama3:latest`), pages (Anthropic). Where a list may leave a model out, its
 * silence is no evidence.
 */
import type { ProviderSettings } from '../config/settings.js';
import { type Failure, traitsOf } from '../policy/failure.js';
import { classifyErrorPayload, classifyResponse, isErrorPayload, ownFailure } from '../upstream/classify.js';
import type { ListedModels } from '../upstream/models-list.js';
import { isRecord, parseJson, property, textProperty } from '../upstream/unknown-value.js';

export type ProviderReading =
  /** The provider is there and accepts the key. */
  | { readonly type: 'listed'; readonly status: number; has(modelId: string): boolean }
  /** There is no such route, or not for this key: nothing is known of the models. */
  | { readonly type: 'silent'; readonly status: number }
  | { readonly type: 'failed'; readonly failure: Failure };

export function readModelList(
  { kind }: Pick<ProviderSettings, 'kind'>,
  listed: ListedModels,
  wallEpochMs: number,
): ProviderReading {
  if (listed.type === 'failed') return listed;
  const { status, headers, body } = listed;
  if (status < 200 || status >= 300)
    return readRefusal(classifyResponse({ status, headers, body }, wallEpochMs), status);
  const json = parseJson(body);
  if (json === undefined) return { type: 'failed', failure: ownFailure('bad_response', 'no list of models', status) };
  if (isErrorPayload(json)) return readRefusal(classifyErrorPayload(json, headers, wallEpochMs), status);
  const ids = idsOf(json);
  // Azure lists what could be deployed, not what is.
  const isWhole = kind !== 'azure' && ids !== undefined && property(json, 'has_more') !== true;
  return { type: 'listed', status, has: isWhole ? nameMatcher(ids) : () => true };
}

/** A refusal of this very request says nothing of chats: another route, or a key that may do everything but list. */
function readRefusal(failure: Failure, status: number): ProviderReading {
  const isAboutTheRoute =
    status === 405 || status === 501 || failure.class === 'not_found' || traitsOf(failure.class).callersFault !== 'no';
  const mayNotList =
    (failure.class === 'auth' || failure.class === 'permission') &&
    /missing scope|model\.read/i.test(failure.error.message);
  return isAboutTheRoute || mayNotList ? { type: 'silent', status } : { type: 'failed', failure };
}

/** undefined where the answer has no shape that is known for a list. */
function idsOf(json: unknown): readonly string[] | undefined {
  const list = [json, property(json, 'data'), property(json, 'models')].find((value) => Array.isArray(value));
  if (!Array.isArray(list)) return undefined;
  return list.flatMap((entry: unknown) => {
    if (typeof entry === 'string') return [entry];
    if (!isRecord(entry)) return [];
    return ['id', 'name', 'model'].flatMap((key) => textProperty(entry, key) ?? []);
  });
}

/** `llama3` is Ollama's `llama3:latest`; `deepseek-r1:nitro` is OpenRouter's `deepseek-r1` asked for in another way. */
function nameMatcher(listedIds: readonly string[]): (modelId: string) => boolean {
  const names = new Set(listedIds.map(withoutPrefix));
  return (modelId) => {
    const id = withoutPrefix(modelId);
    return names.has(id) || names.has(`${id}:latest`) || names.has(id.replace(/:[^:/]+$/, ''));
  };
}

function withoutPrefix(id: string): string {
  return id.replace(/^models\//, '');
}
