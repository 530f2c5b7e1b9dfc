/**
 * The official `openai` client on the running gateway, unchanged but for its base URL: an application that has one
 * changes a line and gets the fallback.
 */
import OpenAI, { APIUserAbortError, InternalServerError, RateLimitError } from 'openai';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { reply, startScriptedModel, type Reply, type ScriptedCall, type ScriptedModel } from '../../src/testing.js';
import { NEVER_OPENS, PAYS_FOR_ALL } from '../app/policies.js';
import { ACCOUNT_FAULTS, type FaultRow, FAULTS } from '../app/model-faults.js';
import { type RunningGateway, startGateway } from '../app/start-gateway.js';

// Processes are started, on machines that may be busy.
vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 });

/** Of every chain here: whoever waited for a hanging model's default time limit would be found out. */
const DEADLINE_MS = 5_000;
/** Of models that hang. */
const SILENCE_MS = 300;
const USAGE = { inputTokens: 11, outputTokens: 4 };
const ANSWER = reply.text(['The ', 'second ', 'model ', 'says.'], { usage: USAGE });
const MESSAGES = [{ role: 'user' as const, content: 'hello' }];

interface Edge {
  readonly row: FaultRow;
  readonly streaming: boolean;
  /** Of its chain. */
  readonly name: string;
  /** The model that fails. A model of its own for each: what was learnt of one (a rest) must not keep another out. */
  readonly from: string;
  readonly to: string;
  readonly class: string;
}

const EDGES: readonly Edge[] = [...FAULTS, ...ACCOUNT_FAULTS].flatMap((row) =>
  [false, true].map((streaming) => {
    const name = `${row.fault}${streaming ? '-stream' : ''}`;
    const to = ACCOUNT_FAULTS.includes(row) ? 'gpt-3.5-turbo-elsewhere' : 'gpt-3.5-turbo';
    const failureClass = streaming ? (row.streamClass ?? row.class) : row.class;
    return { row, streaming, name, from: `gpt-4-${name}`, to, class: failureClass };
  }),
);

/** A provider for each fault of an account: a key that is refused puts all that share it to rest. */
const providerOf = ({ row, name }: Edge) => (ACCOUNT_FAULTS.includes(row) ? `openai-${name}` : 'openai');

let upstream: ScriptedModel;
let second: ScriptedModel;
let gateway: RunningGateway;
let client: OpenAI;

beforeAll(async () => {
  upstream = await startScriptedModel(playFault);
  second = await startScriptedModel(ANSWER);
  const openai = { baseUrl: upstream.baseUrl };
  const limitsOf = ({ row }: Edge) => (row.fault.startsWith('hang') ? { timeoutMs: SILENCE_MS } : {});
  gateway = await startGateway({
    config: {
      providers: {
        openai,
        second: { baseUrl: second.baseUrl },
        ...Object.fromEntries(EDGES.map((edge) => [providerOf(edge), openai])),
      },
      models: {
        'gpt-4': { provider: 'openai' },
        'gpt-3.5-turbo': { provider: 'openai' },
        'gpt-3.5-turbo-elsewhere': { provider: 'second', id: 'gpt-3.5-turbo' },
        'gpt-4-elsewhere': { provider: 'second', id: 'gpt-4' },
        ...Object.fromEntries(EDGES.map((edge) => [edge.from, { provider: providerOf(edge), ...limitsOf(edge) }])),
      },
      chains: {
        default: ['gpt-4', 'gpt-3.5-turbo'],
        ...Object.fromEntries(EDGES.map(({ name, from, to }) => [name, [from, to]])),
        'all-fail': ['gpt-4-500', 'gpt-4-html'],
        lone: { models: ['gpt-4-elsewhere'], deadlineMs: 500 },
      },
      // These models fail more often than a breaker bears.
      policy: { deadlineMs: DEADLINE_MS, backoff: { baseMs: 1 }, breaker: NEVER_OPENS, retryBudget: PAYS_FOR_ALL },
    },
  });
  client = new OpenAI({ apiKey: 'sk-of-the-caller', baseURL: `${gateway.url}/v1` });
});

afterAll(async () => {
  await gateway.stop();
  await upstream.close();
  await second.close();
});

afterEach(() => {
  upstream.use(playFault);
  second.use(ANSWER);
});

/** gpt-3.5-turbo answers, every gpt-4-FAULT fails in its own way. */
function playFault(call: ScriptedCall): Reply {
  const row = EDGES.find(({ from }) => call.model === from)?.row;
  if (!row) return ANSWER;
  return typeof row.reply === 'function' ? row.reply(call) : row.reply;
}

/** What `work` adds to the calls of a scripted model. */
async function callsDuring(model: ScriptedModel, work: () => Promise<unknown>): Promise<readonly ScriptedCall[]> {
  const before = model.calls.length;
  await work();
  return model.calls.slice(before);
}

