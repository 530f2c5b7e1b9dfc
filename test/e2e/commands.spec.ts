/** The commands as operators and programs call them: what they print, and what they exit with. */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { demo } from '../../src/gateway/commands/demo.js';
import { perf } from '../../src/gateway/commands/perf.js';
import { asArray, asObject } from '../../src/simulation/json-value.js';
import { reply, startScriptedModel, type ScriptedCall, type ScriptedModel } from '../../src/testing.js';
import { runCommand } from '../app/run-program.js';
import { startGateway } from '../app/start-gateway.js';

// Processes are started, on machines that may be busy.
vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 });

let models: ScriptedModel;
let misbehave: ((call: ScriptedCall) => ReturnType<typeof reply.error> | undefined) | undefined;

beforeAll(async () => {
  models = await startScriptedModel((call) => misbehave?.(call) ?? 'ready', {
    list: reply.models(['gpt-4', 'gpt-3.5-turbo']),
  });
});

afterAll(async () => {
  await models.close();
});

/** The built-in chain at one provider. */
const env = () => ({ OPENAI_BASE_URL: models.baseUrl, OPENAI_API_KEY: 'sk-sesame' });

/** Two models at two providers: nothing to advise. */
const twoProviders = (more: object = {}) => ({
  'fallback.json': JSON.stringify({
    providers: { one: { baseUrl: models.baseUrl }, two: { baseUrl: models.baseUrl } },
    models: { 'gpt-4': { provider: 'one' }, 'gpt-3.5-turbo': { provider: 'two' } },
    chains: { default: ['gpt-4', 'gpt-3.5-turbo'] },
    ...more,
  }),
});
const CONFIG = ['--config', 'fallback.json'];

/** Takes what is drawn, as a terminal would. */
function terminal() {
  const written: string[] = [];
  return { isTTY: true, written, write: (text: string) => written.push(text) };
}

function jsonOf({ stdout }: { stdout: string }) {
  return asObject(JSON.parse(stdout));
}

describe('nestjs-llm-fallback', () => {
  it.concurrent.each([
    { why: 'no command', args: [] },
    { why: 'an unknown command', args: ['chek'] },
    { why: 'an unknown option', args: ['check', '--fast'] },
    { why: 'a word too many', args: ['check', 'gpt-4'] },
    { why: 'no chats', args: ['perf', '--requests', '0'] },
    { why: 'half a chat', args: ['perf', '--requests', '1.5'] },
    { why: 'chats in words', args: ['perf', '--requests', 'many'] },
    { why: 'too many at a time', args: ['perf', '--concurrency', '1001'] },
    { why: 'an address that is none', args: ['perf', '--url', 'localhost:3000'] },
    { why: 'a missing value', args: ['perf', '--requests'] },
    { why: 'a place that is none', args: ['demo', '--cut-after', '-1'] },
    { why: 'a configuration of a demo, which has none', args: ['demo', '--config', 'fallback.json'] },
  ])('exits with 2 and says how it is used for $why', async ({ args }) => {
    const run = await runCommand(args);
    expect(run.code).toBe(2);
    expect(run.stdout).toBe('');
    expect(run.stderr).toContain('Usage: nestjs-llm-fallback');
  });

  it('says what there is, and its version', async () => {
    const help = await runCommand(['--help']);
    expect(help).toMatchObject({ code: 0, stderr: '' });
    for (const name of ['serve', 'check', 'perf', 'verify', 'drill', 'simulate', 'demo'])
      expect(help.stdout).toContain(`  ${name} `);
    expect(await runCommand(['--version'])).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/u),
    });
  });

  it.concurrent.each(['serve', 'check', 'perf', 'verify', 'drill'])(
    '%s exits with 78 and the faults of a wrong configuration',
    async (name) => {
      const run = await runCommand([name], { env: { FALLBACK_MAX_RETRIES: 'many', OPENAI_API_KEY: 'sk sesame' } });
      expect(run.code).toBe(78);
      expect(run.stdout).toBe('');
      expect(run.stderr.trimEnd().split('\n')).toEqual([
        'FALLBACK_MAX_RETRIES=many: expected a whole number from 0 to 10',
        expect.stringMatching(/^OPENAI_API_KEY=\[secret\]: /u),
      ]);
    },
  );

  it.concurrent.each(['check', 'verify', 'drill'])('%s names a config file that is not there', async (name) => {
    const run = await runCommand([name, '--config', 'missing.yaml']);
    expect(run).toMatchObject({ code: 78, stderr: 'missing.yaml: cannot be read: no such file\n' });
  });
});

