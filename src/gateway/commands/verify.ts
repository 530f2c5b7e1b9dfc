/**
 * `verify`: is the configuration one to go to work with? Faults end it (exit code 78), models that cannot be reached and
 * deadlines that no fallback fits into are problems, weak points are advice.
 */
import { checkModels } from '../../chain/model-check.js';
import { Engine } from '../../chain/engine.js';
import type { ChainSettings, ExplainedSetting, Settings } from '../../config/settings.js';
import { chainInWords, weakPoints } from '../configuration-summary.js';
import { type Column, textTable } from '../text-table.js';
import {
  type Command,
  type CommandOptions,
  EXIT_NOT_WELL,
  EXIT_WELL,
  onConfiguredModule,
  print,
  printJson,
} from './command-run.js';

export interface VerifyOptions extends CommandOptions {
  /** Advice fails, too. */
  readonly strict?: boolean;
  /** Every effective value and where it came from. */
  readonly explain?: boolean;
}

export const verify: Command<VerifyOptions> = (options, output) =>
  onConfiguredModule(options, async (app, { settings }) => {
    const engine = app.get(Engine, { strict: false });
    const unreachable = (await checkModels(engine)).filter(({ available }) => !available);
    const { problems: late, advice: tight } = deadlineFaults(settings);
    const problems = [
      ...unreachable.map(({ model, class: why, status }) => {
        return `model ${model} is not available: ${why}${status === undefined ? '' : ` (${status})`}`;
      }),
      ...late,
    ];
    const advice = [...weakPoints(settings), ...tight];
    const isWell = problems.length === 0 && (options.strict !== true || advice.length === 0);
    const explained = options.explain ? settings.explained : undefined;
    if (options.json) {
      printJson(output, {
        ok: isWell,
        simulated: settings.simulated,
        problems,
        advice,
        ...(explained && { explained }),
      });
    } else {
      print(output, [
        ...(explained ? textTable(COLUMNS, explained) : []),
        ...[...settings.chains.values()].map((chain) => `chain ${chainInWords(chain)}`),
        ...problems.map((problem) => `PROBLEM ${problem}`),
        ...advice.map((hint) => `advice  ${hint}`),
        verdictInWords(settings, problems.length, advice.length),
      ]);
    }
    return isWell ? EXIT_WELL : EXIT_NOT_WELL;
  });

const COLUMNS: readonly Column<ExplainedSetting>[] = [
  { title: 'SETTING', of: ({ path }) => path },
  { title: 'VALUE', of: ({ value }) => value },
  { title: 'SOURCE', of: ({ source, from }) => (from === undefined ? source : `${source} ${from}`) },
];

function verdictInWords({ simulated }: Settings, problems: number, advice: number): string {
  const models = simulated ? ' The models are simulated.' : '';
  const problemsInWords = `${problems} ${problems === 1 ? 'problem' : 'problems'}`;
  return `${problemsInWords}, ${advice} ${advice === 1 ? 'piece' : 'pieces'} of advice.${models}`;
}

/**
 * A model that is silent holds a request until its attempt times out. Where that would be the whole deadline, it is cut
 * short, so that a fallback has its part: the time limit that was configured is never reached.
 */
export function deadlineFaults({ chains, enabled }: Settings): { problems: string[]; advice: string[] } {
  const problems: string[] = [];
  const advice: string[] = [];
  for (const chain of enabled ? chains.values() : []) {
    const { deadlineMs } = chain.policy;
    const models = chain.entries.flat();
    let spentMs = 0;
    for (const [index, model] of models.entries()) {
      if (index > 0 && spentMs >= deadlineMs) {
        const before = models.slice(0, index).map(({ name }) => name);
        const text = `chain ${chain.name}: until ${before.join(', ')} timed out (${spentMs} ms), the deadline of ${deadlineMs} ms is over: they are cut short to leave time for ${model.name}`;
        (index === 1 ? problems : advice).push(text);
        break;
      }
      spentMs += timeoutOf(chain, model.name);
    }
  }
  return { problems, advice };
}

function timeoutOf({ policy, policyByModel }: ChainSettings, model: string): number {
  return (policyByModel.get(model) ?? policy).timeoutMs;
}
