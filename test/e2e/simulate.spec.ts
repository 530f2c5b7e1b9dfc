/** `simulate` as operators and pipelines call it. What it finds out is tested in test/simulation/. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { FallbackConfigError } from '../../src/config/config-error.js';
import { SCENARIO_NAMES } from '../../src/gateway/commands/simulate-scenarios.js';
import { type SimulateOptions, simulate } from '../../src/gateway/commands/simulate.js';
import type { ScenarioReport } from '../../src/simulation/outage/report.js';
import type { Suggestion } from '../../src/simulation/outage/suggest.js';
import { runCommand, writeFiles } from '../app/run-program.js';

// Processes are started, on machines that may be busy.
vi.setConfig({ testTimeout: 30_000 });

/** Few requests: the words are looked at here, not the figures. */
const FEW = 300;
const FILES = {
  'fallback.yaml': [
    'providers: { one: { baseUrl: http://127.0.0.1:9/v1 }, two: { baseUrl: http://127.0.0.1:9/v1 } }',
    'models: { big: { provider: one }, small: { provider: two }, spare: { provider: two } }',
    'chains: { default: [big, small], patient: [small, spare, big], lonely: [big] }',
  ].join('\n'),
  'incidents.csv': [
    'provider,start_utc,resolved_utc,impact',
    'one,2026-03-01T00:00:00Z,2026-03-01T01:00:00Z,critical',
    'one,2026-03-01T05:00:00Z,2026-03-01T06:00:00Z,maintenance',
    'two,2026-03-01T09:00:00Z,2026-03-01T10:00:00Z,critical',
  ].join('\n'),
  'wrong.csv': 'provider,start_utc,resolved_utc,impact\none,yesterday,2026-03-01T01:00:00Z,major',
  'empty.csv': 'provider,start_utc,resolved_utc,impact',
  'requests.csv': [
    'offset_ms,context_tokens,generated_tokens',
    ...Array.from({ length: 60 }, (_, second) => `${second * 1_000},200,50`),
  ].join('\n'),
};

let directory: string;
let config: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "simulate's "));
  config = join(directory, 'fallback.yaml');
  await writeFiles(directory, FILES);
});

afterAll(() => rm(directory, { recursive: true, force: true }));

interface Document {
  readonly ok: boolean;
  readonly seed: number;
  readonly failUnder: number | null;
  readonly below: readonly string[];
  readonly scenarios: readonly ScenarioReport[];
  readonly suggestions?: readonly { readonly scenario: string; readonly suggestions: readonly Suggestion[] }[];
}

/** In this process, as the command line calls it. */
async function run(over: Partial<SimulateOptions>): Promise<{ readonly code: number; readonly text: string }> {
  let text = '';
  const out = { write: (piece: string) => (text += piece) };
  // A log has requests of its own.
  const few = over.log === undefined && { requests: FEW };
  const options = { seed: 1, replicas: 1, ...few, ...over };
  const code = await simulate(options, { out, progress: { write: fail } });
  return { code, text };
}

function fail(text: string): never {
  throw new Error(`nothing is to be said here: ${text}`);
}

async function simulated(
  over: Partial<SimulateOptions>,
): Promise<Document & { readonly code: number; readonly text: string }> {
  const { code, text } = await run({ ...over, json: true });
  return { ...(JSON.parse(text) as Document), code, text };
}

