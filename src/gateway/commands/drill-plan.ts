/**
 * What a drill has to try: for every model of every chain that has one after it, every fault, stream and not, and the
 * models that the rules say must answer then. Read from the failure traits alone, so that the drill asks whether the
 * running product does what the table says.
 */
import type { ChainSettings, ModelSettings, Settings } from '../../config/settings.js';
import { type FailureClass, traitsOf } from '../../policy/failure.js';
import type { Policy } from '../../policy/policy.js';
import { EXPECTED_CLASS, SIMULATED_FAULT_KINDS, type SimulatedFaultKind } from '../../simulation/simulated-fault.js';

type Entry = readonly ModelSettings[];

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
}

export function planDrill(settings: Settings): DrillCase[] {
  return [...settings.chains.values()].flatMap((chain) =>
    chain.entries.flatMap((broken, at) =>
      SIMULATED_FAULT_KINDS.flatMap((fault) =>
        [false, true].flatMap((streaming): DrillCase[] => {
          const after = chain.entries.slice(at + 1);
          const expected = whoMustAnswer({ chain, broken, after, fault, streaming });
          return expected ? [{ chain, broken, after, expected, fault, streaming }] : [];
        }),
      ),
    ),
  );
}

/** @returns the first entry whose models may be asked after that fault; undefined where the rules ask nobody. */
function whoMustAnswer(edge: Omit<DrillCase, 'expected'>): Entry | undefined {
  const { chain, broken, after, fault, streaming } = edge;
  const failureClass: FailureClass | null = EXPECTED_CLASS[fault][streaming ? 'stream' : 'plain'];
  if (failureClass === null) return undefined;
  const policies = broken.map((model) => chain.policyByModel.get(model.name) ?? chain.policy);
  for (const entry of after) {
    const admitted = entry.filter((model) =>
      broken.every((from, i) => mayFollow(failureClass, from, model, policies[i])),
    );
    if (admitted.length > 0) return admitted;
  }
  return undefined;
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
