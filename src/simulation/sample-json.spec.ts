import { Validator } from '@cfworker/json-schema';
import type { Schema } from '@cfworker/json-schema';
import { describe, expect, it } from 'vitest';
import { sampleJson } from './sample-json.js';

describe('a sampled JSON value', () => {
  it.each<{ why: string; schema: Schema }>([
    {
      why: 'a plain object',
      schema: { type: 'object', properties: { a: { type: 'string' } }, required: ['a'], additionalProperties: false },
    },
    {
      why: 'no type, only properties',
      schema: { properties: { n: { type: 'integer', minimum: 50 } }, required: ['n'] },
    },
    {
      why: 'enum, const, default',
      schema: {
        type: 'object',
        properties: { a: { enum: ['x', 'y'] }, b: { const: 3 }, c: { type: 'number', default: 1.5 } },
        required: ['a', 'b', 'c'],
      },
    },
    { why: 'arrays with bounds', schema: { type: 'array', items: { type: 'boolean' }, minItems: 3 } },
    {
      why: 'numbers with bounds',
      schema: {
        type: 'object',
        properties: { low: { type: 'number', maximum: 0.5 }, step: { type: 'integer', multipleOf: 10, minimum: 5 } },
        required: ['low', 'step'],
      },
    },
    {
      why: 'strings with bounds',
      schema: {
        type: 'object',
        properties: { a: { type: 'string', maxLength: 3 }, b: { type: 'string', minLength: 60 } },
        required: ['a', 'b'],
      },
    },
    {
      why: 'formats',
      schema: {
        type: 'object',
        properties: { at: { type: 'string', format: 'date-time' }, mail: { type: 'string', format: 'email' } },
        required: ['at', 'mail'],
      },
    },
    { why: 'nullable by a type list', schema: { type: ['string', 'null'] } },
    { why: 'anyOf takes its first part', schema: { anyOf: [{ type: 'integer' }, { type: 'string' }] } },
    {
      why: 'allOf adds up',
      schema: {
        allOf: [
          { properties: { a: { type: 'string' } }, required: ['a'] },
          { properties: { b: { type: 'integer' } }, required: ['b'] },
        ],
      },
    },
    {
      why: '$ref into $defs',
      schema: {
        $defs: { point: { type: 'object', properties: { x: { type: 'number' } }, required: ['x'] } },
        type: 'array',
        items: { $ref: '#/$defs/point' },
      },
    },
    {
      why: 'a schema that contains itself',
      schema: {
        $defs: {
          node: {
            type: 'object',
            properties: { next: { $ref: '#/$defs/node' }, id: { type: 'integer' } },
            required: ['id'],
          },
        },
        $ref: '#/$defs/node',
      },
    },
  ])('fits its schema: $why', ({ schema }) => {
    const value = sampleJson(schema, 'Some text.');
    expect(new Validator(schema, '2020-12', false).validate(value)).toMatchObject({ valid: true });
  });

  it('ends where a schema requires itself for ever', () => {
    const schema = {
      $ref: '#/$defs/loop',
      $defs: { loop: { type: 'object', properties: { in: { $ref: '#/$defs/loop' } }, required: ['in'] } },
    };
    expect(JSON.stringify(sampleJson(schema, ''))).toContain('null');
  });

  it('is null where there is no schema to read', () => {
    expect([sampleJson(undefined, ''), sampleJson(7, ''), sampleJson({ $ref: '#/nowhere' }, '')]).toEqual([
      null,
      null,
      null,
    ]);
  });
});
