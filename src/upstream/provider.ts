/**
 * How each kind of provider is called: path, key and headers. Made once per model; a request adds its id alone.
 *
 * What a caller sent in headers never comes here, so it cannot go upstream.
 */
import { readFileSync } from 'node:fs';
import type { ModelTarget, ProviderTarget } from './upstream.js';

/** Where a request goes. Header names and values in turn, as the transport takes them. */
export interface Route {
  readonly origin: string;
  readonly path: string;
  readonly headers: readonly string[];
}

export interface ChatRoutes {
  readonly plain: Route;
  readonly streamed: Route;
}

/** @throws where the provider's base URL is none; the configuration has checked it. */
export function chatRoutes(target: ModelTarget): ChatRoutes {
  const { provider, id } = target;
  const place =
    provider.kind === 'azure'
      ? placeOf(provider, `/openai/deployments/${encodeURIComponent(id)}/chat/completions`)
      : placeOf(provider, '/chat/completions');
  const shared = [...headersOf(provider), 'content-type', 'application/json'];
  return {
    plain: { ...place, headers: [...shared, 'accept', 'application/json'] },
    streamed: { ...place, headers: [...shared, 'accept', 'text/event-stream'] },
  };
}

/** The list of models, which costs nothing. */
export function modelsRoute(provider: ProviderTarget): Route {
  const place = placeOf(provider, provider.kind === 'azure' ? '/openai/models' : '/models');
  return { ...place, headers: [...headersOf(provider), 'accept', 'application/json'] };
}

function placeOf(provider: ProviderTarget, path: string): Pick<Route, 'origin' | 'path'> {
  const base = new URL(provider.baseUrl);
  if (provider.kind === 'azure' && provider.apiVersion) base.searchParams.set('api-version', provider.apiVersion);
  return { origin: base.origin, path: base.pathname.replace(/\/+$/, '') + path + base.search };
}

function headersOf({ kind, apiKey }: ProviderTarget): string[] {
  const key = kind === 'azure' ? ['api-key', apiKey ?? ''] : ['authorization', `Bearer ${apiKey ?? ''}`];
  // Uncompressed: answers are small, and a compressed stream waits for its compressor. Some send gzip all the same.
  return [...(apiKey ? key : []), 'accept-encoding', 'identity', 'user-agent', userAgent()];
}

let knownUserAgent: string | undefined;

function userAgent(): string {
  knownUserAgent ??= `nestjs-llm-fallback/${readVersion()}`;
  return knownUserAgent;
}

function readVersion(): string {
  try {
    const file = new URL('../../package.json', import.meta.url);
    const { version = '' } = Object(JSON.parse(readFileSync(file, 'utf8')));
    return String(version);
  } catch {
    // A host that bundles its code has no package file beside it; a name without a version still tells who calls.
    return 'bundled';
  }
}
