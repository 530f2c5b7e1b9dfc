/** A browser's own reader: fetch, getReader, TextDecoder, as in the code that people write for their pages. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type PageOrigin, startBrowser, startPageOrigin } from './browser.js';
import { type AskedStream, CITY, describeStreams, type Reading } from './stream-cases.js';

const browser: Browser | undefined = await startBrowser();
let origin: PageOrigin;
let page: Page;

beforeAll(async () => {
  if (!browser) return;
  origin = await startPageOrigin();
  page = await browser.newPage();
  await page.goto(origin.url);
});

afterAll(async () => {
  await browser?.close();
  await origin?.close();
});

if (browser) describeStreams('a browser', (asked) => page.evaluate(readInPage, bodyOf(asked)));
else describe.skip('a browser', () => it('is not here', () => expect(browser).toBeDefined()));

interface AskedInPage {
  readonly path: string;
  readonly body: object;
}

function bodyOf({ baseUrl, model, question, tools }: AskedStream): AskedInPage {
  const functions = tools.map((name) => ({ type: 'function', function: { name, parameters: CITY } }));
  return {
    path: `/?to=${encodeURIComponent(`${baseUrl}/chat/completions`)}`,
    body: {
      model,
      messages: [{ role: 'user', content: question }],
      stream: true,
      stream_options: { include_usage: true },
      ...(functions.length > 0 && { tools: functions }),
    },
  };
}

/** Runs in the page: nothing from around it is there. */
async function readInPage({ path, body }: AskedInPage): Promise<Reading> {
  interface Chunk {
    readonly error?: object;
    readonly usage?: { readonly total_tokens: number };
    readonly choices: readonly {
      readonly delta: {
        readonly content?: string;
        readonly tool_calls?: readonly {
          readonly index: number;
          readonly function: { readonly name?: string; readonly arguments?: string };
        }[];
      };
      readonly finish_reason?: string;
    }[];
  }
  const calls: { name: string; arguments: string }[] = [];
  let [text, rest] = ['', ''];
  let finishReason: string | undefined;
  let usageTotal: number | undefined;
  let error: unknown;
  let terminators = 0;
  const response = await fetch(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!response.ok) return { text, finishReason, toolCalls: [], error: await response.json() };
  const reader = response.body!.getReader();
  const decoder = new TextDecoder('utf-8', { fatal: true });
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    const events = (rest + decoder.decode(piece.value, { stream: true })).split(/\r?\n\r?\n/u);
    rest = events.pop() ?? '';
    for (const event of events) {
      // What came from the model goes on as it came: an event may have several lines of data, and comments among them.
      const data = [...event.matchAll(/^data: ?(.*)$/gmu)].map((match) => match[1]).join('\n');
      if (data === '') continue;
      if (data === '[DONE]') {
        terminators += 1;
        continue;
      }
      const chunk = JSON.parse(data) as Chunk;
      if (chunk.error) {
        terminators += 1;
        error = chunk.error;
        continue;
      }
      usageTotal = chunk.usage?.total_tokens ?? usageTotal;
      const choice = chunk.choices[0];
      text += choice?.delta.content ?? '';
      finishReason = choice?.finish_reason ?? finishReason;
      for (const { index, function: part } of choice?.delta.tool_calls ?? []) {
        const call = (calls[index] ??= { name: '', arguments: '' });
        call.name += part.name ?? '';
        call.arguments += part.arguments ?? '';
      }
    }
  }
  if (terminators !== 1) error ??= `${terminators} terminators`;
  const toolCalls = calls.map((call) => ({ name: call.name, arguments: JSON.parse(call.arguments) as unknown }));
  return { text, finishReason, toolCalls, usageTotal, ...(error !== undefined && { error }) };
}
