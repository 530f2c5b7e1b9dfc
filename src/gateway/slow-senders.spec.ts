import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { listenOnLoopback } from '../simulation/loopback-server.js';
import { SlowSenders } from './slow-senders.js';

const SILENCE_MS = 120;
const closers: (() => void)[] = [];

afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** A server that watches every request, answers when its body is there, and a client that has sent the head. */
async function openUpload() {
  const senders = new SlowSenders(SILENCE_MS, 10);
  const server = createServer((request, response) => {
    senders.watch(request);
    request.resume().on('end', () => {
      senders.arrived(request);
      void setTimeout(3 * SILENCE_MS).then(() => response.end('thanks'));
    });
  });
  const { port, close } = await listenOnLoopback(server);
  const client = connect(port, '127.0.0.1');
  closers.push(
    () => senders.close(),
    () => void close(),
    () => client.destroy(),
  );
  client.write('POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 6\r\n\r\n');
  return client;
}

it('a client that stops in the middle of a body is cut', async () => {
  const client = await openUpload();
  client.write('abc');
  await once(client.resume(), 'close');
});

it('one that goes on, however slowly, is not, nor is one that waits for its answer', async () => {
  const client = await openUpload();
  const startedAtMs = performance.now();
  for (const letter of 'abcdef') {
    await setTimeout(SILENCE_MS / 2);
    client.write(letter);
  }
  const [answer]: unknown[] = await once(client, 'data');
  expect(String(answer)).toContain('thanks');
  expect(performance.now() - startedAtMs).toBeGreaterThan(3 * SILENCE_MS);
});
