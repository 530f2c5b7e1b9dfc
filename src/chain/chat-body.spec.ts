import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bodyFromBytes, bodyFromParams, expectedJson, findTopLevelValue } from './chat-body.js';

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('utf8');
const sent = (raw: string, id = 'up-1') => text(bodyFromBytes(Buffer.from(raw), JSON.parse(raw)).bytesFor({ id }));

describe('the body that goes upstream', () => {
  it('is the caller’s, byte for byte, but for the name of the model', () => {
    const raw = '{ "messages" : [{"role":"user","content":"say \\"model\\""}],\n "model": "gpt-4" , "x":1.0 }';
    expect(sent(raw)).toBe(raw.replace('"model": "gpt-4" ', '"model":"up-1"'));
  });

  it.each([
    { why: 'the name stands twice: the last one counts in JSON', raw: '{"model":"a","model":"b","n":1}' },
    { why: 'an escaped key', raw: '{"mod\\u0065l":"a","n":1}' },
    { why: 'no name at all', raw: '{"n":1}' },
    { why: 'a list of models, which no upstream knows', raw: '{"model":"a","models":["b"],"n":1}' },
  ])('is written anew where $why', ({ raw }) => {
    expect(sent(raw)).toBe('{"model":"up-1","n":1}');
  });

  it('has the name and nothing else of ours, for any object and any way to write it', () => {
    const spaced = fc.constantFrom(undefined, 1, '\t');
    // Not a key of one escaped character: V8 in Node 24.21 takes {"a":1,"\\"":2} for {"a":1,"\\\\":2} once it has seen that.
    const key = fc.oneof(fc.constantFrom('model', 'models', 'a', 'mod', 'a"', 'b\\', ''), fc.string({ minLength: 2 }));
    fc.assert(
      fc.property(fc.dictionary(key, fc.jsonValue()), spaced, fc.string(), (body, space, id) => {
        const { models: _, ...expected } = { ...body, model: id } as Record<string, unknown>;
        const same = (written: string) => isDeepStrictEqual(JSON.parse(written), JSON.parse(JSON.stringify(expected)));
        expect(same(sent(JSON.stringify(body, null, space), id))).toBe(true);
        expect(same(text(bodyFromParams(body).bytesFor({ id })))).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it('finds the value of a nested and of a top-level key apart', () => {
    const raw = Buffer.from('{"tools":[{"model":"x"}],"model":["y",{"model":1}]}');
    const place = findTopLevelValue(raw, 'model')!;
    expect(raw.subarray(place.start, place.end).toString()).toBe('["y",{"model":1}]');
  });
});

describe('what response_format asks for', () => {
  it.each([
    { format: undefined, wants: undefined },
    { format: { type: 'text' }, wants: undefined },
    { format: { type: 'json_object' }, wants: {} },
    {
      format: { type: 'json_schema', json_schema: { schema: { type: 'object' } } },
      wants: { schema: { type: 'object' } },
    },
    { format: { type: 'json_schema' }, wants: {} },
  ])('$format', ({ format, wants }) => expect(expectedJson(format)).toEqual(wants));
});

describe('an answer that breaks off', () => {
  it.each([
    { why: 'plain text', params: {}, can: true },
    { why: 'text, by its name', params: { response_format: { type: 'text' }, n: 1, logprobs: false }, can: true },
    { why: 'nothing, said with null', params: { response_format: null, n: null, logprobs: null }, can: true },
    { why: 'JSON', params: { response_format: { type: 'json_object' } }, can: false },
    { why: 'JSON by a schema', params: { response_format: { type: 'json_schema', json_schema: {} } }, can: false },
    { why: 'a format that we do not know', params: { response_format: { type: 'grammar' } }, can: false },
    { why: 'several choices', params: { n: 2 }, can: false },
    { why: 'probabilities', params: { logprobs: true, top_logprobs: 2 }, can: false },
  ])('may be gone on with where the caller asked for $why: $can', ({ params, can }) => {
    expect(bodyFromParams(params).isContinuable).toBe(can);
  });
});
