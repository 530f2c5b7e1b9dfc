/**
 * From the name that a caller asks for to the models that may answer, in order: a chain's name, a model's (that model
 * first, then those after it in the default chain), or a list of models. Made once per configuration; a plan of an
 * ordinary request allocates nothing but itself.
 */
import type { ChainSettings, ModelSettings, Settings } from '../config/settings.js';
import { makePlan, type PlannedModel, type PlanRequest, type RequestPlan } from '../policy/plan.js';
import { blotSecrets } from '../upstream/blot.js';
import { FallbackRejectedError, unknownModelError } from './errors.js';

/** What a caller asks for; nothing at all means the default chain. */
export interface Route {
  /** A chain's name: its models, or, with `models`, its rules alone. */
  readonly chain?: string;
  /** A chain's or a model's name: OpenAI's `model`. */
  readonly model?: string;
  /** Replaces the chain's list. */
  readonly models?: readonly string[];
}

export interface RouteRequest extends PlanRequest {
  /** A chat goes over HTTP: models of `external` providers are left out. `execute()` may ask any. */
  readonly overHttp: boolean;
}

interface PlanBase {
  readonly name: string;
  readonly models: readonly PlannedModel[];
  /** Those that are called over HTTP. */
  readonly overHttp: readonly PlannedModel[];
  readonly policy: ChainSettings['policy'];
}

const DEFAULT_CHAIN = 'default';
/** A list longer than this is a mistake, not a chain. */
export const MAX_LISTED_MODELS = 32;

export class Routes {
  readonly #settings: Settings;
  readonly #bases = new Map<string, PlanBase>();

  constructor(settings: Settings) {
    this.#settings = settings;
    for (const chain of settings.chains.values()) this.#bases.set(chain.name, this.#baseOf(chain, chain.entries));
    const byDefault = this.#chain(DEFAULT_CHAIN);
    for (const model of settings.models.values()) {
      this.#bases.set(model.name, this.#baseOf(byDefault, fromModelOn(byDefault, model)));
    }
  }

  /**
   * @throws FallbackRejectedError 404 `model_not_found` for a name that nobody has; 400 `unsupported` where a chat asks
   * only models that are answered by `execute()`.
   */
  plan(route: Route, request: RouteRequest): RequestPlan {
    const base = route.models ? this.#listed(route, route.models) : this.#named(route.chain ?? route.model);
    const models = request.overHttp ? base.overHttp : base.models;
    if (models.length === 0) throw onlyExternalError(base);
    const fallback = request.fallback && this.#settings.enabled;
    return makePlan({ name: base.name, models, policy: base.policy }, { ...request, fallback });
  }

  #named(name: string = DEFAULT_CHAIN): PlanBase {
    const base = this.#bases.get(name);
    if (!base) throw unknownModelError(this.#unknown(name));
    return base;
  }

  #listed(route: Route, names: readonly string[]): PlanBase {
    const ruling = this.#settings.chains.get(route.chain ?? route.model ?? DEFAULT_CHAIN) ?? this.#chain(DEFAULT_CHAIN);
    if (route.chain !== undefined && !this.#settings.chains.has(route.chain)) {
      throw unknownModelError(this.#unknown(route.chain));
    }
    const models = [...new Set(names)].map((name) => {
      const model = this.#settings.models.get(name);
      if (!model) throw unknownModelError(this.#unknown(name));
      return [model];
    });
    return this.#baseOf(ruling, models);
  }

  #chain(name: string): ChainSettings {
    const chain = this.#settings.chains.get(name);
    if (!chain) throw unknownModelError(this.#unknown(name));
    return chain;
  }

  #baseOf(chain: ChainSettings, entries: readonly (readonly ModelSettings[])[]): PlanBase {
    const models = entries.flatMap((group, entry) => group.map((model) => this.#planned(chain, model, entry)));
    const overHttp = entries.flatMap((group, entry) =>
      group.filter((m) => m.provider.kind !== 'external').map((model) => this.#planned(chain, model, entry)),
    );
    return { name: chain.name, models, overHttp, policy: chain.policy };
  }

  #planned(chain: ChainSettings, model: ModelSettings, entry: number): PlannedModel {
    const maxRetries = chain.maxRetriesByModel.get(model.name);
    return {
      name: model.name,
      provider: model.provider.name,
      policy: chain.policyByModel.get(model.name) ?? chain.policy,
      continuation: model.continuation,
      entry,
      ...(model.contextWindow !== undefined && { contextWindow: model.contextWindow }),
      ...(maxRetries !== undefined && { maxRetries }),
    };
  }

  #unknown(name: string): string {
    // Callers have put keys where the model's name belongs.
    const blotted = blotSecrets(name, this.#settings.secrets);
    const shown = blotted.length > 64 ? `${blotted.slice(0, 64)}…` : blotted;
    return `The model "${shown}" does not exist; GET /v1/models lists the chains and the models.`;
  }
}

function onlyExternalError(base: PlanBase): FallbackRejectedError {
  const names = base.models.map((model) => model.name).join(', ');
  const message = `${names}: answered by execute() with another SDK, not by a chat.`;
  return new FallbackRejectedError({ message, status: 400, code: 'unsupported', class: 'unsupported', param: 'model' });
}

/** That model first, then those after it; one that is not in the chain stands alone. */
function fromModelOn(chain: ChainSettings, model: ModelSettings): readonly (readonly ModelSettings[])[] {
  const at = chain.entries.findIndex((group) => group.some((equal) => equal.name === model.name));
  if (at < 0) return [[model]];
  const equals = (chain.entries[at] ?? []).filter((equal) => equal.name !== model.name);
  return [[model], ...(equals.length > 0 ? [equals] : []), ...chain.entries.slice(at + 1)];
}
