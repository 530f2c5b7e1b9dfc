/**
 * What reading one chunk of a healthy stream costs: with templates (as the product does it), with every event parsed, and with
 * the events only found. `npm run build && node bench/chunk-reading.mjs`; never a timed test.
 */
import { pathToFileURL } from 'node:url';
import { resolve } from 'node:path';

const dist = pathToFileURL(`${resolve(process.argv[2] ?? 'dist')}/`);
const { ChatStreamReader } = await import(new URL('stream/chat-stream.js', dist).href);
const { SseScanner, readSseEvent } = await import(new URL('stream/sse-scanner.js', dist).href);
const { readChatChunk } = await import(new URL('stream/chat-chunk.js', dist).href);

const EVENTS = 200_000;
const BURST_BYTES = 64 * 1024;

const SHAPES = {
  'OpenAI, plain': (n) => ({ ...shared(), choices: [choice({ content: ` word${n % 97}` })] }),
  'OpenAI, padded': (n) => ({
    ...shared(),
    choices: [choice({ content: ` word${n % 97}` })],
    obfuscation: 'aZ09bY18cX'.slice(n % 9),
  }),
  'new created each time': (n) => ({
    ...shared(),
    created: 1732420800 + n,
    choices: [choice({ content: ` word${n % 97}` })],
  }),
};

function shared() {
  return {
    id: 'chatcmpl-A1abcdefghijklmnopqrstuvwxyz01',
    object: 'chat.completion.chunk',
    created: 1732420800,
    model: 'gpt-4-0613',
    service_tier: 'default',
    system_fingerprint: 'fp_5d58a6052a',
  };
}

function choice(delta) {
  return { index: 0, delta, logprobs: null, finish_reason: null };
}

const READERS = {
  'with templates': () => new ChatStreamReader(silentListener(), { isError: isError }),
  'every event parsed': () => parsingReader(),
  'events only found': () => findingReader(),
};

function isError(payload) {
  return typeof payload === 'object' && payload !== null && 'error' in payload;
}

function silentListener() {
  return { onFirstToken() {}, onBytes() {}, onFinish() {}, onEnd() {} };
}

function findingReader() {
  const scanner = new SseScanner();
  return {
    push(piece) {
      for (let at = 0; at >= 0 && at < piece.length;) at = scanner.next(piece, at);
    },
  };
}

function parsingReader() {
  const scanner = new SseScanner();
  return {
    push(piece) {
      for (let at = 0; at < piece.length;) {
        at = scanner.next(piece, at);
        if (at < 0) break;
        readChatChunk(JSON.parse(readSseEvent(scanner.bytes, scanner.start, scanner.end).data));
      }
    },
  };
}

function packets(events, perPacket) {
  if (perPacket === 'one') return events;
  const all = Buffer.concat(events);
  const pieces = [];
  for (let at = 0; at < all.length; at += BURST_BYTES) pieces.push(all.subarray(at, at + BURST_BYTES));
  return pieces;
}

for (const [shape, make] of Object.entries(SHAPES)) {
  const events = Array.from({ length: EVENTS }, (_, n) => Buffer.from(`data: ${JSON.stringify(make(n))}\n\n`));
  for (const perPacket of ['burst', 'one']) {
    const pieces = packets(events, perPacket);
    const row = Object.entries(READERS).map(([name, create]) => {
      let best = Infinity;
      for (let round = 0; round < 3; round++) {
        const reader = create();
        const startedAtMs = performance.now();
        for (const piece of pieces) reader.push(piece);
        best = Math.min(best, ((performance.now() - startedAtMs) * 1e6) / EVENTS);
      }
      return `${name} ${best.toFixed(0)} ns`;
    });
    console.log(`${shape}, ${perPacket === 'one' ? 'one per packet' : '64 KiB bursts'}: ${row.join(', ')} per event`);
  }
}
