/** What a start prints, writes and exits with. */
import { once } from 'node:events';
import { readFile, rename } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { asObject } from '../../src/simulation/json-value.js';
import { listenOnLoopback } from '../../src/simulation/loopback-server.js';
import { reply, startScriptedModel } from '../../src/testing.js';
import { askGateway } from '../app/ask-gateway.js';
import { runMain } from '../app/run-program.js';
import { NEVER_OPENS } from '../app/policies.js';
import { type RunningGateway, startGateway } from '../app/start-gateway.js';

// Processes are started, on machines that may be busy.
vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 });

const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

async function start(...options: Parameters<typeof startGateway>): Promise<RunningGateway> {
  const gateway = await startGateway(...options);
  closers.push(() => gateway.stop());
  await vi.waitFor(() => expect(gateway.logs()).toContain('A stream:'), { timeout: 5_000, interval: 10 });
  return gateway;
}

/** The `curl` lines of a start, as the requests that they make. */
function printedCommands(gateway: RunningGateway) {
  return [...gateway.logs().matchAll(/^ {2}curl (?<rest>.+)$/gmu)].map(({ groups }) => {
    const words = [...(groups?.['rest'] ?? '').matchAll(/'([^']*)'|(\S+)/gu)].map(
      ([, quoted, plain]) => quoted ?? plain ?? '',
    );
    const after = (flag: string) => words.flatMap((word, at) => (word === flag ? [words[at + 1] ?? ''] : []));
    return {
      url: words.find((word) => word.startsWith('http')) ?? '',
      headers: Object.fromEntries(
        after('-H').map((header) => [header.split(': ')[0] ?? '', header.split(': ')[1] ?? '']),
      ),
      body: after('-d')[0] ?? '',
    };
  });
}

