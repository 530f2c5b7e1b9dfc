/**
 * The config file: YAML or JSON (which is YAML), read within a bound, with the place of every key for the faults.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { LineCounter, isAlias, isMap, isPair, isScalar, isSeq, type Node, parseDocument, type Document } from 'yaml';

import type { FaultList } from './config-error.js';
import { type Expanded, type LayerSource, type Place, placeText } from './layer-reader.js';
import type { Origin } from './setting-tree.js';

/** Two thousand models fit; a log file named by mistake does not (and the search for duplicate keys is quadratic). */
const LARGEST_FILE_BYTES = 262_144;
/** Aliases resolved per anchor count: far more than a hand-written file needs, far fewer than a bomb. */
const MOST_ALIASES = 100;
/** A file that is no YAML at all breaks on every line; the first ones tell. */
const MOST_SYNTAX_FAULTS = 5;

export interface ConfigFile {
  readonly content: unknown;
  readonly source: LayerSource;
}

/**
 * @param readFile      gives the text, or throws what `node:fs` throws.
 * @param readVariable  for `${NAME}`: undefined or empty means unset.
 * @returns undefined where nothing of the file can be used; the faults say why.
 */
export function readConfigFile(
  path: string,
  readFile: (path: string) => string,
  readVariable: (name: string) => unknown,
  faults: FaultList,
): ConfigFile | undefined {
  let text: string;
  try {
    text = readFile(path);
  } catch (error) {
    faults.add(`${path}: cannot be read: ${reasonOf(error)}`);
    return undefined;
  }
  if (text.length > LARGEST_FILE_BYTES) {
    faults.add(`${path}: too large: expected at most ${LARGEST_FILE_BYTES} bytes`);
    return undefined;
  }
  const lines = new LineCounter();
  try {
    // Pretty errors quote the source, in which a key may stand.
    const parsed = parseDocument(text, { lineCounter: lines, prettyErrors: false, merge: true, logLevel: 'error' });
    const problems = [...parsed.errors, ...parsed.warnings];
    if (problems.some((problem) => problem.code === 'RESOURCE_EXHAUSTION')) throw new RangeError('nested too deep');
    for (const problem of problems.slice(0, MOST_SYNTAX_FAULTS)) {
      const { line, col } = lines.linePos(problem.pos[0]);
      faults.add(`${path}:${line}:${col}: ${syntaxFault(problem, text)}`);
    }
    if (problems.length > 0) return undefined;
    const content: unknown = parsed.toJS({ maxAliasCount: MOST_ALIASES });
    return { content, source: fileSource(path, parsed, lines, readVariable, faults) };
  } catch (error) {
    const why = error instanceof RangeError ? 'nested too deep' : 'aliases that resolve to too much, or to themselves';
    faults.add(`${path}: cannot be read as YAML or JSON: ${why}`);
    return undefined;
  }
}

/** Reads no more than the bound, whatever the path leads to: a pipe, a device, a huge file. */
export function readTextFile(path: string): string {
  const file = openSync(path, 'r');
  try {
    const buffer = Buffer.alloc(LARGEST_FILE_BYTES + 1);
    let length = 0;
    for (let read = -1; read !== 0 && length < buffer.length; length += read) {
      read = readSync(file, buffer, length, buffer.length - length, null);
    }
    return new TextDecoder('utf-8', { fatal: true }).decode(buffer.subarray(0, length));
  } finally {
    closeSync(file);
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  EACCES: 'no permission',
  EISDIR: 'it is a directory, expected a file',
  ERR_ENCODING_INVALID_ENCODED_DATA: 'it is not UTF-8 text',
};

function reasonOf(error: unknown): string {
  const code = typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : 'unknown error';
  return REASONS[code] ?? code;
}

/** The parser's words without what it quotes of the source; a duplicate key is named, since that is all one needs. */
function syntaxFault(problem: { code: string; message: string; pos: [number, number] }, text: string): string {
  if (problem.code === 'DUPLICATE_KEY') {
    const key = /^["']?([\w.:/@-]{1,64}?)["']?\s*:(?:\s|$)/.exec(text.slice(problem.pos[0], problem.pos[0] + 80))?.[1];
    return `duplicate key${key === undefined ? '' : ` ${key}`}: expected each key once`;
  }
  if (problem.code === 'MULTIPLE_DOCS') return 'a second document begins: expected one';
  return problem.message
    .replaceAll(/"(?:[^"\\]|\\.)*"/g, '"…"')
    .replace(/\s+/g, ' ')
    .trim();
}

function fileSource(
  path: string,
  parsed: Document,
  lines: LineCounter,
  readVariable: (name: string) => unknown,
  faults: FaultList,
): LayerSource {
  const origin = (place: Place, of: 'key' | 'value'): Origin => {
    const offset = offsetOf(parsed, place, of);
    const { line, col } = offset === undefined ? { line: 1, col: 1 } : lines.linePos(offset);
    const from = `${path}:${line}:${col}`;
    return { source: 'file', from, label: place.length === 0 ? from : `${from} ${placeText(place)}` };
  };
  const expand = (written: string, place: Place): Expanded | undefined => {
    if (!written.includes('${')) return undefined;
    let isWhole = true;
    const text = written.replaceAll(/\$\{([^}]*)\}?/g, (reference, name: string) => {
      const value = /^\$\{[A-Za-z_][A-Za-z0-9_]*\}$/.test(reference) ? readVariable(name) : undefined;
      if (typeof value === 'number' || typeof value === 'boolean') return String(value);
      if (typeof value === 'string' && value.trim() !== '') return value;
      isWhole = false;
      const known = reference.endsWith('}') && /^[A-Za-z_][A-Za-z0-9_]*$/.test(name);
      const why = known ? 'is unset: expected a value for it' : 'expected ${NAME}, the name of a variable';
      faults.add(`${origin(place, 'value').label}=${JSON.stringify(written)}: ${known ? `${reference} ` : ''}${why}`);
      return '';
    });
    return { text: isWhole ? text : undefined, written };
  };
  const misplaced = {
    configFile: 'a file cannot name another; set FALLBACK_CONFIG_FILE or the option',
    logContent: 'is set by FALLBACK_LOG_CONTENT alone',
  };
  return { origin, expand, secretsAreNamed: true, misplaced };
}

/** @returns where the deepest part of the place begins that the file holds (a merged key stands elsewhere). */
function offsetOf(parsed: Document, place: Place, of: 'key' | 'value'): number | undefined {
  let node: Node | null = parsed.contents;
  let offset = node?.range?.[0];
  for (const [depth, part] of place.entries()) {
    if (isAlias(node)) node = node.resolve(parsed) ?? null;
    const isLast = depth === place.length - 1;
    let next: unknown;
    if (isSeq(node) && typeof part === 'number') next = node.items[part];
    if (isMap(node)) {
      const pair = node.items.find((item) => isPair(item) && isScalar(item.key) && String(item.key.value) === part);
      next = isLast && of === 'key' ? pair?.key : (pair?.value ?? pair?.key);
    }
    node = isNodeWithRange(next) ? next : null;
    if (node?.range) [offset] = node.range;
    else break;
  }
  return offset;
}

function isNodeWithRange(value: unknown): value is Node {
  return isScalar(value) || isMap(value) || isSeq(value) || isAlias(value);
}