describe('check', () => {
  it('prints a line per model and exits with 0 where all are available', async () => {
    const run = await runCommand(['check'], { env: env() });
    expect(run).toMatchObject({ code: 0, stderr: '' });
    expect(run.stdout.split('\n')).toEqual([
      expect.stringMatching(/^MODEL +PROVIDER +KEY +THERE +ANSWER +LATENCY$/u),
      expect.stringMatching(/^gpt-4 +openai +accepted +yes +ok +\d+ ms$/u),
      expect.stringMatching(/^gpt-3\.5-turbo +openai +accepted +yes +ok +\d+ ms$/u),
      'All 2 models are available.',
      '',
    ]);
  });

  it.each([
    {
      why: 'the key is refused',
      status: 401,
      code: 'invalid_api_key',
      row: /^gpt-4 +openai +refused +yes +auth +-$/mu,
    },
    {
      why: 'the model is not there',
      status: 404,
      code: 'model_not_found',
      row: /^gpt-4 +openai +accepted +no +not_found +-$/mu,
    },
    {
      why: 'the account is empty',
      status: 429,
      code: 'insufficient_quota',
      row: /^gpt-4 +openai +accepted +yes +quota +-$/mu,
    },
    { why: 'the model fails', status: 500, code: null, row: /^gpt-4 +openai +accepted +yes +server_error +-$/mu },
  ])('exits with 1 and says so where $why', async ({ status, code, row }) => {
    misbehave = ({ model }) => (model === 'gpt-4' ? reply.error(status, { code }) : undefined);
    const run = await runCommand(['check'], { env: env() });
    misbehave = undefined;
    expect(run.code).toBe(1);
    expect(run.stdout).toMatch(row);
    expect(run.stdout).toContain('1 of 2 models not available: gpt-4.');
  });

  it('--json is for programs', async () => {
    const run = await runCommand(['check', '--json'], { env: env() });
    expect(jsonOf(run)).toEqual({
      ok: true,
      simulated: false,
      models: ['gpt-4', 'gpt-3.5-turbo'].map((model) => ({
        model,
        provider: 'openai',
        key: 'accepted',
        there: 'yes',
        answer: 'ok',
        latencyMs: expect.any(Number),
        available: true,
      })),
    });
  });

  it('asks the simulated models where nothing is set, and says that they are', async () => {
    const run = await runCommand(['check']);
    expect(run).toMatchObject({ code: 0, stdout: expect.stringContaining('All 2 simulated models are available.') });
  });
});

