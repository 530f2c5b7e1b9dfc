import { describe, expect, it } from 'vitest';
import { chatRoutes, modelsRoute } from './provider.js';
import type { ProviderTarget } from './upstream.js';

const openai: ProviderTarget = { name: 'p', kind: 'openai', baseUrl: 'https://api.openai.com/v1', apiKey: 'sk-x' };
const azure: ProviderTarget = {
  name: 'a',
  kind: 'azure',
  baseUrl: 'https://x.openai.azure.com',
  apiVersion: '2025-04-01-preview',
  apiKey: 'az-x',
};

function header(headers: readonly string[], name: string): string | undefined {
  return headers[headers.indexOf(name) + 1 || headers.length];
}

describe('the route of a chat request', () => {
  it.each([
    ['an OpenAI base URL', openai, 'https://api.openai.com', '/v1/chat/completions'],
    ['a path of its own', { ...openai, baseUrl: 'http://h:81/a/b/' }, 'http://h:81', '/a/b/chat/completions'],
    ['a query', { ...openai, baseUrl: 'http://h/v1?v=2' }, 'http://h', '/v1/chat/completions?v=2'],
    [
      'Azure',
      azure,
      'https://x.openai.azure.com',
      '/openai/deployments/my%20gpt/chat/completions?api-version=2025-04-01-preview',
    ],
  ])('follows %s', (_, provider, origin, path) => {
    const { plain, streamed } = chatRoutes({ name: 'm', id: 'my gpt', provider });
    expect([plain.origin, plain.path]).toEqual([origin, path]);
    expect([streamed.origin, streamed.path]).toEqual([origin, path]);
    expect([header(plain.headers, 'accept'), header(streamed.headers, 'accept')]).toEqual([
      'application/json',
      'text/event-stream',
    ]);
  });

  it('carries the key as its provider wants it, or none where there is none', () => {
    expect(header(modelsRoute(openai).headers, 'authorization')).toBe('Bearer sk-x');
    expect(header(modelsRoute(azure).headers, 'api-key')).toBe('az-x');
    expect(modelsRoute(azure).headers).not.toContain('authorization');
    const { apiKey: _key, ...keyless } = openai;
    expect(modelsRoute(keyless).headers).not.toContain('authorization');
  });
});

describe('the route of the list of models', () => {
  it('stands beside the chat', () => {
    expect(modelsRoute(openai).path).toBe('/v1/models');
    expect(modelsRoute(azure).path).toBe('/openai/models?api-version=2025-04-01-preview');
  });
});
