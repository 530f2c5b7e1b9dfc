/** `perf`: many chats, and how long each model took: in process, or against a gateway that runs. */
import { quantilesOf } from '../quantiles.js';
import { histogram } from '../histogram.js';
import { ProgressBar } from '../progress-bar.js';
import { type Column, textTable } from '../text-table.js';
import { readGatewayConfiguration } from '../gateway-configuration.js';
import {
  type Command,
  type CommandOptions,
  type CommandOutput,
  EXIT_NOT_WELL,
  EXIT_WELL,
  print,
  printJson,
  withModule,
} from './command-run.js';
import { type Ask, askGatewayAt, askInProcess, type Asked } from './perf-chat.js';

export interface PerfOptions extends CommandOptions {
  readonly requests: number;
  readonly concurrency: number;
  /** Of a running gateway. */
  readonly url?: string;
  readonly chain?: string;
}

export const perf: Command<PerfOptions> = async (options, output) => {
  const { url, config } = options;
  const configuration = await readGatewayConfiguration(config);
  const asked =
    url === undefined
      ? await withModule(configuration, (app) => askAll(askInProcess(app, options.chain), options, output))
      : await askAll(askGatewayAt(url, configuration.gateway.apiKeys[0], options.chain), options, output);
  const report = reportOf(asked, url ?? 'in process');
  if (options.json) printJson(output, report);
  else print(output, linesOf(report, asked, output));
  return report.failed === 0 ? EXIT_WELL : EXIT_NOT_WELL;
};

/** So many at a time: each worker asks its next when its last was answered. */
async function askAll(ask: Ask, { requests, concurrency }: PerfOptions, { progress }: CommandOutput): Promise<Asked[]> {
  const asked: Asked[] = [];
  const bar = new ProgressBar(progress, requests);
  let begun = 0;
  const work = async () => {
    while (begun < requests) {
      begun += 1;
      asked.push(await ask());
      bar.step();
    }
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, requests) }, work));
  bar.end();
  return asked;
}

interface ModelReport {
  readonly model: string;
  readonly attempts: number;
  readonly answered: number;
  readonly failures: Readonly<Record<string, number>>;
  readonly latencyMs: ReturnType<typeof quantilesOf>;
}

interface PerfReport {
  readonly where: string;
  readonly requests: number;
  readonly answered: number;
  readonly failed: number;
  /** What went wrong with those that failed, by the words of it. */
  readonly faults: Readonly<Record<string, number>>;
  readonly fallbacks: number;
  readonly latencyMs: ReturnType<typeof quantilesOf>;
  readonly models: readonly ModelReport[];
}

function reportOf(asked: readonly Asked[], where: string): PerfReport {
  const answered = asked.filter(({ fault }) => fault === undefined);
  const attempts = asked.flatMap((one) => one.attempts);
  const names = [...new Set(attempts.map(({ model }) => model))];
  return {
    where,
    requests: asked.length,
    answered: answered.length,
    failed: asked.length - answered.length,
    faults: countBy(asked.flatMap(({ fault }) => fault ?? [])),
    fallbacks: answered.filter(({ fallbackUsed }) => fallbackUsed).length,
    latencyMs: quantilesOf(answered.map(({ latencyMs }) => latencyMs)),
    models: names.map((model) => {
      const own = attempts.filter((attempt) => attempt.model === model);
      return {
        model,
        attempts: own.length,
        answered: own.filter((attempt) => attempt.class === 'ok').length,
        failures: countBy(own.flatMap((attempt) => (attempt.class === 'ok' ? [] : attempt.class))),
        latencyMs: quantilesOf(own.map(({ ms }) => ms)),
      };
    }),
  };
}

const COLUMNS: readonly Column<ModelReport>[] = [
  { title: 'MODEL', of: ({ model }) => model },
  { title: 'COUNT', align: 'right', of: ({ attempts }) => attempts },
  { title: 'ANSWERED', align: 'right', of: ({ answered }) => answered },
  { title: 'P50', align: 'right', of: ({ latencyMs }) => `${latencyMs.p50} ms` },
  { title: 'P95', align: 'right', of: ({ latencyMs }) => `${latencyMs.p95} ms` },
  { title: 'P99', align: 'right', of: ({ latencyMs }) => `${latencyMs.p99} ms` },
  { title: 'FAILURES', of: ({ failures }) => countsInWords(failures) || '-' },
];

function linesOf(report: PerfReport, asked: readonly Asked[], { out }: CommandOutput): string[] {
  const { requests, answered, failed, faults, fallbacks, latencyMs, where, models } = report;
  const bars = out.isTTY
    ? ['', ...histogram(asked.flatMap((one) => (one.fault === undefined ? one.latencyMs : [])))]
    : [];
  return [
    ...textTable(COLUMNS, models),
    `${requests} chats (${where}): ${answered} answered, ${failed} failed, ${fallbacks} by a fallback; ` +
      `p50 ${latencyMs.p50} ms, p95 ${latencyMs.p95} ms, p99 ${latencyMs.p99} ms`,
    ...(failed > 0 ? [`Failed: ${countsInWords(faults)}`] : []),
    ...bars,
  ];
}

function countBy(words: readonly string[]): Record<string, number> {
  const counts = new Map<string, number>();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  return Object.fromEntries(counts);
}

function countsInWords(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .map(([word, count]) => `${word} ${count}`)
    .join(', ');
}