describe('perf', () => {
  it('prints count and times per model, and exits with 0 where every chat was answered', async () => {
    const run = await runCommand(['perf', '--requests', '100'], { env: env() });
    expect(run).toMatchObject({ code: 0, stderr: '' });
    expect(run.stdout).toMatch(/^gpt-4 +100 +100 +\d+ ms +\d+ ms +\d+ ms +-$/mu);
    expect(run.stdout).toMatch(/^100 chats \(in process\): 100 answered, 0 failed, 0 by a fallback; p50 \d+ ms/mu);
    expect(run.stdout).not.toContain('█');
  });

  it('counts a model that fails, and who answered for it', async () => {
    misbehave = ({ model }) => (model === 'gpt-4' ? reply.error(500) : undefined);
    const run = await runCommand(['perf', '--requests', '10', '--concurrency', '1', '--json'], { env: env() });
    misbehave = undefined;
    const report = jsonOf(run);
    expect(run.code).toBe(0);
    expect(report).toMatchObject({ requests: 10, answered: 10, failed: 0, fallbacks: 10 });
    const [first, second] = asArray(report['models']).map(asObject);
    expect(first).toMatchObject({ model: 'gpt-4', answered: 0 });
    expect(asObject(first?.['failures'])['server_error']).toBe(first?.['attempts']);
    expect(second).toMatchObject({ model: 'gpt-3.5-turbo', answered: 10, failures: {} });
  });

  it('exits with 1 where a chat was not answered, and says why', async () => {
    misbehave = () => reply.error(400, { type: 'invalid_request_error', code: 'no_such_thing' });
    const run = await runCommand(['perf', '--requests', '3'], { env: env() });
    misbehave = undefined;
    expect(run.code).toBe(1);
    expect(run.stdout).toContain('3 chats (in process): 0 answered, 3 failed');
    expect(run.stdout).toContain('Failed: no_such_thing 3');
  });

  it('over 100 chats draws a progress bar and a histogram in a terminal, with the times per model', async () => {
    const gateway = await startGateway({ env: env() });
    const [out, progress] = [terminal(), terminal()];
    const exitCode = await perf({ requests: 100, concurrency: 10, url: gateway.url }, { out, progress });
    await gateway.stop();
    expect(exitCode).toBe(0);
    expect(progress.written.join('')).toContain(`[${'█'.repeat(30)}] 100/100`);
    const lines = out.written.join('').trimEnd().split('\n');
    expect(lines[1]).toMatch(/^gpt-4 +100 +100 +\d+ ms +\d+ ms +\d+ ms +-$/u);
    const bars = lines.filter((line) => /^up to +\d+ ms {2}/u.test(line));
    const counts = bars.map((line) => Number(line.split(' ').at(-1)));
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(100);
  });

  it('--url asks a gateway that runs, with a key of this environment', async () => {
    const gateway = await startGateway({ env: { ...env(), FALLBACK_API_KEYS: 'k1,k2' } });
    const at = ['perf', '--requests', '5', '--url', gateway.url];
    const run = await runCommand(at, { env: { FALLBACK_API_KEYS: 'k2' } });
    expect(run).toMatchObject({ code: 0, stderr: '' });
    expect(run.stdout).toMatch(/^gpt-4 +5 +5 /mu);
    expect(run.stdout).toContain(`5 chats (${gateway.url}): 5 answered`);
    const refused = await runCommand(at);
    expect(refused).toMatchObject({ code: 1, stdout: expect.stringContaining('Failed: 401 invalid_api_key 5') });
    await gateway.stop();
    const gone = await runCommand(at);
    expect(gone).toMatchObject({ code: 1, stdout: expect.stringContaining('Failed: ECONNREFUSED 5') });
  });
});

describe('verify', () => {
  it('exits with 0 where there is only advice, with 1 where that is --strict', async () => {
    const loose = await runCommand(['verify'], { env: env() });
    expect(loose).toMatchObject({ code: 0, stderr: '' });
    expect(loose.stdout).toMatch(/^advice {2}chain default .* no second provider$/mu);
    expect(loose.stdout).toContain('0 problems, 1 piece of advice.');
    expect((await runCommand(['verify', '--strict'], { env: env() })).code).toBe(1);
  });

  it('exits with 0 even with --strict where there is nothing to say', async () => {
    const run = await runCommand(['verify', '--strict', ...CONFIG], { files: twoProviders() });
    expect(run).toMatchObject({ code: 0, stdout: expect.stringContaining('0 problems, 0 pieces of advice.') });
  });

  it('names models that cannot be reached, and sends none a billed request', async () => {
    const calls = models.calls.length;
    const run = await runCommand(['verify'], { env: { ...env(), FALLBACK_MODEL: 'gpt-5' } });
    expect(run.code).toBe(1);
    expect(run.stdout).toMatch(/^PROBLEM model gpt-5 is not available: not_found/mu);
    expect(models.calls).toHaveLength(calls);
  });

  it('names deadlines that no fallback fits into', async () => {
    const files = twoProviders({ policy: { timeoutMs: 30_000, deadlineMs: 20_000 } });
    const run = await runCommand(['verify', ...CONFIG], { files });
    expect(run.code).toBe(1);
    expect(run.stdout).toMatch(
      /^PROBLEM chain default: .* is over: they are cut short to leave time for gpt-3\.5-turbo$/mu,
    );
  });

  it('--explain prints every effective value and where it came from, and no key', async () => {
    const run = await runCommand(['verify', '--explain', ...CONFIG], {
      env: { ...env(), FALLBACK_DEADLINE_MS: '50000' },
      files: twoProviders({ policy: { timeoutMs: 20_000 } }),
    });
    expect(run.code).toBe(0);
    expect(run.stdout).toMatch(/^policy\.deadlineMs +50000 +environment FALLBACK_DEADLINE_MS$/mu);
    expect(run.stdout).toMatch(/^policy\.timeoutMs +20000 +file fallback\.json:\d+:\d+$/mu);
    expect(run.stdout).toMatch(/^policy\.maxRetries +3 +default$/mu);
    expect(run.stdout).toMatch(/^providers\.openai\.apiKey +\[secret\] +environment OPENAI_API_KEY$/mu);
    expect(run.stdout).not.toContain('sesame');
  });

  it('--json holds the same', async () => {
    const run = await runCommand(['verify', '--json', '--explain'], { env: env() });
    const report = jsonOf(run);
    expect(report).toMatchObject({ ok: true, simulated: false, problems: [], advice: [expect.any(String)] });
    expect(asArray(report['explained'])).toContainEqual({ path: 'policy.maxRetries', value: '3', source: 'default' });
  });
});

