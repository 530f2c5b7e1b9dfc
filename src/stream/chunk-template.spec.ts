import { describe, expect, it } from 'vitest';
import { isJsonObject, readChatChunk } from './chat-chunk.js';
import { TemplateReader } from './chunk-template.js';

const ORDINARY =
  '{"id":"c","choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":null}],"obfuscation":"abc"}';

function learnt(json: string): TemplateReader {
  const templates = new TemplateReader();
  const payload: unknown = JSON.parse(json);
  const reading = readChatChunk(payload);
  if (!reading.ok || !isJsonObject(payload)) throw new Error('the test needs a chunk that can be read');
  const bytes = Buffer.from(`data: ${json}\n\n`);
  templates.learn(bytes, 0, bytes.length, payload, reading);
  return templates;
}

function match(templates: TemplateReader, text: string): number {
  const bytes = Buffer.from(text);
  return templates.match(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0);
}

const event = (json: string): string => `data: ${json}\n\n`;

describe('a template learnt from one ordinary chunk', () => {
  it('matches the next one that differs only in its texts, and tells where its text is', () => {
    const templates = learnt(ORDINARY);
    const next = event(ORDINARY.replace('Hello', 'é \\"\\u00e9\\n').replace('abc', ''));
    expect(match(templates, `${next}data: more`)).toBe(Buffer.byteLength(next));
    expect(Buffer.from(next).toString('utf8', templates.contentFrom, templates.contentTo)).toBe('é \\"\\u00e9\\n');
    expect(templates.reasoningBytes).toBe(0);
  });

  it('tells reasoning from text', () => {
    const templates = learnt('{"choices":[{"delta":{"content":"","reasoning_content":"hm"}}]}');
    match(templates, event('{"choices":[{"delta":{"content":"","reasoning_content":"well"}}]}'));
    expect([templates.contentFrom, templates.contentTo, templates.reasoningBytes]).toEqual([39, 39, 4]);
  });

  it.each([
    ['another id', ORDINARY.replace('"c"', '"d"')],
    ['a finish', ORDINARY.replace('null', '"stop"')],
    ['an end that is not the same', ORDINARY.replace('"obf', '"Obf')],
    ['a bare control byte', ORDINARY.replace('Hello', 'a\tb')],
    ['an escape that JSON does not know', ORDINARY.replace('Hello', '\\x41')],
    ['an escape with too few digits', ORDINARY.replace('Hello', '\\u12')],
    ['an escape with a wrong digit', ORDINARY.replace('Hello', '\\u12g4')],
    ['a quote inside the text', ORDINARY.replace('Hello', 'a"b')],
    ['a backslash that swallows the end of the text', ORDINARY.replace('Hello', 'a\\')],
  ])('does not match one with %s', (_, json) => {
    expect(match(learnt(ORDINARY), event(json))).toBe(-1);
  });

  it('does not match what is not whole yet, at whatever byte it ends', () => {
    const templates = learnt(ORDINARY);
    const text = event(ORDINARY.replace('Hello', 'a\\u00e9'));
    expect(match(templates, text)).toBe(text.length);
    for (let length = 0; length < text.length; length++) expect(match(templates, text.slice(0, length))).toBe(-1);
  });

  it.each([
    ['holds the text twice', '{"choices":[{"delta":{"content":"x","content":"y"}}]}'],
    ['has the same key elsewhere', '{"content":"z","choices":[{"delta":{"content":"z"}}]}'],
    ['writes the key in another way', '{"choices":[{"delta":{"c\\u006fntent":"x"}}],"obfuscation":"abc"}'],
    ['has no text', '{"choices":[{"delta":{"role":"assistant"}}],"obfuscation":"abc"}'],
    ['carries usage', '{"choices":[{"delta":{"content":"x"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}'],
    ['finishes', '{"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}]}'],
    ['calls a tool beside the text', '{"choices":[{"delta":{"content":"x","tool_calls":[{"index":0}]}}]}'],
    ['has text of a kind that may not differ', '{"choices":[{"delta":{"content":"x","refusal":"no"}}]}'],
    ['has two choices', '{"choices":[{"delta":{"content":"x"}},{"index":1,"delta":{}}]}'],
  ])('is not learnt from a chunk that %s', (_, json) => {
    expect(match(learnt(json), event(json))).toBe(-1);
  });
});
