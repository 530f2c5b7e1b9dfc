/** A configuration that changes while the gateway runs: taken up whole, or not at all. */
import { rename, rm, symlink, writeFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { reply, startScriptedModel, type ScriptedModel } from '../../src/testing.js';
import { askGateway } from '../app/ask-gateway.js';
import { type RunningGateway, startGateway } from '../app/start-gateway.js';

// Processes are started, on machines that may be busy.
vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 });

let one: ScriptedModel;
let two: ScriptedModel;
let gateway: RunningGateway;

beforeAll(async () => {
  one = await startScriptedModel('from one');
  two = await startScriptedModel('from two');
});

afterAll(async () => {
  await one.close();
  await two.close();
});

afterEach(async () => {
  one.use('from one');
  await gateway.stop();
});

/** The default chain asks this provider alone. */
function configFor(model: ScriptedModel, more: object = {}): object {
  return {
    providers: { p: { baseUrl: model.baseUrl } },
    models: { m: { provider: 'p' } },
    chains: { default: ['m'] },
    ...more,
  };
}

async function answerOf(): Promise<string> {
  const view = await askGateway(gateway.url, { model: 'm', messages: [{ role: 'user', content: 'hello' }] });
  return view.text;
}

async function untilLogged(text: string): Promise<void> {
  await vi.waitFor(() => expect(gateway.logs()).toContain(text), { timeout: 8_000, interval: 20 });
}

const RELOADED = 'Configuration reloaded';
const REFUSED = 'Configuration refused, the last good one stays in force';

describe('a changed config file', () => {
  it('is taken up at once when it is written', async () => {
    gateway = await startGateway({ config: configFor(one) });
    expect(await answerOf()).toBe('from one');
    await writeFile(gateway.configFile, JSON.stringify(configFor(two)));
    await untilLogged(RELOADED);
    expect(await answerOf()).toBe('from two');
    expect(gateway.logs()).toContain('default: m (p)');
  });

  it('is taken up when an editor puts another file in its place', async () => {
    gateway = await startGateway({ config: configFor(one) });
    await writeFile(`${gateway.configFile}.new`, JSON.stringify(configFor(two)));
    await rename(`${gateway.configFile}.new`, gateway.configFile);
    await untilLogged(RELOADED);
    expect(await answerOf()).toBe('from two');
  });

  it('is taken up when a symbolic link leads elsewhere, as in Kubernetes', async () => {
    gateway = await startGateway({ config: configFor(one) });
    await writeFile(`${gateway.configFile}.v2`, JSON.stringify(configFor(two)));
    await rm(gateway.configFile);
    await symlink(`${gateway.configFile}.v2`, gateway.configFile);
    await untilLogged(RELOADED);
    expect(await answerOf()).toBe('from two');
  });

  it('with a fault is refused with all its faults in the log, and the last good one stays in force', async () => {
    gateway = await startGateway({ config: configFor(one) });
    const bad = configFor(two, { policy: { maxRetries: 99, timoutMs: 5 } });
    await writeFile(gateway.configFile, JSON.stringify(bad));
    await untilLogged(REFUSED);
    expect(gateway.logs()).toMatch(/maxRetries=99: expected a whole number from 0 to 10/u);
    expect(gateway.logs()).toMatch(/timoutMs.*did you mean timeoutMs\?/u);
    expect(await answerOf()).toBe('from one');

    // Back to the last good one, or on to a better one: it is taken up.
    await writeFile(gateway.configFile, JSON.stringify(configFor(two)));
    await untilLogged(RELOADED);
    expect(await answerOf()).toBe('from two');
  });

  it('that is gone changes nothing, and is told once', async () => {
    gateway = await startGateway({ config: configFor(one) });
    await rm(gateway.configFile);
    await untilLogged('no such file');
    expect(await answerOf()).toBe('from one');
    expect(gateway.logs().split(REFUSED)).toHaveLength(2);
  });

  it('leaves requests under way to the configuration that they began with', async () => {
    const held = Promise.withResolvers<void>();
    one.use(async () => {
      await held.promise;
      return reply.text('still from one');
    });
    gateway = await startGateway({ config: configFor(one) });
    const waiting = answerOf();
    await one.waitForCall();
    await writeFile(gateway.configFile, JSON.stringify(configFor(two)));
    await untilLogged(RELOADED);
    held.resolve();
    expect(await waiting).toBe('still from one');
    expect(await answerOf()).toBe('from two');
  });
});

const simulated = (...names: string[]) => ({
  simulated: true,
  models: Object.fromEntries(names.map((name) => [name, { provider: 'openai' }])),
  chains: { default: names },
});

it('simulated models that are replaced finish what they have begun', async () => {
  gateway = await startGateway({ config: simulated('gpt-4') });
  const { promise: hasBegun, resolve: begin } = Promise.withResolvers<void>();
  const chat = { model: 'gpt-4', stream: true, max_tokens: 30, messages: [{ role: 'user', content: 'hello' }] };
  const stream = askGateway(gateway.url, chat, { onPiece: () => begin() });
  await hasBegun;
  await writeFile(gateway.configFile, JSON.stringify(simulated('gpt-4o', 'gpt-3.5-turbo')));
  gateway.child.kill('SIGHUP');
  await untilLogged(RELOADED);
  const view = await stream;
  expect(view.events.at(-1)?.kind).toBe('done');
  expect((await askGateway(gateway.url, { ...chat, model: 'gpt-4o' })).headers['x-fallback-model']).toBe('gpt-4o');
});

it('SIGHUP takes up what the file says now', async () => {
  gateway = await startGateway({ config: configFor(one) });
  gateway.child.kill('SIGHUP');
  await untilLogged('"why":"SIGHUP"');
  expect(await answerOf()).toBe('from one');
});
