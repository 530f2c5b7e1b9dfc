/**
 * Settings while they are being put together: a flat map from path to value, each with where it came from. Later
 * layers simply set over earlier ones, which is what "key by key, inside groups too" means.
 *
 * Flat, because a name may be `constructor` or hold dots: paths are lists, and nothing is looked up in an object.
 */
import type { PolicyOptions } from '../policy/policy.js';
import type { Kind } from './kind.js';
import { leavesOf, POLICY_FIELDS } from './ranges.js';
import type { SettingSource } from './settings.js';

export type Path = readonly string[];

export interface Origin {
  readonly source: SettingSource;
  /** The variable, or file:line:col. */
  readonly from?: string;
  /** How a fault begins that is about this value: `FALLBACK_MODEL`, `fallback.yaml:3:5 models.gpt-4.provider`. */
  readonly label: string;
  /** The value as a fault may show it: `${NAME}`, never what came from there. */
  readonly said?: string;
}

/** One member of a chain as it was written, so that a fault found later can still point at it. */
export interface Member {
  readonly name: string;
  readonly label: string;
}
/** In order; a group of equals is one entry of several members. */
export type Entries = readonly (readonly Member[])[];

interface Leaf {
  readonly path: Path;
  /** Undefined where what was written is a fault: it says something, but nothing that can be used. */
  readonly value: unknown;
  readonly origin: Origin;
}

export class SettingTree {
  readonly #leaves = new Map<string, Leaf>();
  readonly #entries = new Map<string, Entries>();

  set(path: Path, value: unknown, origin: Origin): void {
    this.#leaves.set(keyOf(path), { path, value, origin });
  }

  has(path: Path): boolean {
    return this.#leaves.has(keyOf(path));
  }

  /** The value, read by the kind that let it in. */
  value<T>(kind: Kind<T>, path: Path): T | undefined {
    return kind.fromValue(this.#leaves.get(keyOf(path))?.value);
  }

  setEntries(path: Path, entries: Entries | undefined, origin: Origin): void {
    this.set(path, undefined, origin);
    if (entries) this.#entries.set(keyOf(path), entries);
    else this.#entries.delete(keyOf(path));
  }

  /** What a chain lists; undefined where nothing is listed or what is listed is a fault. */
  entries(path: Path): Entries | undefined {
    return this.#entries.get(keyOf(path));
  }

  origin(path: Path): Origin | undefined {
    return this.#leaves.get(keyOf(path))?.origin;
  }

  /** Every leaf whose path begins so, in the order in which they were first set. */
  *under(prefix: Path): Generator<Leaf> {
    for (const leaf of this.#leaves.values()) {
      if (leaf.path.length > prefix.length && prefix.every((part, index) => leaf.path[index] === part)) yield leaf;
    }
  }

  /** Names declared in a record (`providers`, `models`, `chains`), in the order in which they were declared. */
  names(record: string): readonly string[] {
    return [...new Set([...this.under([record])].flatMap((leaf) => leaf.path.slice(1, 2)))];
  }

  /** What is said of the policy there: at the top (`['policy']`), under a chain or under a model. */
  policyUnder(prefix: Path): PolicyOptions {
    const groups = new Map<string, unknown>();
    for (const [key, inner] of leavesOf(POLICY_FIELDS)) {
      if (key === undefined) continue;
      const path = inner === undefined ? [...prefix, key] : [...prefix, key, inner];
      const value = this.#leaves.get(keyOf(path))?.value;
      if (value === undefined) continue;
      groups.set(key, inner === undefined ? value : Object.assign({}, groups.get(key), { [inner]: value }));
    }
    // Every key and value came through the table of the policy, which `Fields<PolicyOptions>` holds to this type.
    const policy: object = Object.fromEntries(groups);
    return policy;
  }

  /** Sets all of another layer over this one. */
  overlay(layer: SettingTree, applies: (path: Path) => boolean = () => true): void {
    for (const { path, value, origin } of layer.under([])) {
      if (!applies(path)) continue;
      this.set(path, value, origin);
      const entries = layer.entries(path);
      if (entries) this.#entries.set(keyOf(path), entries);
    }
  }
}

function keyOf(path: Path): string {
  return path.join('\0');
}
