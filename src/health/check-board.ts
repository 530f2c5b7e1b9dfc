/**
 * What the background check has learnt, and when it counts against a model. The rules, so that one probe never takes a
 * working gateway out of service:
 *
 * - A provider that could not be reached, was too slow or answered 5xx: its models are down until its next good check, or
 *   until one of them answers real traffic.
 * - A provider that refused the key (`auth`, `permission`, `quota`): the same, unless this key has served traffic before.
 *   Keys may be allowed to chat and forbidden to list; where a key stops working, traffic says so.
 * - A model that is not in its provider's list: down, unless it has ever answered. Some servers answer to any name.
 * - Everything else (no such route, a redirect, rate limited) tells nothing.
 * - A model's own one-token answer, where it was asked for one, counts more than the list.
 *
 * Moments are monotonic ms.
 */
import type { ProviderCheck } from '../chain/model-check.js';
import type { ModelPing } from '../chain/model-ping.js';
import type { ModelSettings, ProviderSettings } from '../config/settings.js';
import { type FailureClass, traitsOf } from '../policy/failure.js';
import type { SeenFailure, TrafficLog } from './traffic-log.js';

interface KnownProvider {
  readonly provider: ProviderSettings;
  /** Traffic from here on went there with this key. */
  readonly sinceMs: number;
  readonly check: ProviderCheck;
  readonly checkedAtMs: number;
}

export class CheckBoard {
  readonly #traffic: TrafficLog;
  readonly #providers = new Map<string, KnownProvider>();
  readonly #pings = new Map<
    string,
    { readonly model: ModelSettings; readonly ping: ModelPing; readonly atMs: number }
  >();

  constructor(traffic: TrafficLog) {
    this.#traffic = traffic;
  }

  noteProvider(provider: ProviderSettings, check: ProviderCheck, nowMs: number): void {
    const before = this.#providers.get(provider.name);
    const sinceMs = before ? (isSamePlace(before.provider, provider) ? before.sinceMs : nowMs) : -Infinity;
    this.#providers.set(provider.name, { provider, sinceMs, check, checkedAtMs: nowMs });
  }

  notePing(model: ModelSettings, ping: ModelPing, nowMs: number): void {
    this.#pings.set(model.name, { model, ping, atMs: nowMs });
  }

  /** Whether a check has found the model, or its provider where that is all a list tells. */
  hasFound(model: ModelSettings): boolean {
    const ping = this.#pingOf(model);
    if (ping) return ping.ping.class === 'ok';
    const reading = this.#checkOf(model.provider)?.check.reading;
    return reading?.type === 'listed' && reading.has(model.id);
  }

  /** What speaks against the model now; undefined: nothing. */
  faultOf(model: ModelSettings): SeenFailure | undefined {
    const ping = this.#pingOf(model);
    if (ping) {
      const { class: outcome } = ping.ping;
      const isRefuted = (this.#traffic.of(model).lastSuccessAtMs ?? -Infinity) > ping.atMs;
      return outcome !== 'ok' && !isRefuted && speaksAgainst(outcome) ? { class: outcome, atMs: ping.atMs } : undefined;
    }
    const known = this.#checkOf(model.provider);
    return known && this.#faultByList(model, known);
  }

  #faultByList(model: ModelSettings, { check, checkedAtMs, sinceMs }: KnownProvider): SeenFailure | undefined {
    const { reading } = check;
    const fault = (failureClass: FailureClass): SeenFailure => ({ class: failureClass, atMs: checkedAtMs });
    if (reading.type === 'failed') {
      const { class: failureClass, status = 0 } = reading.failure;
      // Some frameworks redirect /models to /models/, and answer chats where they are.
      const isRedirect = status >= 300 && status < 400;
      if (isRedirect || !speaksAgainst(failureClass)) return undefined;
      const { lastSuccessAtMs } = this.#traffic.ofProvider(model.provider.name);
      const refutedFromMs = traitsOf(failureClass).hurtsHealth ? checkedAtMs : sinceMs;
      return lastSuccessAtMs > refutedFromMs ? undefined : fault(failureClass);
    }
    const isMissing = reading.type === 'listed' && !reading.has(model.id);
    return isMissing && this.#traffic.of(model).lastSuccessAtMs === undefined ? fault('not_found') : undefined;
  }

  #checkOf(provider: ProviderSettings): KnownProvider | undefined {
    const known = this.#providers.get(provider.name);
    return known && isSamePlace(known.provider, provider) ? known : undefined;
  }

  /** The last one, unless the list was asked for since without it. */
  #pingOf(model: ModelSettings) {
    const known = this.#pings.get(model.name);
    if (known?.model.id !== model.id || !isSamePlace(known.model.provider, model.provider)) return undefined;
    return known.atMs >= (this.#checkOf(model.provider)?.checkedAtMs ?? -Infinity) ? known : undefined;
  }
}

/** Same address, same key: what was learnt before a reload still holds. */
export function isSamePlace(a: ProviderSettings, b: ProviderSettings): boolean {
  return a.name === b.name && a.kind === b.kind && a.baseUrl === b.baseUrl && a.apiKey === b.apiKey;
}

function speaksAgainst(failureClass: FailureClass): boolean {
  const { hurtsHealth, fallBack } = traitsOf(failureClass);
  return hurtsHealth || fallBack === 'other-provider' || failureClass === 'not_found';
}
