import { describe, expect, it } from 'vitest';
import { loadSettings } from '../../config/load-settings.js';
import type { FallbackOptions } from '../../config/options.js';
import { type DrillCase, type DrillMoment, planDrill } from './drill-plan.js';

const MODELS = {
  a: { provider: 'one', contextWindow: 8_000 },
  b: { provider: 'one', contextWindow: 8_000 },
  c: { provider: 'two', contextWindow: 16_000 },
  d: { provider: 'two' },
  last: { provider: 'two', continuation: 'none' },
} satisfies FallbackOptions['models'];

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

/** `a>b` by fault, before the first token of requests that are not streamed, or are. */
function edges(cases: readonly DrillCase[], fault: DrillCase['fault'], streaming = false): string[] {
  return edgesAt(
    'before all',
    cases.filter((one) => one.streaming === streaming),
    fault,
  );
}

function edgesAt(moment: DrillMoment, cases: readonly DrillCase[], fault: DrillCase['fault']): string[] {
  return cases
    .filter((one) => one.fault === fault && one.moment === moment)
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

describe('a drill of streams that break after their first token', () => {
  it.each(['stream_cut', 'stream_error', 'timeout_idle', 'malformed_event'] as const)(
    'asks of %s that the next model goes on with a text, and gives a whole tool call',
    (fault) => {
      const cases = plan(['a', 'b', 'c']);
      expect(edgesAt('in a text', cases, fault)).toEqual(['a>b', 'b>c']);
      expect(edgesAt('in a tool call', cases, fault)).toEqual(['a>b', 'b>c']);
    },
  );
  it('passes over a model that goes on with no text, but not where it can begin anew', () => {
    const cases = plan(['a', 'last', 'b']);
    expect(edgesAt('in a text', cases, 'stream_cut')).toEqual(['a>b', 'last>b']);
    expect(edgesAt('in a tool call', cases, 'stream_cut')).toEqual(['a>last', 'last>b']);
  });
  it('asks nothing where the policy says that a broken stream ends', () => {
    const cases = plan(['a', 'b'], { stream: { onBreak: 'error' } });
    expect(edgesAt('in a text', cases, 'stream_cut')).toEqual([]);
    expect(edgesAt('in a tool call', cases, 'stream_cut')).toEqual(['a>b']);
  });
  it('asks nothing of tool calls that go out as they come', () => {
    const cases = plan(['a', 'b'], { stream: { toolCalls: 'pass' } });
    expect(edgesAt('in a tool call', cases, 'stream_cut')).toEqual([]);
    expect(edgesAt('in a text', cases, 'stream_cut')).toEqual(['a>b']);
  });
  it('asks nothing of what can only come before it', () => {
    expect(edgesAt('in a text', plan(['a', 'b']), 'server_error')).toEqual([]);
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
