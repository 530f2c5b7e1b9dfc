/**
 * What a drill has to try: for every model of every chain that has one after it, every fault, stream and not, a stream's
 * also after its first token, and the models that the rules say must answer or go on then. Read from the failure traits
 * and the policies alone, so that the drill asks whether the running product does what the tables say.
 */
import type { ChainSettings, ModelSettings, Settings } from '../../config/settings.js';
import { type FailureClass, traitsOf } from '../../policy/failure.js';
import type { Policy } from '../../policy/policy.js';
import {
  BREAKS_INSIDE,
  EXPECTED_CLASS,
  SIMULATED_FAULT_KINDS,
  type SimulatedFaultKind,
} from '../../simulation/simulated-fault.js';

type Entry = readonly ModelSettings[];

/** What of the answer is out when the fault comes. */
export type DrillMoment = 'before all' | 'in a text' | 'in a tool call';

export interface DrillCase {
  readonly chain: ChainSettings;
  /** The models that are broken: one entry of the chain. */
  readonly broken: Entry;
  /** What comes after them, healthy. */
  readonly after: readonly Entry[];
  /** Of those, who must answer. */
  readonly expected: Entry;
  readonly fault: SimulatedFaultKind;
  readonly streaming: boolean;
  readonly moment: DrillMoment;
}

export function planDrill(settings: Settings): DrillCase[] {
  return [...settings.chains.values()].flatMap((chain) =>
    chain.entries.flatMap((broken, at) =>
      SIMULATED_FAULT_KINDS.flatMap((fault) =>
        waysToMeet(fault).flatMap(({ streaming, moment }): DrillCase[] => {
          const edge = { chain, broken, after: chain.entries.slice(at + 1), fault, streaming, moment };
          const expected = whoMustAnswer(edge);
          return expected ? [{ ...edge, expected }] : [];
        }),
      ),
    ),
  );
}

function waysToMeet(fault: SimulatedFaultKind): readonly Pick<DrillCase, 'streaming' | 'moment'>[] {
  const inside = (BREAKS_INSIDE as readonly SimulatedFaultKind[]).includes(fault) ? AFTER_FIRST_TOKEN : [];
  return [{ streaming: false, moment: 'before all' }, { streaming: true, moment: 'before all' }, ...inside];
}

const AFTER_FIRST_TOKEN = [
  { streaming: true, moment: 'in a text' },
  { streaming: true, moment: 'in a tool call' },
] as const;

/** @returns the first entry whose models may be asked after that fault; undefined where the rules ask nobody. */
function whoMustAnswer(edge: Omit<DrillCase, 'expected'>): Entry | undefined {
  const { chain, broken, after, fault, streaming, moment } = edge;
  const failureClass: FailureClass | null = EXPECTED_CLASS[fault][streaming ? 'stream' : 'plain'];
  if (failureClass === null) return undefined;
  const policies = broken.map((model) => chain.policyByModel.get(model.name) ?? chain.policy);
  if (!policies.every((policy) => mayBeLeft(policy, moment))) return undefined;
  for (const entry of after) {
    const admitted = entry.filter(
      (model) =>
        (moment !== 'in a text' || model.continuation !== 'none') &&
        broken.every((from, i) => mayFollow(failureClass, from, model, policies[i])),
    );
    if (admitted.length > 0) return admitted;
  }
  return undefined;
}

/** The contract's section 4: what breaks in the caller's hands ends there, if the policy says so. */
function mayBeLeft({ stream }: Policy, moment: DrillMoment): boolean {
  switch (moment) {
    case 'before all':
      return true;
    case 'in a text':
      return stream.onBreak === 'continue';
    case 'in a tool call':
      return stream.toolCalls === 'hold';
    default:
      return moment satisfies never;
  }
}

/** The contract's section 6, "another model". */
function mayFollow(failureClass: FailureClass, from: ModelSettings, to: ModelSettings, policy?: Policy): boolean {
  if (failureClass === 'invalid_output' && policy?.onInvalidOutput === 'return') return false;
  const { fallBack } = traitsOf(failureClass);
  switch (fallBack) {
    case 'never':
      return false;
    case 'any':
      return true;
    case 'other-provider':
      return from.provider.name !== to.provider.name;
    case 'if-content-filter-next':
      return policy?.onContentFilter === 'next';
    case 'larger-window':
      return (
        from.contextWindow === undefined || to.contextWindow === undefined || to.contextWindow > from.contextWindow
      );
    default:
      return fallBack satisfies never;
  }
}
