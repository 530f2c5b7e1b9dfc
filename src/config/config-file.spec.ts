import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, describe, expect, it } from 'vitest';

import { faultsIn, faultsOf } from '../../test/config/given.js';
import { loadSettings } from './load-settings.js';

const WHOLE = 'expected a whole number from';
const NAME_EXPECTED = 'expected a name of 1 to 64 letters, digits and . _ : / @ -';

describe('a fault in a file has its line and column', () => {
  it.each<[string, string, string[]]>([
    ['a value', 'policy:\n  timeoutMs: many\n', [`f.yaml:2:14 policy.timeoutMs="many": ${WHOLE} 1 to 3600000`]],
    ['an unknown key', 'policies: {}\n', ['f.yaml:1:1 policies: unknown key; did you mean policy?']],
    [
      'an unknown key deep inside',
      'policy: { stream: { ttft: 5 } }',
      ['f.yaml:1:21 policy.stream.ttft: unknown key; did you mean ttftMs?'],
    ],
    [
      'a file in a file',
      'configFile: other.yaml',
      ['f.yaml:1:1 configFile: a file cannot name another; set FALLBACK_CONFIG_FILE or the option'],
    ],
    [
      'a literal key',
      'providers: { p: { apiKey: abc } }',
      ["f.yaml:1:27 providers.p.apiKey=[secret]: expected ${NAME}; a file never holds a key, only the variable's name"],
    ],
    [
      'a key that is only partly a name',
      'providers: { p: { apiKey: "x${K}" } }',
      ["f.yaml:1:27 providers.p.apiKey=[secret]: expected ${NAME}; a file never holds a key, only the variable's name"],
    ],
    [
      'an unset name',
      'providers: { p: { apiKey: "${NONE}" } }',
      ['f.yaml:1:27 providers.p.apiKey="${NONE}": ${NONE} is unset: expected a value for it'],
    ],
    [
      'an empty name',
      'models: { a: { id: "x-${EMPTY}" } }',
      ['f.yaml:1:20 models.a.id="x-${EMPTY}": ${EMPTY} is unset: expected a value for it'],
    ],
    [
      'no name',
      'models: { a: { id: "${A-B}" } }',
      ['f.yaml:1:20 models.a.id="${A-B}": expected ${NAME}, the name of a variable'],
    ],
    [
      'an open name',
      'models: { a: { id: "${SET" } }',
      ['f.yaml:1:20 models.a.id="${SET": expected ${NAME}, the name of a variable'],
    ],
    [
      'a name whose value does not fit',
      'policy: { timeoutMs: "${SET}" }',
      [`f.yaml:1:22 policy.timeoutMs="\${SET}": ${WHOLE} 1 to 3600000`],
    ],
    [
      'a member',
      'models: { a: {} }\nchains:\n  default:\n    - a\n    - aa\n',
      ['f.yaml:5:7 chains.default[1]="aa": expected a model that is declared under models; did you mean a?'],
    ],
    [
      'a value behind an alias',
      'models:\n  a: &a { weight: 0 }\n  b: *a\n',
      [
        'f.yaml:2:19 models.a.weight=0: expected a number from 0.001 to 1000',
        'f.yaml:2:19 models.b.weight=0: expected a number from 0.001 to 1000',
      ],
    ],
    [
      'a duplicate key',
      'policy:\n  timeoutMs: 1\n  timeoutMs: 2\n',
      ['f.yaml:3:3: duplicate key timeoutMs: expected each key once'],
    ],
    [
      'a duplicate key in JSON',
      '{ "models": {}, "models": {} }',
      ['f.yaml:1:17: duplicate key models: expected each key once'],
    ],
    [
      'broken syntax',
      'chains: [a, b',
      ['f.yaml:1:14: Flow sequence in block collection must be sufficiently indented and end with a ]'],
    ],
    ['a name no value has', 'models: { __proto__: {} }', [`f.yaml:1:11 models.__proto__: ${NAME_EXPECTED}`]],
    ['no keys at all', '- a', ['f.yaml:1:1=a list: expected keys and values']],
    ['a second document', 'policy: {}\n---\npolicy: {}\n', ['f.yaml:2:1: a second document begins: expected one']],
    ['an unknown tag', 'policy: !secret {}', ['f.yaml:1:9: Unresolved tag: !secret']],
    ['a scalar in place of a group', 'policy: 5', ['f.yaml:1:9 policy=5: expected keys and values']],
    ['a key without its value', 'policy: { timeoutMs: }', [`f.yaml:1:22 policy.timeoutMs=null: ${WHOLE} 1 to 3600000`]],
  ])('%s', (_why, file, faults) => expect(faultsOf({ file, env: { SET: 'abc', EMPTY: '', K: 'k' } })).toEqual(faults));

  it.each([
    [
      'an alias bomb',
      `a: &a [1,1,1,1,1,1,1,1,1]\n${'bcdef'.replaceAll(
        /./g,
        (key) =>
          `${key}: &${key} [${Array(9)
            .fill(`*${String.fromCodePoint((key.codePointAt(0) ?? 0) - 1)}`)
            .join(',')}]\n`,
      )}`,
      'aliases that resolve to too much, or to themselves',
    ],
    ['brackets without end', '['.repeat(20_000), 'nested too deep'],
  ])('%s is refused, not unrolled', (_why, file, reason) => {
    expect(faultsOf({ file })).toEqual([`f.yaml: cannot be read as YAML or JSON: ${reason}`]);
  });

  it('a line break in a key makes no second line', () => {
    expect(faultsOf({ file: '"a\\nb\\u001b[31m": 1' })[0]).toMatch(/^f\.yaml:1:1 a\\nb\\u001b\[31m: unknown key/);
  });
});

function faultsOfFile(path: string): readonly string[] {
  return faultsIn(() => loadSettings({ options: { configFile: path }, readVariable: () => undefined }));
}

describe('a file that cannot be read', () => {
  const folder = mkdtempSync(join(tmpdir(), 'config-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  it('is missing', () => {
    const path = join(folder, 'none.yaml');
    expect(faultsOfFile(path)).toEqual([`${path}: cannot be read: no such file`]);
  });

  it('is a directory', () => {
    expect(faultsOfFile(folder)).toEqual([`${folder}: cannot be read: it is a directory, expected a file`]);
  });

  it('is too large', () => {
    const path = join(folder, 'large.yaml');
    writeFileSync(path, '# comment\n'.repeat(30_000));
    expect(faultsOfFile(path)).toEqual([`${path}: too large: expected at most 262144 bytes`]);
  });

  it('is no text', () => {
    const path = join(folder, 'binary.yaml');
    writeFileSync(path, Buffer.from([0x61, 0xff, 0xfe]));
    expect(faultsOfFile(path)).toEqual([`${path}: cannot be read: it is not UTF-8 text`]);
  });

  it('is read where nothing is wrong with it, a byte order mark included', () => {
    const path = join(folder, 'good.yaml');
    writeFileSync(path, '\uFEFFpolicy: { timeoutMs: 5 }\n');
    expect(faultsOfFile(path)).toEqual([]);
  });
});
