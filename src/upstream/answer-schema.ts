/**
 * Holds an answer against the JSON schema that the caller asked for.
 *
 * Callers write the schemas, so one may loop, blow up or hold a pattern that backtracks for hours. A check runs under a
 * time limit that also stops patterns (the engine interrupts them), and a schema that cannot be used is as if there
 * were none: an answer is never lost to a schema that nobody can judge by.
 */
import vm from 'node:vm';
import { type Schema, type SchemaDraft, Validator } from '@cfworker/json-schema';
import { LRUCache } from 'lru-cache';
import { property } from './unknown-value.js';

/** Far above any honest check (a fraction of a millisecond), far below a time that other requests would notice. */
const LONGEST_CHECK_MS = 100;
/** A busy machine can make one honest check late, hardly three. */
const MOST_LATE_CHECKS = 3;

interface KnownSchema {
  /** Absent: it cannot be used. */
  readonly validator?: Validator;
  lateChecks: number;
}

/** By the schema's text: every request brings its own copy. Bounded in number and in characters. */
const knownSchemas = new LRUCache<string, KnownSchema>({
  max: 200,
  maxSize: 4_000_000,
  sizeCalculation: (_known, text) => text.length + 1,
});

/** @returns true only where the schema can be used and says no. Never throws, and takes at most about 0.1 s. */
export function breaksSchema(value: unknown, schema: Readonly<Record<string, unknown>>): boolean {
  const known = recallSchema(schema);
  const { validator } = known;
  if (!validator || known.lateChecks >= MOST_LATE_CHECKS) return false;
  try {
    return !withinTime(() => validator.validate(value).valid);
  } catch (error) {
    if (isLate(error)) known.lateChecks += 1;
    // Else a reference to nothing, a loop, or a keyword with a value of the wrong kind.
    return false;
  }
}

function recallSchema(schema: Readonly<Record<string, unknown>>): KnownSchema {
  let text: string;
  try {
    text = JSON.stringify(schema);
  } catch {
    return { lateChecks: 0 }; // nested too deeply
  }
  const before = knownSchemas.get(text);
  if (before) return before;
  const known = compile(text);
  knownSchemas.set(text, known);
  return known;
}

function compile(text: string): KnownSchema {
  try {
    // Its own copy: the validator writes into the schema.
    const schema: Schema = JSON.parse(text);
    return { validator: withinTime(() => new Validator(schema, draftOf(schema.$schema))), lateChecks: 0 };
  } catch {
    return { lateChecks: 0 };
  }
}

function draftOf(dialect: unknown): SchemaDraft {
  const name = typeof dialect === 'string' ? dialect : '';
  if (name.includes('draft-04')) return '4';
  if (name.includes('draft-06') || name.includes('draft-07')) return '7';
  return name.includes('2019-09') ? '2019-09' : '2020-12';
}

const sandbox: { run?: () => unknown } = {};
const context = vm.createContext(sandbox);
const script = new vm.Script('run()');

/** Runs it here, not in the sandbox; the script around it is what carries the time limit (0.2 ms). */
function withinTime<Result>(run: () => Result): Result {
  let result: { readonly value: Result } | undefined;
  sandbox.run = () => {
    result = { value: run() };
  };
  script.runInContext(context, { timeout: LONGEST_CHECK_MS });
  if (!result) throw new Error('the check did not end');
  return result.value;
}

function isLate(error: unknown): boolean {
  return property(error, 'code') === 'ERR_SCRIPT_EXECUTION_TIMEOUT';
}
