/**
 * Reads one layer of nested settings (a config file or `forRoot()` options; both use the same words) into a tree, by
 * the tables of `ranges.ts`. Everything wrong becomes a fault that says where it stands.
 */
import type { FaultList } from './config-error.js';
import { isName, Kind, NAME_EXPECTED, shown } from './kind.js';
import { nearest } from './nearest.js';
import {
  type FieldTable,
  isTable,
  keysOf,
  MODEL_FIELDS,
  POLICY_FIELDS,
  PROVIDER_FIELDS,
  TOP_FIELDS,
} from './ranges.js';
import type { Entries, Member, Origin, Path, SettingTree } from './setting-tree.js';

/** Where something stands in what was written: keys, and numbers for places in a list. */
export type Place = readonly (string | number)[];

/** A string in which every `${NAME}` was replaced; `undefined`: one is unset, and that is a fault already. */
export interface Expanded {
  readonly text: string | undefined;
  /** What may be shown of it: never what came from a variable. */
  readonly written: string;
}

/** What differs between a file and options. */
export interface LayerSource {
  /** @param of `key`: the fault is that it stands there; `value`: what it says. */
  origin(place: Place, of: 'key' | 'value'): Origin;
  /** Replaces `${NAME}`; `undefined` where there is none in it. */
  expand(written: string, place: Place): Expanded | undefined;
  /** In a file, a key is written as exactly `${NAME}`. */
  readonly secretsAreNamed: boolean;
  /** Keys that are known elsewhere but not here, and why. */
  readonly misplaced: Readonly<Record<string, string>>;
}

export class LayerReader {
  readonly #source: LayerSource;
  readonly #tree: SettingTree;
  readonly #faults: FaultList;

  constructor(source: LayerSource, tree: SettingTree, faults: FaultList) {
    this.#source = source;
    this.#tree = tree;
    this.#faults = faults;
  }

  /** @param more keys of this layer alone. */
  read(root: unknown, more: FieldTable = {}): void {
    if (root === undefined || root === null) return;
    const fields = { ...TOP_FIELDS, ...more };
    const records: FieldTable = { providers: {}, models: {}, chains: {} };
    const entries = this.#entries(root, []);
    for (const [key, value] of entries) {
      const reason = this.#source.misplaced[key];
      if (Object.hasOwn(records, key)) this.#record(key, value);
      else if (reason !== undefined) this.#faults.add(`${this.#label([key], 'key')}: ${reason}`);
      else this.#field(key, value, { fields, path: [], known: { ...records, ...fields } });
    }
  }

