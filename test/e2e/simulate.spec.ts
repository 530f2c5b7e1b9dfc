/** `simulate` as operators and pipelines call it. What it finds out is tested in test/simulation/. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { SCENARIO_NAMES } from '../../src/gateway/commands/simulate-scenarios.js';
import { type SimulateOptions, simulate } from '../../src/gateway/commands/simulate.js';
import type { ScenarioReport } from '../../src/simulation/outage/report.js';
import { runCommand } from '../app/run-program.js';

// Processes are started, on machines that may be busy.
vi.setConfig({ testTimeout: 30_000 });

/** Few requests: the words are looked at here, not the figures. */
const FEW = ['--requests', '300'];
const CHAIN = {
  'fallback.yaml': [
    'providers: { one: { baseUrl: http://127.0.0.1:9/v1 }, two: { baseUrl: http://127.0.0.1:9/v1 } }',
    'models: { big: { provider: one }, small: { provider: two }, spare: { provider: two } }',
    'chains: { default: [big, small], patient: [small, spare, big], lonely: [big] }',
  ].join('\n'),
};
const CONFIG = ['--config', 'fallback.yaml'];

interface Document {
  readonly ok: boolean;
  readonly seed: number;
  readonly failUnder: number | null;
  readonly below: readonly string[];
  readonly scenarios: readonly ScenarioReport[];
}

async function simulated(...args: string[]): Promise<Document & { readonly code: number; readonly text: string }> {
  const { code, stdout, stderr } = await runCommand(['simulate', ...args, '--json'], { files: CHAIN });
  expect(stderr).toBe('');
  return { ...(JSON.parse(stdout) as Document), code, text: stdout };
}