describe('a start with nothing set', () => {
  it('says where it listens and that the models are simulated, and its commands work as printed', async () => {
    const gateway = await start();
    expect(gateway.logs()).toContain(`nestjs-llm-fallback is listening on ${gateway.url}\n`);
    expect(gateway.logs()).toContain('The models are simulated');
    const [chat, stream, broken, ...more] = printedCommands(gateway);
    expect(more).toEqual([]);
    const run = async (command: typeof chat) => {
      const { url = '', headers = {}, body = '' } = command ?? {};
      const response = await fetch(url, { method: 'POST', headers, body });
      return { headers: response.headers, text: await response.text(), status: response.status };
    };
    const [chatted, streamed, fallenBack] = await Promise.all([run(chat), run(stream), run(broken)]);
    expect(JSON.parse(chatted.text)).toMatchObject({ model: 'gpt-4', fallbackUsed: false });
    expect(chatted.headers.get('x-fallback-simulated')).toBe('true');
    expect(streamed.text).toMatch(/^data: \{"id".*data: \[DONE\]\n\n$/su);
    expect(JSON.parse(fallenBack.text)).toMatchObject({ model: 'gpt-3.5-turbo', fallbackUsed: true });
    expect(fallenBack.headers.get('x-fallback-trace')).toMatch(/^gpt-4;server_error;\d+ms, gpt-3\.5-turbo;ok;\d+ms$/u);
  });

  it('prints no other line than one of the log and those for people', async () => {
    const gateway = await start();
    const lines = gateway.logs().trimEnd().split('\n');
    expect(lines.filter((line) => line.startsWith('{'))).toHaveLength(1);
    expect(lines.length).toBeLessThan(15);
  });

  it('appends one line to logs/bootstrap_status.log', async () => {
    const gateway = await start();
    const written = await readFile(join(gateway.directory, 'logs/bootstrap_status.log'), 'utf8');
    expect(written).toMatch(
      /^\d{4}-\d\d-\d\dT[\d:.]+Z - FALLBACK: configured chain=default models=gpt-4,gpt-3\.5-turbo\n$/u,
    );
  });
});

describe('the models', () => {
  it('are real where OPENAI_BASE_URL is set', async () => {
    await using model = await startScriptedModel('for real');
    const gateway = await start({ env: { OPENAI_BASE_URL: model.baseUrl } });
    expect(gateway.logs()).not.toContain('simulated:');
    const answer = await askGateway(gateway.url, { model: 'gpt-4', messages: [{ role: 'user', content: 'hello' }] });
    expect(answer.text).toBe('for real');
    expect(answer.headers).not.toHaveProperty('x-fallback-simulated');
  });

  it('are simulated where that is asked for by name, in production too, whatever else is set', async () => {
    const env = { FALLBACK_SIMULATED: 'true', NODE_ENV: 'production', OPENAI_BASE_URL: 'http://127.0.0.1:1/v1' };
    const gateway = await start({ env });
    expect(gateway.logs()).toContain('The models are simulated');
  });

  it.each([{ FALLBACK_SIMULATED: 'false' }, { NODE_ENV: 'production' }])(
    'are not simulated with %o; a start that cannot answer says so in one line',
    async (env) => {
      const gateway = await start({ env });
      expect(gateway.logs()).not.toContain('The models are simulated');
      expect(gateway.logs()).toMatch(/^Note: provider openai has no key \(OPENAI_API_KEY is unset\): .*$/mu);
    },
  );

  it('are told by chain; a chain that cannot fall back is told in one line each', async () => {
    await using model = await startScriptedModel('hello');
    const provider = { baseUrl: model.baseUrl };
    const gateway = await start({
      config: {
        providers: { one: provider, two: provider },
        models: { a: { provider: 'one' }, b: { provider: 'one' }, c: { provider: 'two' } },
        chains: { default: ['a', 'c'], same: ['a', 'b'], lone: ['b'] },
      },
    });
    expect(gateway.logs()).toContain('Chain default: a (one) > c (two)\n');
    const notes = gateway.logs().match(/^Note: .*$/gmu);
    expect(notes).toEqual([
      expect.stringContaining('chain same cannot fall back from a wrong key, an empty account or an outage of one'),
      expect.stringContaining('chain lone cannot fall back: it has one model, b'),
    ]);
  });
});

it('REDIS_URL is accepted, and the start says that nothing is shared yet', async () => {
  const gateway = await start({ env: { REDIS_URL: 'redis://127.0.0.1:1' } });
  expect(gateway.logs()).toMatch(/^Note: REDIS_URL is set, but .* shares nothing yet/mu);
});

it('.env of the working directory is read, and the environment wins over it', async () => {
  const run = await runMain({ files: { '.env': 'PORT=many\nHOST=nowhere at all\n' }, env: { HOST: '127.0.0.1' } });
  expect(run).toEqual({ code: 78, stdout: '', stderr: 'PORT=many: expected a whole number from 0 to 65535\n' });
});

describe('a start that cannot be', () => {
  it('prints one line per fault, of the gateway and of the module, and exits with 78', async () => {
    const run = await runMain({ env: { PORT: '70000', FALLBACK_MAX_RETRIES: 'many', HOST: '0.0.0.0' } });
    expect(run.code).toBe(78);
    expect(run.stdout).toBe('');
    expect(run.stderr.trimEnd().split('\n')).toEqual([
      'PORT=70000: expected a whole number from 0 to 65535',
      expect.stringMatching(/^HOST=0\.0\.0\.0: expected a loopback address .* FALLBACK_API_KEYS is unset/u),
      'FALLBACK_MAX_RETRIES=many: expected a whole number from 0 to 10',
    ]);
  });

  it('prints no key', async () => {
    const env = { FALLBACK_API_KEYS: 'sesame open', OPENAI_API_KEY: 'sk sesame', REDIS_URL: 'http://u:sesame@h' };
    const run = await runMain({ env });
    expect(run.code).toBe(78);
    expect(run.stderr).not.toContain('sesame');
    expect(run.stderr.trimEnd().split('\n')).toHaveLength(3);
  });

  it('names the fault and its place in a config file', async () => {
    const run = await runMain({
      env: { FALLBACK_CONFIG_FILE: 'fallback.yaml' },
      files: { 'fallback.yaml': 'policy:\n  maxRetrys: 2\n' },
    });
    expect(run.code).toBe(78);
    expect(run.stderr).toMatch(/^fallback\.yaml:2:3 .*maxRetrys.*did you mean maxRetries\?\n$/u);
  });

  it('says that the port is taken and exits with 1', async () => {
    const { port, close } = await listenOnLoopback(createServer());
    closers.push(close);
    const run = await runMain({ env: { PORT: String(port) } });
    expect(run.code).toBe(1);
    expect(run.stderr).toMatch(/^The port is taken: .*\n$/u);
  });

  it('says that .env cannot be read', async () => {
    const run = await runMain({ files: { '.env/x': '' } });
    expect(run.code).toBe(78);
    expect(run.stderr).toMatch(/\.env: cannot be read: EISDIR\n$/u);
  });
});

it('a bootstrap log that cannot be written fails no start', async () => {
  const gateway = await start({ files: { logs: 'a file where the directory should be' } });
  expect(gateway.logs()).toContain('bootstrap_status.log cannot be written');
  expect((await fetch(`${gateway.url}/health/startup`)).status).toBe(200);
});

describe('the log file', () => {
  it('holds every line, in JSON, even after SIGKILL', async () => {
    await using model = await startScriptedModel(({ body }) =>
      body['model'] === 'gpt-4' ? reply.error(500) : 'hello',
    );
    const gateway = await start({
      config: { policy: { breaker: NEVER_OPENS } },
      env: { OPENAI_BASE_URL: model.baseUrl, FALLBACK_LOG_FILE: 'logs/fallback.log' },
    });
    const ask = () => askGateway(gateway.url, { message: 'my secret' }, { path: '/chat' });
    await Promise.all(Array.from({ length: 20 }, ask));
    gateway.child.kill('SIGKILL');
    await once(gateway.child, 'exit');
    const written = await readFile(join(gateway.directory, 'logs/fallback.log'), 'utf8');
    expect(written.endsWith('\n')).toBe(true);
    const lines = written
      .trimEnd()
      .split('\n')
      .map((line) => asObject(JSON.parse(line)));
    const count = (msg: string) => lines.filter((line) => line['msg'] === msg && 'response_time' in line).length;
    expect(count('Successfully used gpt-3.5-turbo')).toBe(20);
    expect(count('Switching to model: gpt-3.5-turbo')).toBe(20);
    expect(written).not.toContain('my secret');
  });

  it('is opened anew on SIGHUP, for those who rotate it by renaming', async () => {
    const gateway = await start({ env: { FALLBACK_LOG_FILE: 'logs/fallback.log' } });
    const path = join(gateway.directory, 'logs/fallback.log');
    await rename(path, `${path}.1`);
    gateway.child.kill('SIGHUP');
    await vi.waitFor(async () => expect(await readFile(path, 'utf8')).toContain('Configuration reloaded'), {
      timeout: 5_000,
      interval: 10,
    });
  });
});
