/**
 * A JSON value that fits a JSON Schema: what a simulated model answers where `response_format` or a tool asks for JSON.
 *
 * For the simple schemas that people write for models (types, enums, objects, arrays, bounds, `$ref` into `$defs`,
 * `anyOf`), not for the whole of JSON Schema: `pattern` and the like are not honoured. Deterministic.
 */

import { asArray, asObject, isJsonObject } from './json-value.js';
import type { JsonObject as Schema } from './json-value.js';

/** Enough for real schemas; a schema that contains itself stops here. */
const MAX_DEPTH = 12;

const PLAUSIBLE_BY_NAME: Readonly<Record<string, string>> = {
  city: 'Paris',
  location: 'Paris',
  country: 'France',
  unit: 'celsius',
  language: 'en',
  name: 'Ada Lovelace',
  currency: 'EUR',
};

const PLAUSIBLE_BY_FORMAT: Readonly<Record<string, string>> = {
  'date-time': '2024-11-24T12:00:00Z',
  date: '2024-11-24',
  time: '12:00:00Z',
  email: 'ada@example.com',
  uri: 'https://example.com/',
  uuid: '3f2b8c1e-5d4a-4c8b-9e7f-1a2b3c4d5e6f',
  ipv4: '192.0.2.1',
};

/**
 * @param text what a string says where the schema leaves it open.
 * @returns a value for `schema`; `null` where the schema is none (not an object, or refers to nothing).
 */
export function sampleJson(schema: unknown, text: string): unknown {
  return sample(schema, { root: asObject(schema), text, name: '', depth: 0 });
}

interface Place {
  readonly root: Schema;
  readonly text: string;
  /** The property that the value is for. */
  readonly name: string;
  readonly depth: number;
}

function sample(given: unknown, place: Place): unknown {
  const schema = resolve(given, place.root);
  if (schema === undefined || place.depth > MAX_DEPTH) return null;
  if ('const' in schema) return schema['const'];
  if (Array.isArray(schema['enum'])) return asArray(schema['enum'])[0];
  if (schema['default'] !== undefined) return schema['default'];
  switch (typeOf(schema)) {
    case 'object':
      return sampleObject(schema, place);
    case 'array': {
      const length = Math.max(1, numberOr(schema['minItems'], 1));
      return Array.from({ length }, () => sample(schema['items'] ?? {}, { ...place, depth: place.depth + 1 }));
    }
    case 'integer':
      return Math.ceil(sampleNumber(schema));
    case 'number':
      return sampleNumber(schema);
    case 'boolean':
      return true;
    case 'null':
      return null;
    default:
      return sampleString(schema, place);
  }
}

function sampleObject(schema: Schema, place: Place): unknown {
  const properties = asObject(schema['properties']);
  const required = asArray(schema['required']);
  // Deep down only what is required: a schema that contains itself does so in an optional property.
  const names =
    place.depth < 3 ? Object.keys(properties) : Object.keys(properties).filter((name) => required.includes(name));
  return Object.fromEntries(
    names.map((name) => [name, sample(properties[name], { ...place, name, depth: place.depth + 1 })]),
  );
}

function sampleNumber(schema: Schema): number {
  const lowest = numberOr(schema['minimum'], numberOr(schema['exclusiveMinimum'], -Infinity) + 1);
  const highest = numberOr(schema['maximum'], numberOr(schema['exclusiveMaximum'], Infinity) - 1);
  const step = numberOr(schema['multipleOf'], 1);
  return Math.min(Math.max(Math.ceil(42 / step) * step, Math.ceil(lowest / step) * step), highest);
}

function sampleString(schema: Schema, { name, text }: Place): string {
  const format = typeof schema['format'] === 'string' ? PLAUSIBLE_BY_FORMAT[schema['format']] : undefined;
  const plausible = format ?? PLAUSIBLE_BY_NAME[name.toLowerCase()] ?? text;
  const shortest = numberOr(schema['minLength'], 0);
  return plausible.padEnd(shortest, '.').slice(0, numberOr(schema['maxLength'], Infinity));
}

/** Follows `$ref` inside the document, `allOf` (all parts together) and `anyOf` / `oneOf` (the first part). */
function resolve(given: unknown, root: Schema): Schema | undefined {
  let schema = given;
  for (let step = 0; step < MAX_DEPTH; step++) {
    if (!isJsonObject(schema)) return schema === true ? {} : undefined;
    const { $ref: reference, anyOf, oneOf, allOf, ...rest } = schema;
    if (typeof reference === 'string') schema = lookUp(reference, root);
    else if (Array.isArray(anyOf)) schema = { ...rest, ...resolve(anyOf[0], root) };
    else if (Array.isArray(oneOf)) schema = { ...rest, ...resolve(oneOf[0], root) };
    else if (Array.isArray(allOf)) schema = merge([rest, ...allOf.map((part) => resolve(part, root) ?? {})]);
    else return schema;
  }
  return undefined;
}

/** All parts at once: properties and what is required add up, of anything else the last part's word counts. */
function merge(parts: readonly Schema[]): Schema {
  const properties = parts.filter((part) => 'properties' in part).map((part) => asObject(part['properties']));
  const required = parts.flatMap((part) => asArray(part['required']));
  return {
    ...overlay(parts),
    ...(properties.length > 0 ? { properties: overlay(properties) } : {}),
    ...(required.length > 0 ? { required } : {}),
  };
}

function overlay(parts: readonly Schema[]): Schema {
  return Object.fromEntries(parts.flatMap((part) => Object.entries(part)));
}

function lookUp(reference: string, root: Schema): unknown {
  if (!reference.startsWith('#')) return undefined;
  let found: unknown = root;
  for (const step of reference.slice(1).split('/').filter(Boolean)) {
    if (!isJsonObject(found)) return undefined;
    found = found[decodeURIComponent(step).replaceAll('~1', '/').replaceAll('~0', '~')];
  }
  return found;
}

function typeOf(schema: Schema): string {
  const type = Array.isArray(schema['type']) ? asArray(schema['type'])[0] : schema['type'];
  if (typeof type === 'string') return type;
  if (schema['properties'] !== undefined) return 'object';
  return schema['items'] === undefined ? 'string' : 'array';
}

function numberOr(value: unknown, otherwise: number): number {
  return typeof value === 'number' ? value : otherwise;
}
