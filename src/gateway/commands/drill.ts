/**
 * `drill`: proves that the fallbacks fire. Every fault is put on every edge of the user's own chains, stream and not, before
 * the first token and after it, with simulated models in the real ones' place: nothing leaves this machine, and no real
 * model is asked.
 */
import { traceText } from '../../chain/trace-text.js';
import { readGatewayConfiguration } from '../gateway-configuration.js';
import { ProgressBar } from '../progress-bar.js';
import { type Command, type CommandOutput, EXIT_NOT_WELL, EXIT_WELL, print, printJson } from './command-run.js';
import { type DrillCase, type DrillMoment, planDrill } from './drill-plan.js';
import { type Drilled, DrillStage } from './drill-stage.js';

/** Most of a drill is waiting for time limits: several stages wait together. */
const STAGES = 6;

interface DrillLine {
  readonly chain: string;
  readonly from: string;
  readonly to: string;
  readonly fault: string;
  readonly stream: boolean;
  /** What of the answer was out when the fault came. */
  readonly moment: DrillMoment;
  readonly fired: boolean;
  readonly trace: string;
}

export const drill: Command = async (options, output) => {
  const { settings } = await readGatewayConfiguration(options.config);
  const cases = planDrill(settings);
  const lanes = await Promise.all(
    Array.from({ length: Math.min(STAGES, cases.length) }, () => DrillStage.open(settings)),
  );
  const drilled = await playAll(cases, lanes, output);
  await Promise.all(lanes.map((lane) => lane.close()));
  const silent = drilled.filter(({ fired }) => !fired);
  const edges = new Set(drilled.map(({ chain, from, to }) => JSON.stringify([chain, from, to]))).size;
  const alone = [...settings.chains.values()].filter(({ entries }) => entries.length < 2).map(({ name }) => name);
  if (options.json) {
    printJson(output, {
      ok: silent.length === 0,
      edges,
      tried: drilled.length,
      fired: drilled.length - silent.length,
      silent,
      alone,
    });
  } else {
    print(output, [
      ...silent.map(
        ({ chain, from, to, fault, stream, moment, trace }) =>
          `${chain}: ${from} -> ${to} does not fire on ${fault}${stream ? ` (${STREAM_WORDS[moment]})` : ''}: ` +
          (trace || 'nobody was asked'),
      ),
      ...alone.map((name) => `${name}: one model alone, nothing to fall back to`),
      ...(settings.enabled || silent.length === 0 ? [] : ['FALLBACK_ENABLED=false: nothing falls back']),
      `${drilled.length - silent.length} of ${drilled.length} faults on ${edges} ${edges === 1 ? 'edge' : 'edges'} fell back.`,
    ]);
  }
  return silent.length === 0 ? EXIT_WELL : EXIT_NOT_WELL;
};

const STREAM_WORDS: Readonly<Record<DrillMoment, string>> = {
  'before all': 'stream',
  'in a text': 'stream, in its text',
  'in a tool call': 'stream, in a tool call',
};

async function playAll(
  cases: readonly DrillCase[],
  lanes: readonly DrillStage[],
  { progress }: CommandOutput,
): Promise<DrillLine[]> {
  const drilled: DrillLine[] = [];
  const bar = new ProgressBar(progress, cases.length);
  const waiting = cases.entries();
  const work = async (lane: DrillStage) => {
    for (const [index, one] of waiting) {
      drilled[index] = lineOf(one, await lane.play(one));
      bar.step();
    }
  };
  await Promise.all(lanes.map(work));
  bar.end();
  return drilled;
}

function lineOf(one: DrillCase, { result, isWhole }: Drilled): DrillLine {
  const { chain, broken, expected, fault, streaming, moment } = one;
  const { verdict, model, attempts } = result;
  const isRightModel = expected.some(({ name }) => name === model);
  return {
    chain: chain.name,
    from: broken.map(({ name }) => name).join('|'),
    to: expected.map(({ name }) => name).join('|'),
    fault,
    stream: streaming,
    moment,
    fired: verdict.type === 'answered' && isRightModel && isWhole,
    trace: traceText(attempts) + (verdict.type === 'answered' && !isWhole ? ', but the answer is not whole' : ''),
  };
}
