/** The four checks that the product was asked for, by the names it was asked by: models, performance, chain, configuration. */
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { asObject } from '../../src/simulation/json-value.js';
import { reply, startScriptedModel, type ScriptedModel } from '../../src/testing.js';
import { runCommand } from '../app/run-program.js';
import { startGateway } from '../app/start-gateway.js';

// Processes are started, on machines that may be busy.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 30_000 });

let models: ScriptedModel;

beforeAll(async () => {
  models = await startScriptedModel('hello', { list: reply.models(['gpt-4', 'gpt-3.5-turbo']) });
});

afterAll(async () => {
  await models.close();
});

afterEach(() => models.use('hello'));

describe('The four checks', () => {
  const env = () => ({ OPENAI_BASE_URL: models.baseUrl });

  it('models: check says of each whether it answers', async () => {
    const { code, stdout } = await runCommand(['check'], { env: env() });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^gpt-4 .*accepted +yes +ok +\d+ ms$/mu);
    expect(stdout).toContain('All 2 models are available.');
    models.use(({ model }) => (model === 'gpt-4' ? reply.error(401, { code: 'invalid_api_key' }) : 'hello'));
    expect((await runCommand(['check'], { env: env() })).code).toBe(1);
  });

  it('performance: perf over 100 chats gives the times per model', async () => {
    models.use(({ model, number }) => (model === 'gpt-4' && number % 10 === 0 ? reply.error(500) : 'ready'));
    const gateway = await startGateway({ env: env() });
    const { code, stdout } = await runCommand(['perf', '--requests', '100', '--json', '--url', gateway.url]);
    await gateway.stop();
    expect(code).toBe(0);
    const report = asObject(JSON.parse(stdout));
    expect(report).toMatchObject({ requests: 100, answered: 100, failed: 0 });
    const times = { p50: expect.any(Number), p95: expect.any(Number), p99: expect.any(Number) };
    expect(report['models']).toMatchObject([
      { model: 'gpt-4', attempts: 100, latencyMs: times },
      { model: 'gpt-3.5-turbo', latencyMs: times },
    ]);
  });

  it('chain: drill fires every fault on every edge', async () => {
    const { code, stdout } = await runCommand(['drill'], { env: env() });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^(?<all>\d+) of \k<all> faults on 1 edge fell back\.$/mu);
  });

  it('configuration: verify finds nothing wrong, and names what is', async () => {
    expect(await runCommand(['verify'], { env: env() })).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('0 problems'),
    });
    const wrong = await runCommand(['verify'], { env: { ...env(), FALLBACK_MAX_RETRIES: 'many' } });
    expect(wrong).toMatchObject({
      code: 78,
      stderr: 'FALLBACK_MAX_RETRIES=many: expected a whole number from 0 to 10\n',
    });
  });
});