async function readAll(stream: AsyncIterable<OpenAI.ChatCompletionChunk>): Promise<OpenAI.ChatCompletionChunk[]> {
  const chunks: OpenAI.ChatCompletionChunk[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

const textOf = (chunks: readonly OpenAI.ChatCompletionChunk[]) =>
  chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('');

function expectFellBack({ headers }: Response, { from, to, class: failureClass }: Edge): void {
  const trace = new RegExp(String.raw`^${from};${failureClass};\d+ms, ${to};ok;\d+ms$`, 'u');
  expect(headers.get('x-fallback-trace')).toMatch(trace);
  expect(headers.get('x-fallback-model')).toBe(to);
  expect(headers.get('x-fallback-used')).toBe('true');
  expect(headers.get('x-fallback-attempts')).toBe('2');
}

describe('a chat is answered by gpt-3.5-turbo in time, with the trace and its usage', () => {
  it.each(EDGES.filter(({ streaming }) => !streaming))('while gpt-4 plays $name', async (edge) => {
    const startedAtMs = performance.now();
    const asked = client.chat.completions.create({ model: edge.name, messages: MESSAGES });
    const { data, response } = await asked.withResponse();
    expect(performance.now() - startedAtMs).toBeLessThan(DEADLINE_MS);
    expect(data.choices[0]).toMatchObject({ finish_reason: 'stop', message: { content: 'The second model says.' } });
    expect(data.model).toBe('gpt-3.5-turbo');
    expect(data.usage).toMatchObject({ prompt_tokens: 11, completion_tokens: 4, total_tokens: 15 });
    expectFellBack(response, edge);
  });
});

describe('a stream is answered by gpt-3.5-turbo in time, with the trace and its usage', () => {
  it.each(EDGES.filter(({ streaming }) => streaming))('while gpt-4 plays $name', async (edge) => {
    const startedAtMs = performance.now();
    const { data, response } = await client.chat.completions
      .create({ model: edge.name, messages: MESSAGES, stream: true, stream_options: { include_usage: true } })
      .withResponse();
    const chunks = await readAll(data);
    expect(performance.now() - startedAtMs).toBeLessThan(DEADLINE_MS);
    expect(textOf(chunks)).toBe('The second model says.');
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
    expect(new Set(chunks.map(({ model }) => model))).toEqual(new Set(['gpt-3.5-turbo']));
    expect(chunks.filter(({ choices }) => choices[0]?.finish_reason)).toHaveLength(1);
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: 11, completion_tokens: 4 } });
    expectFellBack(response, edge);
  });
});

describe('a caller who leaves', () => {
  /** How long the upstream's socket outlives the caller: the contract says 100 ms at most. */
  const LIMIT_MS = 100;

  it('in the middle of a stream closes the call of the model', async () => {
    upstream.use(reply.text(['one ', 'two ', 'three'], { paceMs: 60_000 }));
    const arrived = upstream.waitForCall();
    const stream = await client.chat.completions.create({ model: 'gpt-4', messages: MESSAGES, stream: true });
    const { ended } = await arrived;
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break;
    const leftAtMs = performance.now();
    const { how, atMs } = await ended;
    expect(how).toBe('left');
    expect(atMs - leftAtMs).toBeLessThan(LIMIT_MS);
  });

  it.each([
    { why: 'before the first token of a stream', stream: true },
    { why: 'before a whole answer', stream: false },
  ])('$why closes the call of the model, and nobody else is asked', async ({ stream }) => {
    upstream.use(reply.hang());
    const before = upstream.calls.length;
    const arrived = upstream.waitForCall();
    const left = new AbortController();
    const asked = client.chat.completions.create(
      { model: 'gpt-4', messages: MESSAGES, stream },
      { signal: left.signal },
    );
    const failed = asked.catch((error: unknown) => error);
    const { ended } = await arrived;
    const leftAtMs = performance.now();
    left.abort();
    const { how, atMs } = await ended;
    expect(how).toBe('left');
    expect(atMs - leftAtMs).toBeLessThan(LIMIT_MS);
    expect(await failed).toBeInstanceOf(APIUserAbortError);
    expect(upstream.calls).toHaveLength(before + 1);
  });
});

describe('the client’s own retries', () => {
  it('do not multiply ours: two models and three retries are five calls', async () => {
    let error: unknown;
    const calls = await callsDuring(upstream, async () => {
      error = await client.chat.completions.create({ model: 'all-fail', messages: MESSAGES }).catch((e: unknown) => e);
    });
    expect(calls.map(({ model }) => model)).toEqual([
      'gpt-4-500',
      'gpt-4-html',
      'gpt-4-500',
      'gpt-4-html',
      'gpt-4-500',
    ]);
    expect(error).toBeInstanceOf(InternalServerError);
    expect(error).toMatchObject({ status: 502, code: 'all_failed', type: 'server_error' });
  });

  it('do not multiply ours in a stream', async () => {
    const calls = await callsDuring(upstream, async () => {
      const asked = client.chat.completions.create({ model: 'all-fail', messages: MESSAGES, stream: true });
      await expect(asked).rejects.toMatchObject({ status: 502, code: 'all_failed' });
    });
    expect(calls).toHaveLength(5);
  });

  it('come after a Retry-After, and are answered then', async () => {
    second.use([reply.error(429, { code: 'rate_limit_exceeded' }, { headers: { 'retry-after': '1' } }), 'at last']);
    const calls = await callsDuring(second, async () => {
      const { choices } = await client.chat.completions.create({ model: 'lone', messages: MESSAGES });
      expect(choices[0]?.message.content).toBe('at last');
    });
    expect(calls).toHaveLength(2);
    const [first, retried] = calls.map(({ receivedAtMs }) => receivedAtMs);
    expect((retried ?? 0) - (first ?? 0)).toBeGreaterThan(990);
  });

  it('end with our 429 and its Retry-After where the client makes none', async () => {
    second.use(reply.error(429, { code: 'rate_limit_exceeded' }, { headers: { 'retry-after': '7' } }));
    const asked = client.chat.completions.create({ model: 'lone', messages: MESSAGES }, { maxRetries: 0 });
    const error: unknown = await asked.catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(RateLimitError);
    expect(error instanceof RateLimitError && error.headers.get('retry-after')).toBe('7');
    expect(error instanceof RateLimitError && error.headers.has('x-should-retry')).toBe(false);
  });
});

it('the list of models is the client’s, too', async () => {
  const { data } = await client.models.list();
  expect(data.map(({ id }) => id)).toEqual(expect.arrayContaining(['default', 'gpt-4', 'gpt-3.5-turbo']));
});