describe('drill', () => {
  it('fires every fault on every edge of the chains, and asks no real model', async () => {
    const [calls, polls] = [models.calls.length, models.polls.length];
    const files = twoProviders({
      models: { a: { provider: 'one' }, b: { provider: 'two' }, c: { provider: 'one' } },
      chains: { default: ['a', 'b', 'c'], back: ['c', 'b'] },
    });
    const run = await runCommand(['drill', ...CONFIG], { files });
    expect(run).toMatchObject({ code: 0, stderr: '', stdout: '147 of 147 faults on 3 edges fell back.\n' });
    expect([models.calls.length, models.polls.length]).toEqual([calls, polls]);
  });

  it('tries every class that allows a fallback, stream and not', async () => {
    const report = jsonOf(await runCommand(['drill', '--json', ...CONFIG], { files: twoProviders() }));
    // 23 faults twice, without invalid_output in a stream and what is the caller's own: invalid_request, content_filter;
    // four of them also in a text and in a tool call.
    expect(report).toEqual({ ok: true, edges: 1, tried: 49, fired: 49, silent: [], alone: [] });
  });

  it('prints one line per fault that does not fall back where a model may not be asked that late', async () => {
    const files = twoProviders({
      models: {
        'gpt-4': { provider: 'one', timeoutMs: 5_000 },
        'gpt-3.5-turbo': { provider: 'two', deadlineMs: 4_000 },
      },
      policy: { maxRetries: 0 },
    });
    const run = await runCommand(['drill', ...CONFIG], { files });
    expect(run.code).toBe(1);
    const lines = run.stdout.trimEnd().split('\n');
    expect(lines.slice(0, -1).map((line) => line.replace(/;\d+ms$/u, ''))).toEqual([
      'default: gpt-4 -> gpt-3.5-turbo does not fire on timeout: gpt-4;timeout_total',
      'default: gpt-4 -> gpt-3.5-turbo does not fire on timeout (stream): gpt-4;timeout_ttft',
      'default: gpt-4 -> gpt-3.5-turbo does not fire on timeout_after_headers: gpt-4;timeout_total',
      'default: gpt-4 -> gpt-3.5-turbo does not fire on timeout_after_headers (stream): gpt-4;timeout_ttft',
      'default: gpt-4 -> gpt-3.5-turbo does not fire on timeout_idle: gpt-4;timeout_total',
      'default: gpt-4 -> gpt-3.5-turbo does not fire on timeout_idle (stream): gpt-4;timeout_ttft',
    ]);
    expect(lines.at(-1)).toBe('43 of 49 faults on 1 edge fell back.');
  });

  it('says that nothing falls back where that is switched off', async () => {
    const run = await runCommand(['drill', ...CONFIG], { files: twoProviders(), env: { FALLBACK_ENABLED: 'false' } });
    expect(run.code).toBe(1);
    expect(run.stdout).toContain('FALLBACK_ENABLED=false: nothing falls back\n0 of 49 faults');
  });

  it('lets streams go on in every way that the configuration names, and asks nothing of one that has none', async () => {
    const way = (continuation: string, provider: string) => ({ provider, continuation });
    const files = twoProviders({
      models: { a: way('none', 'one'), b: way('prefix', 'two'), c: way('vllm', 'one'), d: way('none', 'two') },
      chains: { default: ['a', 'b', 'c', 'd'] },
    });
    const run = await runCommand(['drill', ...CONFIG], { files });
    // Nobody goes on after c: four faults less than on the other two edges.
    expect(run).toMatchObject({ code: 0, stdout: '143 of 143 faults on 3 edges fell back.\n' });
  });

  it('says of a chain of one model that there is nothing to fall back to', async () => {
    const files = twoProviders({ chains: { default: ['gpt-4', 'gpt-3.5-turbo'], lone: ['gpt-4'] } });
    const run = await runCommand(['drill', ...CONFIG], { files });
    expect(run).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('lone: one model alone, nothing to fall back to'),
    });
  });
});

