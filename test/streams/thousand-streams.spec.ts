/**
 * A thousand streams through the running gateway, all open at the same moment, one in five of them broken somewhere, in
 * every way that a stream can break; then another thousand, which must take no more memory than the first.
 */
import { Agent } from 'undici';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { asObject } from '../../src/simulation/json-value.js';
import { askGateway, type CallerView } from '../app/ask-gateway.js';
import { NEVER_OPENS, PAYS_FOR_ALL } from '../app/policies.js';
import { countSockets, KNOWS_SOCKETS, readRssMb } from '../app/process-figures.js';
import { readSeries } from '../app/read-metrics.js';
import { type RunningGateway, startGateway } from '../app/start-gateway.js';
import { type BreakingModels, CHAINS, type Fate, startBreakingModels } from './breaking-models.js';

const RUN_LIMIT_MS = 90_000;
vi.setConfig({ testTimeout: 20_000, hookTimeout: RUN_LIMIT_MS });

const STREAMS = 1_000;
const WAVES = 2;
/** Streams that are beginning at the same time, so that nobody waits for long until he is answered. */
const AT_A_TIME = 50;
const SEED = 4_812;
/** Collects its garbage early, so that its size is that of what it holds; whoever kept every stream would not fit in. */
const SMALL_HEAP = '--max-old-space-size=128 --max-semi-space-size=8';

interface Stream {
  readonly question: string;
  readonly fate: Fate;
  /** JSON was asked for: what breaks cannot be gone on with. */
  readonly wantsJson: boolean;
  readonly view: CallerView;
}

interface Wave {
  readonly streams: readonly Stream[];
  /** While all were open. */
  readonly openUpstream: number;
  readonly socketsMeanwhile: number;
  readonly peakRssMb: number;
}

let models: BreakingModels;
let gateway: RunningGateway;
let socketsBefore: number;
const waves: Wave[] = [];

beforeAll(async () => {
  models = await startBreakingModels(SEED);
  gateway = await startGateway({
    config: {
      providers: { openai: { baseUrl: models.baseUrl } },
      models: {
        first: { provider: 'openai' },
        silent: { provider: 'openai', timeoutMs: 3_000, stream: { ttftMs: 1_000, idleMs: 1_500 } },
        second: { provider: 'openai' },
        third: { provider: 'openai' },
      },
      chains: CHAINS,
      // Longer than any stream waits for the others to begin.
      policy: {
        timeoutMs: 30_000,
        deadlineMs: 60_000,
        stream: { ttftMs: 20_000, idleMs: 40_000 },
        breaker: NEVER_OPENS,
        retryBudget: PAYS_FOR_ALL,
      },
    },
    env: KNOWS_SOCKETS ? { NODE_OPTIONS: SMALL_HEAP } : {},
  });
  socketsBefore = KNOWS_SOCKETS ? await countSockets(gateway.child.pid) : 0;
  for (let number = 1; number <= WAVES; number++) {
    const startedAtMs = performance.now();
    const wave = await runWave(number);
    waves.push(wave);
    const ms = Math.round(performance.now() - startedAtMs);
    console.log(`seed ${SEED}, wave ${number}: ${ms} ms, at most ${Math.round(wave.peakRssMb)} MB`);
  }
});

afterAll(async () => {
  await gateway?.stop();
  await models?.close();
});

async function runWave(number: number): Promise<Wave> {
  models.shutGate();
  const callers = new Agent();
  const streams: Promise<Stream>[] = [];
  let peakRssMb = 0;
  const sampler = setInterval(() => {
    if (KNOWS_SOCKETS)
      readRssMb(gateway.child.pid).then(
        (mb) => (peakRssMb = Math.max(peakRssMb, mb)),
        () => undefined,
      );
  }, 100);
  const begin = async () => {
    while (streams.length < STREAMS) {
      const { promise: speaks, resolve: noteSpeaks } = Promise.withResolvers<void>();
      const stream = ask(`${number}/${streams.length}`, callers, noteSpeaks);
      streams.push(stream);
      await Promise.race([speaks, stream]);
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, begin));
  const openUpstream = models.openConnections();
  const socketsMeanwhile = KNOWS_SOCKETS ? await countSockets(gateway.child.pid) : 0;
  models.openGate();
  const ended = await Promise.all(streams);
  clearInterval(sampler);
  await callers.close();
  return { streams: ended, openUpstream, socketsMeanwhile, peakRssMb };
}

