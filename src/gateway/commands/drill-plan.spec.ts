import { describe, expect, it } from 'vitest';
import { loadSettings } from '../../config/load-settings.js';
import type { FallbackOptions } from '../../config/options.js';
import { type DrillCase, planDrill } from './drill-plan.js';

const MODELS = {
  a: { provider: 'one', contextWindow: 8_000 },
  b: { provider: 'one', contextWindow: 8_000 },
  c: { provider: 'two', contextWindow: 16_000 },
  d: { provider: 'two' },
};

function plan(chain: NonNullable<FallbackOptions['chains']>[string], policy = {}): DrillCase[] {
  const options: FallbackOptions = {
    providers: { one: { baseUrl: 'http://127.0.0.1:1/v1' }, two: { baseUrl: 'http://127.0.0.1:2/v1' } },
    models: MODELS,
    chains: { default: chain },
    policy,
  };
  return planDrill(loadSettings({ options, readVariable: () => undefined }));
}

function names(models: DrillCase['broken']): string {
  return models.map(({ name }) => name).join('|');
}

/** `a>b` by fault, of requests that are not streamed. */
function edges(cases: readonly DrillCase[], fault: DrillCase['fault'], streaming = false): string[] {
  return cases
    .filter((one) => one.fault === fault && one.streaming === streaming)
    .map(({ broken, expected }) => `${names(broken)}>${names(expected)}`);
}

describe('a drill of a, b, c', () => {
  const cases = plan(['a', 'b', 'c']);

  it('asks of a fault of one model that the next one answers', () => {
    expect(edges(cases, 'server_error')).toEqual(['a>b', 'b>c']);
    expect(edges(cases, 'server_error', true)).toEqual(['a>b', 'b>c']);
  });
  it('asks of a fault of the operator that another provider answers', () => {
    expect(edges(cases, 'auth')).toEqual(['a>c', 'b>c']);
  });
  it('asks of a request that is too long that a larger model answers', () => {
    expect(edges(cases, 'context_length')).toEqual(['a>c', 'b>c']);
  });
  it('asks nothing of what is the caller’s own fault', () => {
    expect(edges(cases, 'invalid_request')).toEqual([]);
    expect(edges(cases, 'content_filter')).toEqual([]);
  });
  it('asks nothing of what cannot show in a stream', () => {
    expect(edges(cases, 'invalid_output')).toEqual(['a>b', 'b>c']);
    expect(edges(cases, 'invalid_output', true)).toEqual([]);
  });
});

it('a drill breaks all equals of a group, and asks any of the next', () => {
  const cases = plan([
    ['a', 'c'],
    ['b', 'd'],
  ]);
  expect(edges(cases, 'server_error')).toEqual(['a|c>b|d']);
  expect(edges(cases, 'auth')).toEqual([]);
});

it('a drill knows what the policy asks for', () => {
  const cases = plan(['a', 'c'], { onContentFilter: 'next', onInvalidOutput: 'return' });
  expect(edges(cases, 'content_filter')).toEqual(['a>c']);
  expect(edges(cases, 'invalid_output')).toEqual([]);
});

it('a model whose window nobody knows may answer what is too long', () => {
  expect(edges(plan(['a', 'd']), 'context_length')).toEqual(['a>d']);
});

it('one model alone has nothing to drill', () => expect(plan(['a'])).toEqual([]));
