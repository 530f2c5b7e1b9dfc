/** What a configuration comes to, in the few words that a start, a reload and `verify` say of it. */
import { isDeepStrictEqual } from 'node:util';
import { breakingChain } from '../chain/board-models.js';
import type { Policy } from '../policy/policy.js';
import type { ChainSettings, Settings } from '../config/settings.js';

/** `default: gpt-4 (openai) > gpt-3.5-turbo (openai)`. */
export function chainInWords({ name, entries }: ChainSettings): string {
  const groups = entries.map((group) => group.map((model) => `${model.name} (${model.provider.name})`));
  return `${name}: ${groups.map((group) => (group.length === 1 ? group.join() : `[${group.join(', ')}]`)).join(' > ')}`;
}

export function chainsInWords({ chains }: Settings): string {
  return [...chains.values()].map(chainInWords).join('; ');
}

/**
 * What an operator would want to know before the night in which it matters. Nothing of it stops a start.
 * @param ofProviders also what is weak about the providers, which says nothing of simulated models.
 */
export function weakPoints(settings: Settings, { ofProviders = true } = {}): string[] {
  const { enabled, chains, simulated } = settings;
  const weak: string[] = [];
  if (!enabled) weak.push('FALLBACK_ENABLED=false: only the first model of a chain is ever asked; nothing falls back');
  for (const chain of chains.values()) {
    const models = chain.entries.flat();
    const ofChain = new Set(models.map((model) => model.provider.name));
    if (models.length === 1) {
      weak.push(`chain ${chain.name} cannot fall back: it has one model, ${models[0]?.name}`);
    } else if (ofProviders && ofChain.size === 1) {
      const [only] = ofChain;
      weak.push(
        `chain ${chain.name} cannot fall back from a wrong key, an empty account or an outage of ${only}: no second provider`,
      );
    }
  }
  weak.push(...idleBreakers(settings));
  if (simulated || !ofProviders) return weak;
  const models = [...chains.values()].flatMap(({ entries }) => entries.flat());
  const asked = new Map(models.map(({ provider }) => [provider.name, provider]));
  for (const { name, kind, apiKey, baseUrl } of asked.values()) {
    const needsKey = kind === 'azure' || (kind === 'openai' && baseUrl.startsWith(OPENAI_ORIGIN));
    if (needsKey && apiKey === undefined) {
      const variable = name === 'openai' ? 'OPENAI_API_KEY is unset' : 'no apiKey';
      weak.push(`provider ${name} has no key (${variable}): it refuses every request`);
    }
  }
  return weak;
}

/** A model has one breaker: where chains would have it by different rules, only one of them gets its way. */
function idleBreakers(settings: Settings): string[] {
  return [...settings.chains.values()].flatMap((chain) =>
    chain.entries.flat().flatMap(({ name }) => {
      const ruling = breakingChain(settings, name);
      const isIdle = ruling && !isDeepStrictEqual(breakerOf(ruling, name), breakerOf(chain, name));
      return isIdle
        ? [
            `chain ${chain.name}: its breaker says nothing of ${name}, whose breaker has the rules of chain ${ruling.name}`,
          ]
        : [];
    }),
  );
}

function breakerOf({ policy, policyByModel }: ChainSettings, model: string): Policy['breaker'] {
  return (policyByModel.get(model) ?? policy).breaker;
}

const OPENAI_ORIGIN = 'https://api.openai.com/';
