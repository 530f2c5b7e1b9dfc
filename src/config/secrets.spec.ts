import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { faultsOf, type Given } from '../../test/config/given.js';
import { type FieldTable, leavesOf, MODEL_FIELDS, PROVIDER_FIELDS, TOP_FIELDS } from './ranges.js';
import { MODULE_VARIABLES } from './variables.js';

function inRecord(record: string, fields: FieldTable): string[][] {
  return [...leavesOf(fields)].map((path) => [record, 'name', ...path]);
}

function nest(path: readonly string[], value: unknown): object {
  return { [path[0] ?? '']: path.length > 1 ? nest(path.slice(1), value) : value };
}

function check(given: Given, planted: string): void {
  for (const line of faultsOf(given)) {
    expect(line).not.toContain(planted);
    expect(line).not.toContain(JSON.stringify(planted).slice(1, -1));
  }
}

describe('no key stands in a fault, wherever it was planted', () => {
  const key = fc.stringMatching(/^[a-z][A-Za-z0-9"\\$_-]{9,30}$/);
  const places = [
    ...leavesOf(TOP_FIELDS),
    ...inRecord('models', MODEL_FIELDS),
    ...inRecord('providers', PROVIDER_FIELDS),
  ];
  const variables = Object.values(MODULE_VARIABLES).map((variable) => variable.name);

  it('in a variable', () => {
    fc.assert(
      fc.property(key, fc.constantFrom(...variables), (planted, name) => {
        check({ env: { [name]: planted, OPENAI_API_KEY: planted } }, planted);
        check({ env: { [name]: `${planted} and more`, OPENAI_API_KEY: planted } }, planted);
      }),
    );
  });

  it('in an option, as value, key or name', () => {
    fc.assert(
      fc.property(key, fc.constantFrom(...places), (planted, path) => {
        const env = { OPENAI_API_KEY: planted };
        check({ env, options: nest(path, planted) }, planted);
        check({ env, options: nest([...path.slice(0, -1), planted], 1) }, planted);
        check({ options: { providers: { p: { apiKey: planted } }, policy: { onContentFilter: planted } } }, planted);
        check(
          { env, options: { ...nest(path, [planted]), chains: { default: [planted, planted], [planted]: [] } } },
          planted,
        );
      }),
    );
  });

  it('in a file, as a literal, by name, or where only its place makes it a key', () => {
    fc.assert(
      fc.property(key, fc.constantFrom(...places), (planted, path) => {
        check({ env: { K: planted }, file: JSON.stringify(nest(path, '${K}')) }, planted);
        check({ file: JSON.stringify(nest(['providers', 'p', 'apiKey'], planted)) }, planted);
        check({ file: JSON.stringify(nest(['providers', 'p', 'apikey'], planted)) }, planted);
        check({ file: `providers: { p: { apiKey: "${planted.replaceAll(/["\\]/g, '')}" ` }, planted);
      }),
    );
  });

  it('of a known shape, though nobody said that it is one', () => {
    for (const planted of ['sk-abcdef123456', 'gsk_abcdef123456', 'AIzaSyA1234567890', 'c0ffee'.repeat(6)]) {
      check(
        { env: { FALLBACK_MAX_RETRIES: planted }, options: { [planted]: 1, policy: { onContentFilter: planted } } },
        planted,
      );
    }
  });
});