describe('simulate', () => {
  it('shows the first model in trouble, in several ways, with every policy beside ours', async () => {
    const { code, stdout, stderr } = await runCommand(['simulate', ...FEW]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const name of ['hang', 'errors', 'slow', 'flapping', 'blip'])
      expect(stdout).toMatch(new RegExp(`^${name} \\(seed 1\\)$`, 'mu'));
    expect(stdout).toMatch(/^POLICY +first only +plain loop +fixed cooldown +ours$/mu);
    expect(stdout).toMatch(/^Answered( +\d{1,3}(\.\d+)? %){4}$/mu);
    expect(stdout).toMatch(/^ANSWERED +first only +plain loop +fixed cooldown +ours$/mu);
  });

  it('plays the scenarios that are named, or all', async () => {
    const two = await simulated('--scenario', 'blip', '--scenario', 'total-outage', ...FEW);
    expect(two.scenarios.map(({ scenario }) => scenario)).toEqual(['total-outage', 'blip']);
    const all = await simulated('--scenario', 'all', ...FEW);
    expect(all.scenarios.map(({ scenario }) => scenario)).toEqual(SCENARIO_NAMES);
  });

  it('says the same, byte by byte, for the same seed, and something else for another', async () => {
    const args = ['--scenario', 'flapping', ...FEW];
    const [one, again, other] = [
      await simulated(...args, '--seed', '7'),
      await simulated(...args, '--seed', '7'),
      await simulated(...args, '--seed', '8'),
    ];
    expect(again.text).toBe(one.text);
    expect(other.scenarios[0]!.policies).not.toEqual(one.scenarios[0]!.policies);
    expect([one.seed, other.seed]).toEqual([7, 8]);
  });

  it('says neither the time nor where it ran', async () => {
    const { text } = await simulated('--scenario', 'blip', ...CONFIG);
    expect(text).not.toMatch(/fallback\.yaml|\/tmp|20\d\d-/u);
  });

  it("plays the user's own chain, or another one of his", async () => {
    const { scenarios } = await simulated('--scenario', 'hang', ...FEW, ...CONFIG);
    expect(scenarios[0]!.models).toEqual(['big', 'small']);
    const patient = await simulated('--scenario', 'hang', ...FEW, ...CONFIG, '--chain', 'patient');
    expect(patient.scenarios[0]!.models).toEqual(['small', 'spare', 'big']);
  });

  it('plays about as many requests as it is told, on as many replicas, streams or not', async () => {
    const { scenarios } = await simulated(
      '--scenario',
      'slow',
      '--requests',
      '500',
      '--replicas',
      '3',
      '--shared',
      '--stream',
    );
    const [{ requests, replicas, sharedState } = {}] = scenarios;
    expect({ replicas, sharedState }).toEqual({ replicas: 3, sharedState: true });
    expect(requests).toBeGreaterThan(400);
    expect(requests).toBeLessThan(600);
    const plain = await simulated('--scenario', 'slow', '--requests', '500', '--replicas', '3', '--shared');
    const waits = [plain.scenarios[0]!, scenarios[0]!].map(({ policies }) => policies.at(-1)!.waitMs.p50);
    // A stream is waited for until its first token.
    expect(waits[1]).toBeLessThan(waits[0]! / 2);
  });

  it('fails where less is answered than it must', async () => {
    const lonely = ['--scenario', 'blip', '--scenario', 'hang', ...CONFIG, '--chain', 'lonely', ...FEW];
    const below = await simulated(...lonely, '--fail-under', '99.9');
    expect(below).toMatchObject({ code: 1, ok: false, failUnder: 99.9, below: ['hang', 'blip'] });
    const { code, stdout } = await runCommand(['simulate', ...lonely, '--fail-under', '99.9'], { files: CHAIN });
    expect(code).toBe(1);
    expect(stdout).toMatch(/^blip: ours answered \d+(\.\d+)? %, below 99\.9 %$/mu);
    expect(await simulated(...lonely)).toMatchObject({ code: 0, ok: true, failUnder: null, below: [] });
    expect(await simulated(...lonely, '--fail-under', '0')).toMatchObject({ code: 0, ok: true });
  });

  it('writes a page that says how it was made', async () => {
    const directory = await mkdtemp(join(tmpdir(), "a page's "));
    const html = join(directory, 'outage.html');
    const { code, stdout } = await runCommand(['simulate', '--scenario', 'blip', '--seed', '3', '--html', html]);
    const text = await readFile(html, 'utf8');
    await rm(directory, { recursive: true });
    expect(code).toBe(0);
    expect(stdout).toContain(`The page with the plots: ${html}\n`);
    expect(text).toContain('<title>Outage simulation: blip</title>');
    const command = text.match(/<code>(.*)<\/code>/u)?.[1]?.replaceAll('&#39;', "'");
    expect(command).toBe(
      `npx nestjs-llm-fallback simulate --scenario blip --seed 3 --html '${html.replaceAll("'", "'\\''")}'`,
    );
  });

  it('says so, and fails, where the page cannot be written', async () => {
    const { code, stderr, stdout } = await runCommand([
      'simulate',
      '--scenario',
      'blip',
      '--html',
      'missing/outage.html',
    ]);
    expect(code).toBe(1);
    expect(stderr).toBe('missing/outage.html: the page cannot be written: ENOENT\n');
    expect(stdout).toContain('blip (seed 1)');
    expect(stdout).not.toContain('The page');
  });

  it.each([
    { why: 'a scenario that there is not', args: ['--scenario', 'flood'], says: SCENARIO_NAMES.join(', ') },
    { why: 'a seed that is none', args: ['--seed', '-1'], says: 'expected a whole number from 0 to' },
    { why: 'more than everything', args: ['--fail-under', '100.1'], says: 'expected a number from 0 to 100' },
    { why: 'a share in words', args: ['--fail-under', 'most'], says: 'expected a number from 0 to 100' },
    { why: 'no replica', args: ['--replicas', '0'], says: 'expected a whole number from 1 to' },
  ])('exits with 2 and says what is allowed for $why', async ({ args, says }) => {
    const { code, stderr, stdout } = await runCommand(['simulate', ...args]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(says);
  });

  it('exits with 78 for a wrong configuration, and for a chain that there is not', async () => {
    const wrong = await runCommand(['simulate'], { env: { FALLBACK_MAX_RETRIES: 'many' } });
    expect(wrong).toMatchObject({ code: 78, stdout: '', stderr: expect.stringContaining('FALLBACK_MAX_RETRIES=many') });
    const missing = await runCommand(['simulate', ...CONFIG, '--chain', 'impatient'], { files: CHAIN });
    expect(missing).toMatchObject({
      code: 78,
      stderr: '--chain impatient: expected one of default, patient, lonely\n',
    });
  });

  it('names its scenarios in its help', async () => {
    const { code, stdout } = await runCommand(['simulate', '--help']);
    expect(code).toBe(0);
    for (const name of SCENARIO_NAMES) expect(stdout).toContain(name);
  });

  it('draws how far it is, on a terminal', async () => {
    const drawn: string[] = [];
    const progress = { isTTY: true, write: (text: string) => drawn.push(text) };
    const options: SimulateOptions = { scenario: ['blip'], seed: 1, replicas: 1, json: true };
    expect(await simulate(options, { out: { write: () => true }, progress })).toBe(0);
    expect(drawn.join('')).toMatch(/\] 0\/4.*\] 4\/4/su);
    expect(drawn.at(-1)).toBe('\r\u001b[K');
  });
});