  #record(record: string, value: unknown): void {
    for (const [name, entry] of this.#entries(value, [record])) {
      const path = [record, name];
      const origin = this.#source.origin(path, 'key');
      this.#tree.set(path, true, origin);
      if (!isName(name)) this.#faults.add(`${origin.label}: expected ${NAME_EXPECTED}`);
      else if (record === 'chains') this.#chain(name, entry);
      else this.#group(entry, { fields: record === 'models' ? MODEL_FIELDS : PROVIDER_FIELDS, path });
    }
  }

  #chain(name: string, value: unknown): void {
    const path = ['chains', name];
    if (Array.isArray(value)) {
      this.#members(value, [...path, 'models'], path);
      return;
    }
    if (typeof value !== 'object' || value === null) {
      const said = `${this.#label(path, 'value')}=${shown(value, true)}`;
      this.#faults.add(`${said}: expected a list of models, or models and policy keys`);
      this.#tree.setEntries([...path, 'models'], undefined, this.#source.origin(path, 'value'));
      return;
    }
    for (const [key, entry] of this.#entries(value, path)) {
      if (key === 'models') this.#members(entry, [...path, key], [...path, key]);
      else this.#field(key, entry, { fields: POLICY_FIELDS, path, known: { models: {}, ...POLICY_FIELDS } });
    }
  }

  #members(value: unknown, path: Path, place: Place): void {
    const origin = this.#source.origin(place, 'value');
    this.#tree.setEntries(path, undefined, origin);
    if (!Array.isArray(value) || value.length === 0) {
      const what = Array.isArray(value) ? 'an empty list' : shown(value, true);
      this.#faults.add(`${origin.label}=${what}: expected a list of at least one model`);
      return;
    }
    const entries: Entries = value.map((entry: unknown, index) => {
      if (!Array.isArray(entry)) return this.#member(entry, [...place, index]);
      if (entry.length === 0) {
        this.#faults.add(`${this.#label([...place, index], 'value')}: expected a group of at least one model`);
      }
      return entry.flatMap((equal: unknown, inner) => this.#member(equal, [...place, index, inner]));
    });
    this.#tree.setEntries(path, entries, origin);
  }

  #member(value: unknown, place: Place): readonly Member[] {
    const expanded = typeof value === 'string' ? this.#source.expand(value, place) : undefined;
    if (expanded && expanded.text === undefined) return [];
    const name = expanded?.text?.trim() ?? value;
    const label = `${this.#label(place, 'value')}=${shown(expanded?.written ?? value, true)}`;
    if (isName(name)) return [{ name, label }];
    this.#faults.add(`${label}: expected the name of a model`);
    return [];
  }

  #group(value: unknown, at: { fields: FieldTable; path: Path }): void {
    for (const [key, entry] of this.#entries(value, at.path)) this.#field(key, entry, at);
  }

  /** @param at.known what a misspelt key may have meant, where that is more than the fields. */
  #field(key: string, value: unknown, at: { fields: FieldTable; path: Path; known?: FieldTable }): void {
    const field = Object.hasOwn(at.fields, key) ? at.fields[key] : undefined;
    const path = [...at.path, key];
    if (field === undefined) {
      const meant = keyMeant(key, at.known ?? at.fields);
      // What stands under a misspelt `apiKey` is a key all the same.
      if (meant.endsWith('apiKey')) this.#faults.hide(value);
      this.#faults.add(`${this.#label(path, 'key')}: unknown key; did you mean ${meant}?`);
    } else if (isTable(field)) this.#group(value, { fields: field, path });
    else this.#leaf(field, value, path);
  }

  #leaf(kind: Kind<unknown>, value: unknown, path: Path): void {
    const origin = this.#source.origin(path, 'value');
    this.#tree.set(path, undefined, origin);
    if (kind.isSecret && this.#source.secretsAreNamed && !isExactlyNamed(value)) {
      this.#faults.hide(value);
      this.#faults.add(
        `${origin.label}=[secret]: expected \${NAME}; a file never holds a key, only the variable's name`,
      );
      return;
    }
    const expanded = typeof value === 'string' ? this.#source.expand(value, path) : undefined;
    if (expanded && expanded.text === undefined) return;
    const read = expanded?.text === undefined ? kind.fromValue(value) : kind.fromText(expanded.text.trim());
    if (kind.isSecret) this.#faults.hide(expanded?.text ?? value);
    const said = kind.show(expanded?.written ?? value, true);
    if (read === undefined) this.#faults.add(`${origin.label}=${said}: expected ${kind.expected}`);
    else this.#tree.set(path, read, { ...origin, said });
  }

  /** Nothing after a key (`policy:` with all below it commented out) says nothing. */
  #entries(value: unknown, place: Place): readonly (readonly [string, unknown])[] {
    if (value === undefined || value === null) return [];
    if (typeof value === 'object' && !Array.isArray(value))
      return Object.entries(value).filter(([, entry]) => entry !== undefined);
    this.#faults.add(`${this.#label(place, 'value')}=${shown(value, true)}: expected keys and values`);
    return [];
  }

  #label(place: Place, of: 'key' | 'value'): string {
    return this.#source.origin(place, of).label;
  }
}

/** A letter or two are a slip of the hand; beyond that, the key may be right and only its place wrong. */
const SLIP_OF_THE_HAND = 2;

function keyMeant(key: string, known: FieldTable): string {
  const here = nearestKey(key, keysOf(known));
  const elsewhere = nearestKey(key, keysOf({ 'providers.NAME': PROVIDER_FIELDS, 'models.NAME': MODEL_FIELDS }));
  return here.distance <= SLIP_OF_THE_HAND || elsewhere.distance > 0 ? here.path : elsewhere.path;
}

/** Dotted paths are compared by their last part: the rest only says where the key belongs. */
function nearestKey(key: string, paths: Iterable<string>): { path: string; distance: number } {
  const pathByKey = new Map<string, string>();
  for (const path of paths) {
    const last = path.slice(path.lastIndexOf('.') + 1);
    if (!pathByKey.has(last)) pathByKey.set(last, path);
  }
  const found = nearest(key, pathByKey.keys());
  return { path: pathByKey.get(found?.name ?? '') ?? '', distance: found?.distance ?? Infinity };
}

function isExactlyNamed(value: unknown): boolean {
  return typeof value === 'string' && /^\$\{[A-Za-z_][A-Za-z0-9_]*\}$/.test(value.trim());
}

/** `chains.default[1]`: how a place is written in faults and in `--explain`. */
export function placeText(place: Place): string {
  return place
    .map((part, index) => (typeof part === 'number' ? `[${part}]` : `${index > 0 ? '.' : ''}${part.slice(0, 80)}`))
    .join('');
}
