/** The commands of `npx nestjs-llm-fallback`: what they are called, what they take, what they exit with. */
import { Command as Program, CommanderError, InvalidArgumentError } from 'commander';
import { check } from './commands/check.js';
import type { Command, CommandOptions } from './commands/command-run.js';
import { demo } from './commands/demo.js';
import { drill } from './commands/drill.js';
import { perf, type PerfOptions } from './commands/perf.js';
import { simulate, type SimulateOptions } from './commands/simulate.js';
import { isScenario, SCENARIO_HELP, SCENARIO_NAMES } from './commands/simulate-scenarios.js';
import { verify, type VerifyOptions } from './commands/verify.js';
import { packageVersion } from './package-version.js';
import { explainFailedStart, serve } from './serve.js';

const EXIT_USAGE = 2;
const MOST_REQUESTS = 1_000_000;
const MOST_AT_A_TIME = 1_000;
const MOST_CHARS = 100_000;
const MOST_SEED = 999_999_999;
const MOST_REPLICAS = 100;

/** @param argv as the process has it. Ends the process, but for `serve`. */
export async function runCli(argv: readonly string[]): Promise<void> {
  try {
    await program().parseAsync([...argv]);
  } catch (error) {
    if (!(error instanceof CommanderError)) process.exit(explainFailedStart(error));
    // Help and version were asked for: that is all well.
    process.exit(error.exitCode === 0 ? 0 : EXIT_USAGE);
  }
}

function program(): Program {
  const all = new Program('nestjs-llm-fallback')
    .description('Keeps an application answering when a language model fails.')
    .version(packageVersion())
    .exitOverride()
    .showHelpAfterError()
    .configureOutput({ outputError: (text, write) => write(text) });
  configured(subcommand(all, 'serve', 'start the gateway')).action(({ config }: CommandOptions) => serve(config));
  const add = <O extends CommandOptions>(name: string, description: string, run: Command<O>): Program =>
    runs(configured(subcommand(all, name, description)), run);
  add('check', 'ask each model for one token: key, model, answer, latency', check);
  add<PerfOptions>('perf', 'measure many chats: count and times per model', perf)
    .option('--requests <n>', 'how many chats', wholeFrom(1, MOST_REQUESTS), 100)
    .option('--concurrency <n>', 'how many at a time', wholeFrom(1, MOST_AT_A_TIME), 10)
    .option('--url <url>', 'of a running gateway; without it, in this process', httpUrl)
    .option('--chain <name>', 'which chain');
  add<VerifyOptions>('verify', 'look for faults, unreachable models and deadlines that no fallback fits into', verify)
    .option('--strict', 'fail on advice, too')
    .option('--explain', 'print every effective value and where it came from');
  add('drill', 'put every fault on every edge of the chains and see whether it falls back', drill);
  add<SimulateOptions>(
    'simulate',
    'put the chain through an outage, in simulated time, beside other policies',
    simulate,
  )
    .option('--scenario <name>', `may stand several times: ${SCENARIO_HELP}`, scenarioName)
    .option('--seed <n>', 'the same seed, the same luck', wholeFrom(0, MOST_SEED), 1)
    .option('--chain <name>', 'which chain, instead of the default one')
    .option('--requests <n>', 'about so many in each scenario, instead of its own', wholeFrom(1, MOST_REQUESTS))
    .option('--replicas <n>', 'how many of the gateway share the requests', wholeFrom(1, MOST_REPLICAS), 1)
    .option('--shared', 'replicas know what any of them learnt')
    .option('--stream', 'requests are streams')
    .option('--incidents <file>', 'a table of incidents of your own, as a scenario')
    .option('--log <file>', 'requests of your own: logs/fallback.log, or a table of times and tokens')
    .option('--fail-under <percent>', 'exit with 1 where fewer requests are answered, in any scenario', percent)
    .option('--suggest', 'also say which change of the settings would help, and by how much')
    .option('--html <file>', 'write a page with plots');
  runs(subcommand(all, 'demo', 'cut gpt-4 in mid-sentence, simulated, and see the stream go on'), demo)
    .option('--cut-after <chars>', 'where it is cut', wholeFrom(0, MOST_CHARS), 120)
    .option('--question <text>', 'what is asked', 'What is a fallback?');
  return all;
}

function subcommand(all: Program, name: string, description: string): Program {
  return all.command(name).description(description).exitOverride().allowExcessArguments(false);
}

function configured(command: Program): Program {
  return command.option('--config <file>', 'YAML or JSON; wins over FALLBACK_CONFIG_FILE');
}

function runs<O extends CommandOptions>(command: Program, run: Command<O>): Program {
  return command.option('--json', 'one JSON document, for programs').action(async (options: O) => {
    const exitCode = await run(options, { out: process.stdout, progress: process.stderr });
    // A long document is not out yet where standard output is a pipe that is written in the background.
    await new Promise((written) => process.stdout.write('', written));
    process.exit(exitCode);
  });
}

function wholeFrom(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,9}$/.test(text) ? Number(text) : NaN;
    if (value >= least && value <= most) return value;
    throw new InvalidArgumentError(`expected a whole number from ${least} to ${most}.`);
  };
}

function scenarioName(text: string, before: readonly string[] | undefined): readonly string[] {
  if (isScenario(text)) return [...(before ?? []), text];
  throw new InvalidArgumentError(`expected one of ${SCENARIO_NAMES.join(', ')}, or all.`);
}

function percent(text: string): number {
  const value = /^\d{1,3}(\.\d{1,9})?$/.test(text) ? Number(text) : NaN;
  if (value <= 100) return value;
  throw new InvalidArgumentError('expected a number from 0 to 100.');
}

function httpUrl(text: string): string {
  const isHttp = URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
  if (isHttp) return text;
  throw new InvalidArgumentError('expected an http:// or https:// address.');
}