describe('demo', () => {
  const END = 'so that a test can compare two runs word by word.';

  it('prints an answer that is cut in mid-sentence and goes on, the seam marked, then the trace', async () => {
    const run = await runCommand(['demo', '--cut-after', '77']);
    expect(run).toMatchObject({ code: 0, stderr: '' });
    const [question, , , answer = '', , trace] = run.stdout.split('\n');
    expect(question).toBe('What is a fallback?');
    const [before = '', after = ''] = answer.split('⟦gpt-4 stream_cut → gpt-3.5-turbo⟧');
    expect(before).toMatch(/^\[simulated gpt-4\] You asked: /u);
    expect(before).toHaveLength(77);
    expect(after.endsWith(END)).toBe(true);
    expect(trace).toMatch(/^gpt-4;stream_cut;\d+ms, gpt-3\.5-turbo;ok;\d+ms$/u);
  });

  it('shows the same text wherever it is cut, and whatever is configured around it', async () => {
    const around = { FALLBACK_MAX_RETRIES: 'many', FALLBACK_ENABLED: 'false', FALLBACK_CONFIG_FILE: 'missing.yaml' };
    const runs = await Promise.all(
      ['30', '121', '9999'].map((at) => runCommand(['demo', '--json', '--cut-after', at], { env: around })),
    );
    const reports = runs.map(jsonOf);
    expect(runs.map(({ code }) => code)).toEqual([0, 0, 0]);
    expect(new Set(reports.map(({ text }) => text)).size).toBe(1);
    expect(reports[0]).toMatchObject({
      ok: true,
      seams: [{ at: 30, from: 'gpt-4', to: 'gpt-3.5-turbo', reason: 'stream_cut' }],
      attempts: [
        { model: 'gpt-4', class: 'stream_cut' },
        { model: 'gpt-3.5-turbo', class: 'ok' },
      ],
    });
  });

  it('is answered by the next model alone where nothing had come before the cut', async () => {
    const report = jsonOf(await runCommand(['demo', '--json', '--cut-after', '0', '--question', 'Why?']));
    expect(report).toMatchObject({ ok: true, question: 'Why?', seams: [] });
    expect(report['text']).toMatch(/^\[simulated gpt-3\.5-turbo\] You asked: "Why\?"/u);
  });

  it('is coloured in a terminal', async () => {
    vi.stubEnv('NO_COLOR', '');
    const out = terminal();
    expect(await demo({ cutAfter: 60, question: 'Why?' }, { out, progress: out })).toBe(0);
    expect(out.written.join('')).toContain('\u001b[33m⟦gpt-4 stream_cut → gpt-3.5-turbo⟧\u001b[39m');
    vi.unstubAllEnvs();
  });
});

it('serve starts the gateway', async () => {
  const run = await runCommand(['serve'], { env: { PORT: 'x' } });
  expect(run).toMatchObject({ code: 78, stderr: 'PORT=x: expected a whole number from 0 to 65535\n' });
});
