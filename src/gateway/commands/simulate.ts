/**
 * `simulate`: what an outage would do to the user's own chain. The code that serves requests meets simulated models in
 * virtual time, beside other policies that meet the same requests and the same luck.
 */
import { writeFile } from 'node:fs/promises';
import type { Settings } from '../../config/settings.js';
import type { PolicyReport, ScenarioReport } from '../../simulation/outage/report.js';
import { POLICY_NAMES, runScenario } from '../../simulation/outage/run-scenario.js';
import { runsOf, suggestChanges, type Suggestion } from '../../simulation/outage/suggest.js';
import { standardSettings } from '../../simulation/outage/scenarios.js';
import { readGatewayConfiguration } from '../gateway-configuration.js';
import { packageVersion } from '../package-version.js';
import { ProgressBar } from '../progress-bar.js';
import {
  type Command,
  type CommandOptions,
  type CommandOutput,
  EXIT_NOT_WELL,
  EXIT_WELL,
  print,
  printJson,
} from './command-run.js';
import { pageOf } from './simulate-page.js';
import { chosenScenarios, type ChosenScenario, type ScenarioChoice } from './simulate-scenarios.js';
import { suggestionLines } from './simulate-suggestions.js';
import { glanceLines, simulationLines } from './simulate-table.js';
import { percentText } from './simulate-words.js';

export interface SimulateOptions extends CommandOptions, ScenarioChoice {
  /** Percent: less of the requests answered by our own policy, in any scenario, is a failure. */
  readonly failUnder?: number;
  /** Also say what would help. */
  readonly suggest?: boolean;
  /** Where the page is written. */
  readonly html?: string;
}

export const simulate: Command<SimulateOptions> = async (options, output) => {
  const { settings } = await readGatewayConfiguration(options.config);
  const chosen = await chosenScenarios(options, isConfigured(settings) ? settings : standardSettings());
  const reports = playAll(chosen, options.seed, output);
  const suggested = options.suggest ? suggestAll(chosen, options.seed, output) : undefined;
  const advice = suggested?.flatMap(({ scenario, suggestions }) => suggestionLines(scenario, suggestions)) ?? [];
  const isWritten = options.html === undefined || (await writePage(options.html, reports, advice, options, output));
  const failed = reports.filter((report) => isBelow(oursIn(report), options.failUnder));
  if (options.json) {
    const { seed, failUnder = null } = options;
    const below = failed.map(({ scenario }) => scenario);
    const document = { ok: failed.length === 0, seed, failUnder, below, scenarios: reports };
    printJson(output, { ...document, ...(suggested && { suggestions: suggested }) });
  } else {
    print(output, [
      ...reports.flatMap((report) => [...simulationLines(report), '']),
      ...(reports.length > 1 ? [...glanceLines(reports), ''] : []),
      ...(advice.length > 0 ? ['What would help:', ...advice, ''] : []),
      ...(options.html !== undefined && isWritten ? [`The page with the plots: ${options.html}`] : []),
      ...failed.map((report) => `${report.scenario}: ${answeredText(report)}, below ${options.failUnder} %`),
    ]);
  }
  return failed.length === 0 && isWritten ? EXIT_WELL : EXIT_NOT_WELL;
};

/** Where nothing is, a chain of two providers is more telling than the default one, whose models fail together. */
function isConfigured({ explained }: Settings): boolean {
  return explained.some(({ path, source }) => source !== 'default' && !ABOUT_SIMULATION.has(path));
}

const ABOUT_SIMULATION: ReadonlySet<string> = new Set(['simulated', 'drills']);

function playAll(chosen: readonly ChosenScenario[], seed: number, { progress }: CommandOutput): ScenarioReport[] {
  const bar = new ProgressBar(progress, chosen.length * POLICY_NAMES.length);
  const reports = chosen.map(({ scenario }) => runScenario(scenario, seed, POLICY_NAMES, () => bar.step()));
  bar.end();
  return reports;
}

interface ScenarioSuggestions {
  readonly scenario: string;
  readonly suggestions: readonly Suggestion[];
}

function suggestAll(
  chosen: readonly ChosenScenario[],
  seed: number,
  { progress }: CommandOutput,
): ScenarioSuggestions[] {
  const bar = new ProgressBar(
    progress,
    chosen.reduce((runs, { scenario, mayReorder }) => runs + runsOf(scenario, { mayReorder }), 0),
  );
  const suggested = chosen.map(({ scenario, mayReorder }) => {
    const suggestions = suggestChanges(scenario, seed, { mayReorder, onRun: () => bar.step() });
    return { scenario: scenario.name, suggestions };
  });
  bar.end();
  return suggested;
}

/** @returns whether it could be written. */
async function writePage(
  file: string,
  reports: readonly ScenarioReport[],
  suggestions: readonly string[],
  options: SimulateOptions,
  { progress }: CommandOutput,
): Promise<boolean> {
  try {
    const facts = { command: commandOf(options), version: packageVersion(), suggestions };
    await writeFile(file, pageOf(reports, facts));
    return true;
  } catch (error) {
    const why = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    progress.write(`${file}: the page cannot be written: ${why}\n`);
    return false;
  }
}

function oursIn({ policies }: ScenarioReport): PolicyReport | undefined {
  return policies.find(({ policy }) => policy === 'ours');
}

/** Counts are compared, since a ratio of them is rounded. */
function isBelow(ours: PolicyReport | undefined, percent: number | undefined): boolean {
  if (!ours || percent === undefined) return false;
  return ours.answered * 100 < percent * ours.requests - ROUNDING_FAULT * ours.requests;
}

const ROUNDING_FAULT = 1e-9;

function answeredText(report: ScenarioReport): string {
  const ours = oursIn(report);
  return `ours answered ${percentText(ours?.answered ?? 0, ours?.requests ?? 0)}`;
}

/** What makes the same page again. */
function commandOf(options: SimulateOptions): string {
  const { scenario = [], seed, config, chain, requests, replicas, shared, stream } = options;
  const { incidents, log, suggest, html } = options;
  const words = [
    ...scenario.flatMap((name) => ['--scenario', name]),
    '--seed',
    String(seed),
    ...(config === undefined ? [] : ['--config', config]),
    ...(chain === undefined ? [] : ['--chain', chain]),
    ...(requests === undefined ? [] : ['--requests', String(requests)]),
    ...(replicas === 1 ? [] : ['--replicas', String(replicas)]),
    ...(shared ? ['--shared'] : []),
    ...(stream ? ['--stream'] : []),
    ...(incidents === undefined ? [] : ['--incidents', incidents]),
    ...(log === undefined ? [] : ['--log', log]),
    ...(suggest ? ['--suggest'] : []),
    ...(html === undefined ? [] : ['--html', html]),
  ];
  return ['npx nestjs-llm-fallback simulate', ...words.map(quoted)].join(' ');
}

/** As a shell takes it for one word. */
function quoted(word: string): string {
  return /^[\w./:@%+=,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
