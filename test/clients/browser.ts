/**
 * A browser and a page that talks to the gateway as a web application does: from the page's own origin, whose server
 * passes `/v1/` on.
 */
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import chromium from '@sparticuz/chromium';
import { type Browser, chromium as playwright } from 'playwright-core';
import { request } from 'undici';
import { listenOnLoopback } from '../../src/simulation/loopback-server.js';

/**
 * @returns undefined, after one line that says why, where none can be started; rejects where that must not be, on the
 * machines that decide (CI).
 */
export async function startBrowser(): Promise<Browser | undefined> {
  try {
    const executablePath = await chromium.executablePath();
    if (!existsSync(executablePath)) throw new Error('the package brought no Chromium');
    return await playwright.launch({ executablePath, args: [...chromium.args, '--no-sandbox'], headless: true });
  } catch (error) {
    if (process.env['CI']) throw error;
    const [why] = String(error).split('\n');
    process.stderr.write(`Chromium cannot be started here, its tests are skipped: ${why}\n`);
    return undefined;
  }
}

export interface PageOrigin {
  readonly url: string;
  close(): Promise<void>;
}

/** A server with an empty page, and behind it whatever address the page names in `?to=`. */
export async function startPageOrigin(): Promise<PageOrigin> {
  const server = createServer((incoming, response) => {
    if (incoming.method !== 'POST') {
      response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>page</title>');
      return;
    }
    // What breaks in between is what the page is to see.
    passOn(incoming, response).catch(() => response.destroy());
  });
  const { origin, close } = await listenOnLoopback(server);
  return { url: origin, close };
}

async function passOn(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
  const to = new URL(incoming.url ?? '/', 'http://page').searchParams.get('to') ?? '';
  const { statusCode, headers, body } = await request(to, {
    method: 'POST',
    headers: { 'content-type': incoming.headers['content-type'] ?? '' },
    body: incoming,
  });
  response.writeHead(statusCode, { 'content-type': String(headers['content-type']) });
  await pipeline(body, response);
}
