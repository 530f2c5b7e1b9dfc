import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const SRC = resolve(import.meta.dirname, '../src');

/** Room → the rooms that it may import; imports go inward only, siblings do not know each other. */
const INNER = ['policy'];
const MIDDLE = ['upstream', 'stream', 'store', 'config'];
const UP_TO_CHAIN = [...INNER, ...MIDDLE, 'chain'];
const UP_TO_FALLBACK = [...UP_TO_CHAIN, 'fallback'];
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  policy: [],
  stream: INNER,
  store: INNER,
  config: INNER,
  upstream: [...INNER, 'stream'],
  chain: [...INNER, ...MIDDLE],
  fallback: UP_TO_CHAIN,
  http: UP_TO_FALLBACK,
  health: UP_TO_FALLBACK,
  telemetry: UP_TO_FALLBACK,
  simulation: UP_TO_CHAIN,
  // Imports the module as a stranger would, and what a stranger has no use for.
  gateway: [...UP_TO_FALLBACK, 'http', 'health', 'telemetry', 'simulation', '.'],
  // What stands at the top puts the rooms together.
  '.': [...UP_TO_FALLBACK, 'http', 'health', 'telemetry', 'simulation', 'gateway'],
};

interface Import {
  readonly file: string;
  readonly line: number;
  readonly specifier: string;
}

function sourceFiles(): string[] {
  return readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter(
    (file) => file.endsWith('.ts') && !file.endsWith('.spec.ts'),
  );
}

const IMPORT =
  /(?:^|\n)\s*(?:import|export)\s[^;]*?from\s*'([^']+)'|(?:^|\n)\s*import\s*'([^']+)'|\bimport\('([^']+)'\)/g;

function importsOf(file: string): Import[] {
  const text = readFileSync(join(SRC, file), 'utf8');
  return [...text.matchAll(IMPORT)].map((match) => ({
    file,
    line: text.slice(0, match.index + match[0].length).split('\n').length,
    specifier: match[1] ?? match[2] ?? match[3] ?? '',
  }));
}

function roomOf(path: string): string {
  const [first = '', ...rest] = path.split('/');
  return rest.length === 0 ? '.' : first;
}

/** `src/a/b.ts:12 imports ../c/d.js: policy may not know chain`. */
function offence({ file, line, specifier }: Import): string | undefined {
  const room = roomOf(file);
  const where = `src/${file}:${line} imports ${specifier}`;
  if (!specifier.startsWith('.')) return room === 'policy' ? `${where}: policy imports nothing but itself` : undefined;
  const target = relative(SRC, resolve(SRC, dirname(file), specifier));
  const targetRoom = roomOf(target);
  if (target.startsWith('..') || targetRoom === room) return undefined;
  return MAY_IMPORT[room]?.includes(targetRoom) ? undefined : `${where}: ${room} may not know ${targetRoom}`;
}

describe('the house', () => {
  const imports = sourceFiles().flatMap(importsOf);

  it('has no room without rules', () => {
    expect(
      sourceFiles()
        .map(roomOf)
        .filter((room) => !(room in MAY_IMPORT)),
    ).toEqual([]);
  });

  it('imports inward only', () => {
    expect(imports.length).toBeGreaterThan(100);
    expect(imports.map(offence).filter((found) => found !== undefined)).toEqual([]);
  });

  it('would name an offending line', () => {
    expect(offence({ file: 'policy/backoff.ts', line: 7, specifier: '../chain/clock.js' })).toBe(
      'src/policy/backoff.ts:7 imports ../chain/clock.js: policy may not know chain',
    );
    expect(offence({ file: 'http/replies.ts', line: 1, specifier: '../telemetry/metrics.js' })).toContain(
      'http may not',
    );
    expect(offence({ file: 'policy/plan.ts', line: 1, specifier: 'node:fs' })).toContain('nothing but itself');
  });

  it('ends every relative import in .js', () => {
    const odd = imports.filter(({ specifier }) => specifier.startsWith('.') && !specifier.endsWith('.js'));
    expect(odd).toEqual([]);
  });
});
