import { describe, expect, it } from 'vitest';

import { chainOf, type Given, load } from '../../test/config/given.js';

describe('the default chain', () => {
  const file = 'chains: { default: [[a, b], c, d] }';
  it.each<Given & { why: string; chain: unknown }>([
    { why: 'FALLBACK_PRIMARY_MODEL is its first', env: { FALLBACK_PRIMARY_MODEL: 'x' }, chain: ['x', 'gpt-3.5-turbo'] },
    { why: 'FALLBACK_MODEL is the rest', env: { FALLBACK_MODEL: ' x, y ,' }, chain: ['gpt-4', 'x', 'y'] },
    {
      why: 'a first model that the rest holds by default stands once',
      env: { FALLBACK_PRIMARY_MODEL: 'gpt-3.5-turbo' },
      chain: ['gpt-3.5-turbo'],
    },
    {
      why: 'empty variables are unset',
      env: { FALLBACK_MODEL: '', FALLBACK_PRIMARY_MODEL: ' ' },
      chain: ['gpt-4', 'gpt-3.5-turbo'],
    },
    { why: 'the file names it', file, chain: [['a', 'b'], 'c', 'd'] },
    {
      why: "the variable replaces the file's first",
      file,
      env: { FALLBACK_PRIMARY_MODEL: 'x' },
      chain: ['x', 'c', 'd'],
    },
    { why: "the variable names one of the file's rest", file, env: { FALLBACK_PRIMARY_MODEL: 'c' }, chain: ['c', 'd'] },
    {
      why: "the variable replaces the file's rest",
      file,
      env: { FALLBACK_MODEL: 'x,y' },
      chain: [['a', 'b'], 'x', 'y'],
    },
    {
      why: 'options win over both',
      file,
      env: { FALLBACK_PRIMARY_MODEL: 'x' },
      options: { chains: { default: ['o'] } },
      chain: ['o'],
    },
    { why: 'declared models in order', file: 'models: { m: {}, k: {} }', chain: ['m', 'k'] },
    {
      why: 'declared models, another one first',
      file: 'models: { m: {}, k: {}, l: {} }',
      env: { FALLBACK_PRIMARY_MODEL: 'k' },
      chain: ['k', 'm', 'l'],
    },
    { why: 'embedding models do not chat', file: 'models: { e: { embeddingSpace: s }, k: {} }', chain: ['k'] },
    {
      why: 'policy keys alone keep the built-in models',
      file: 'chains: { default: { deadlineMs: 5 } }',
      chain: ['gpt-4', 'gpt-3.5-turbo'],
    },
    {
      why: 'a built-in model needs no declaration beside declared ones',
      file: 'models: { m: {} }\nchains: { default: [m, gpt-4] }',
      chain: ['m', 'gpt-4'],
    },
    {
      why: 'a list in options replaces the list alone',
      file: 'chains: { default: { models: [a], deadlineMs: 5 } }',
      options: { chains: { default: ['o'] } },
      chain: ['o'],
    },
  ])('$why', ({ chain, ...given }) => expect(chainOf(load(given))).toEqual(chain));

  it('keeps its policy where a list in options replaces its models', () => {
    const settings = load({
      file: 'chains: { default: { models: [a], deadlineMs: 5 } }',
      options: { chains: { default: ['o'] } },
    });
    expect(settings.chains.get('default')?.policy.deadlineMs).toBe(5);
  });

  it('models that nobody declares stand at openai under their own name', () => {
    const settings = load({ options: { chains: { fast: ['mini'] } }, env: { FALLBACK_MODEL: 'other' } });
    expect(settings.models.get('mini')).toMatchObject({ id: 'mini', provider: { name: 'openai' } });
    expect(settings.models.get('other')).toMatchObject({ id: 'other', provider: { name: 'openai' } });
    expect(settings.models.get('mini')?.price).toBeUndefined();
  });
});