/** @param noteSpeaks called as soon as something of the answer is there. */
async function ask(question: string, dispatcher: Agent, noteSpeaks: () => void): Promise<Stream> {
  const fate = models.fateOf(question);
  const wantsJson = fate.breaks[0]?.place === 'after' && question.endsWith('0');
  const body = {
    model: fate.chain,
    stream: true,
    messages: [{ role: 'user', content: question }],
    ...(wantsJson && { response_format: { type: 'json_object' } }),
  };
  const view = await askGateway(gateway.url, body, { dispatcher, onPiece: noteSpeaks });
  return { question, fate, wantsJson, view };
}

const allStreams = () => waves.flatMap(({ streams }) => streams);
const isBroken = ({ fate }: Stream) => fate.breaks.length > 0;

describe('of a thousand streams that are open at once', () => {
  it('one in five is broken, in every way and at either side of the first token', () => {
    for (const { streams } of waves) {
      const broken = streams.filter(isBroken);
      expect(broken.length).toBeGreaterThan(STREAMS / 6);
      const ways = new Set(broken.map(({ fate: { breaks } }) => `${breaks[0]?.place} ${breaks[0]?.how}`));
      expect(ways.size).toBe(11);
      expect(broken.some(({ fate }) => fate.breaks.length === 2)).toBe(true);
    }
  });

  it('all are answered: those that are sound, and those that were broken, in exactly the words of the model', () => {
    const wrong = allStreams().filter(({ wantsJson, fate, view }) => !wantsJson && view.text !== fate.text);
    expect(wrong.map(({ question, view, fate }) => ({ question, fate, got: view.text, error: view.error }))).toEqual(
      [],
    );
  });

  it('each has one end, the last thing that comes, and one id', () => {
    for (const { view, wantsJson } of allStreams()) {
      expect(view).toMatchObject({ status: 200, isWhole: true });
      const ends = view.events.filter(({ kind }) => kind === 'done' || kind === 'error');
      expect(ends).toEqual([view.events.at(-1)]);
      expect(ends[0]?.kind).toBe(wantsJson ? 'error' : 'done');
      const ids = view.events.slice(0, -1).map(({ data }) => /"id":"([^"]*)"/u.exec(data)?.[1]);
      expect(new Set(ids).size).toBe(1);
    }
  });

  it('what cannot be gone on with ends in one error that tells of its attempts, after the words that had come', () => {
    const ended = allStreams().filter(({ wantsJson }) => wantsJson);
    expect(ended.length).toBeGreaterThan(10);
    for (const { view, fate } of ended) {
      expect(fate.text.startsWith(view.text)).toBe(true);
      expect(view.text.length).toBeGreaterThan(0);
      expect(asObject(view.error)['attempts']).toMatchObject([
        { model: fate.chain === 'silences' ? 'silent' : 'first' },
      ]);
    }
  });
});

// Before the metrics are asked for, on connections that are kept.
describe.runIf(KNOWS_SOCKETS)('the process', () => {
  it('had them open at the same time, but for those that had ended in an error by then', () => {
    for (const { openUpstream, socketsMeanwhile } of waves) {
      expect(openUpstream).toBeGreaterThan(STREAMS * 0.95);
      expect(socketsMeanwhile - socketsBefore).toBeGreaterThan(2 * STREAMS * 0.95);
    }
  });

  it('stays small, and does not grow by another thousand', () => {
    const [first, second] = waves.map(({ peakRssMb }) => peakRssMb);
    expect(first).toBeLessThan(250);
    expect(second).toBeLessThan(Number(first) * 1.08);
  });

  it('leaves no socket open, to the models or to the callers', async () => {
    await vi.waitFor(
      async () => {
        expect(models.openConnections()).toBe(0);
        expect(await countSockets(gateway.child.pid)).toBe(socketsBefore);
      },
      { timeout: 10_000, interval: 100 },
    );
  });
});

describe('what the gateway counted is what happened:', () => {
  it('requests by outcome', async () => {
    const failed = allStreams().filter(({ wantsJson }) => wantsJson).length;
    const samples = await readSeries(gateway.url, 'fallback_requests_total');
    const counts: Record<string, number> = { ok: 0, failed: 0, cancelled: 0 };
    for (const { labels, value } of samples) counts[String(labels['outcome'])]! += value;
    expect(counts).toEqual({ ok: STREAMS * WAVES - failed, failed, cancelled: 0 });
  });

  it('continuations: at least one for each text that broke', async () => {
    const goneOn = allStreams().filter(({ fate, wantsJson }) => fate.breaks[0]?.place === 'after' && !wantsJson);
    const samples = await readSeries(gateway.url, 'fallback_stream_continuations_total');
    const continuations = samples.reduce((sum, { value }) => sum + value, 0);
    expect(continuations).toBeGreaterThanOrEqual(goneOn.length);
  });
});