describe('simulate', () => {
  it('shows the first model in trouble, in several ways, with every policy beside ours', async () => {
    const { code, stdout, stderr } = await runCommand(['simulate', '--requests', String(FEW)]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const name of ['hang', 'errors', 'slow', 'flapping', 'blip']) {
      expect(stdout).toMatch(new RegExp(`^${name} \\(seed 1\\)$`, 'mu'));
    }
    expect(stdout).toMatch(/^POLICY +first only +plain loop +fixed cooldown +ours$/mu);
    expect(stdout).toMatch(/^Answered( +\d{1,3}(\.\d+)? %){4}$/mu);
    expect(stdout).toMatch(/^ANSWERED +first only +plain loop +fixed cooldown +ours$/mu);
  });

  it('takes all its options from the command line', async () => {
    const scenarios = ['--scenario', 'blip', '--scenario', 'total-outage', '--requests', '600'];
    const rules = [
      '--seed',
      '3',
      '--replicas',
      '2',
      '--shared',
      '--stream',
      '--chain',
      'patient',
      '--fail-under',
      '99.99',
    ];
    const { code, stdout } = await runCommand(['simulate', ...scenarios, ...rules, '--config', config, '--json']);
    const { scenarios: reports, ...document } = JSON.parse(stdout) as Document;
    expect({ code, ...document }).toEqual({ code: 1, ok: false, seed: 3, failUnder: 99.99, below: ['total-outage'] });
    const models = ['small', 'spare', 'big'];
    for (const report of reports) expect(report).toMatchObject({ seed: 3, replicas: 2, sharedState: true, models });
    expect(reports.map(({ scenario }) => scenario)).toEqual(['total-outage', 'blip']);
  });

  it('plays all scenarios where that is asked for', async () => {
    const { scenarios } = await simulated({ scenario: ['all'] });
    expect(scenarios.map(({ scenario }) => scenario)).toEqual(SCENARIO_NAMES);
  });

  it('says the same, byte by byte, for the same seed, and something else for another', async () => {
    const [one, again, other] = [
      await simulated({ scenario: ['flapping'], seed: 7 }),
      await simulated({ scenario: ['flapping'], seed: 7 }),
      await simulated({ scenario: ['flapping'], seed: 8 }),
    ];
    expect(again.text).toBe(one.text);
    expect(other.scenarios[0]!.policies).not.toEqual(one.scenarios[0]!.policies);
    expect([one.seed, other.seed]).toEqual([7, 8]);
  });

  it('says neither the time nor where it ran', async () => {
    const { text } = await simulated({ scenario: ['blip'], config, html: join(directory, 'any.html') });
    expect(text).not.toContain('fallback.yaml');
    expect(text).not.toContain(directory);
    expect(text).not.toContain(new Date().toISOString().slice(0, 10));
  });

  it("plays the user's own chain, or another one of his", async () => {
    const { scenarios } = await simulated({ scenario: ['hang'], config });
    expect(scenarios[0]!.models).toEqual(['big', 'small']);
    const patient = await simulated({ scenario: ['hang'], config, chain: 'patient' });
    expect(patient.scenarios[0]!.models).toEqual(['small', 'spare', 'big']);
  });

  it('plays about as many requests as it is told, streams or not', async () => {
    const [whole, streams] = [
      await simulated({ scenario: ['slow'], requests: 500 }),
      await simulated({ scenario: ['slow'], requests: 500, stream: true }),
    ].map(({ scenarios }) => scenarios[0]!);
    for (const report of [whole, streams]) expect(Math.abs(report!.requests - 500)).toBeLessThan(100);
    // A stream is waited for until its first token.
    const waits = [whole, streams].map((report) => report!.policies.at(-1)!.waitMs.p50);
    expect(waits[1]).toBeLessThan(waits[0]! / 2);
  });

  it('plays three years of incidents, another three for another seed', async () => {
    const [one, other] = [
      await simulated({ scenario: ['three-years'], seed: 1 }),
      await simulated({ scenario: ['three-years'], seed: 2 }),
    ].map(({ scenarios }) => scenarios[0]!);
    expect(one!.spanMs).toBe(3 * 365 * 86_400_000);
    expect(one!.outages.length).toBeGreaterThan(10);
    expect(other!.outages).not.toEqual(one!.outages);
  });

  it("plays the user's own incidents, each provider's at its models", async () => {
    const incidents = join(directory, 'incidents.csv');
    const { scenarios } = await simulated({ incidents, config });
    expect(scenarios).toHaveLength(1);
    const [{ scenario, about, spanMs, outages } = {}] = scenarios;
    expect({ scenario, about, spanMs }).toEqual({
      scenario: 'incidents',
      about: 'Incidents as a table lists them for one and two; 1 row of the table left out.',
      spanMs: 10 * 3_600_000,
    });
    expect(outages).toEqual([
      { model: 'big', fromMs: 0, toMs: 3_600_000 },
      { model: 'small', fromMs: 9 * 3_600_000, toMs: null },
    ]);
    const both = await simulated({ incidents, config, scenario: ['blip'] });
    expect(both.scenarios.map((one) => one.scenario)).toEqual(['blip', 'incidents']);
  });

  it("plays the user's own requests, in each scenario", async () => {
    const log = join(directory, 'requests.csv');
    const [own] = (await simulated({ scenario: ['slow'], log })).scenarios;
    // One each second, for 20 minutes.
    expect(own!.requests).toBe(1_200);
    const [stretched] = (await simulated({ scenario: ['slow'], log, requests: 600 })).scenarios;
    expect(stretched!.requests).toBe(600);
  });

  it.each([
    {
      why: 'a file that is not there',
      over: { log: 'missing.log' },
      says: ['missing.log: cannot be read: no such file'],
    },
    {
      why: 'a row that cannot be read',
      over: { incidents: 'wrong.csv' },
      says: [expect.stringMatching(/^wrong\.csv: line 2: start_utc is "yesterday", expected a time/u)],
    },
    { why: 'no incident that counts', over: { incidents: 'empty.csv' }, says: ['empty.csv: no incident in it counts'] },
  ])('is refused for $why', async ({ over, says }) => {
    const paths = Object.fromEntries(Object.entries(over).map(([name, file]) => [name, join(directory, file)]));
    const refused = await simulated(paths).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(FallbackConfigError);
    const { faults } = refused as FallbackConfigError;
    expect(faults.map((fault) => fault.replaceAll(`${directory}/`, ''))).toEqual(says);
  });

  it('fails where less is answered than it must', async () => {
    const lonely = { scenario: ['blip', 'hang'], config, chain: 'lonely' };
    const below = await simulated({ ...lonely, failUnder: 99.9 });
    expect(below).toMatchObject({ code: 1, ok: false, failUnder: 99.9, below: ['hang', 'blip'] });
    const { code, text } = await run({ ...lonely, failUnder: 99.9 });
    expect(code).toBe(1);
    expect(text).toMatch(/^blip: ours answered \d+(\.\d+)? %, below 99\.9 %$/mu);
    expect(await simulated(lonely)).toMatchObject({ code: 0, ok: true, failUnder: null, below: [] });
    expect(await simulated({ ...lonely, failUnder: 0 })).toMatchObject({ code: 0, ok: true });
  });

  it('writes a page that says how it was made', async () => {
    const html = join(directory, 'outage.html');
    const { code, stdout } = await runCommand(['simulate', '--scenario', 'blip', '--seed', '3', '--html', html]);
    const page = await readFile(html, 'utf8');
    expect(code).toBe(0);
    expect(stdout).toContain(`The page with the plots: ${html}\n`);
    expect(page).toContain('<title>Outage simulation: blip</title>');
    const command = page.match(/<code>(.*)<\/code>/u)?.[1]?.replaceAll('&#39;', "'");
    const quoted = `'${html.replaceAll("'", "'\\''")}'`;
    expect(command).toBe(`npx nestjs-llm-fallback simulate --scenario blip --seed 3 --html ${quoted}`);
  });

  it('says what would help, on the page and in the document too', async () => {
    const lonely = { scenario: ['flapping'], config, chain: 'lonely', requests: 2_000, suggest: true };
    const html = join(directory, 'help.html');
    const { text } = await run({ ...lonely, html });
    const [told = ''] = text.split('What would help:\n')[1]?.split('\n') ?? [];
    expect(told).toMatch(
      /^flapping: chains\.default \[big, big-elsewhere\] instead of \[big\] \(.+\): answered (100|9\d.*) % instead of \d\d\./u,
    );
    const page = await readFile(html, 'utf8');
    expect(page).toContain(`<li>${told}</li>`);
    expect(page).toContain(' --suggest ');
    const { suggestions = [] } = await simulated(lonely);
    expect(suggestions.map(({ scenario }) => scenario)).toEqual(['flapping']);
    expect(suggestions[0]!.suggestions[0]).toMatchObject({ setting: 'chains.default', to: '[big, big-elsewhere]' });
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

  it.concurrent.each([
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
    const missing = await runCommand(['simulate', '--config', config, '--chain', 'impatient']);
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
