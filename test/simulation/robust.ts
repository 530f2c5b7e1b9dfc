/**
 * Which scripts are decided alike on a clock whose timers fire late, as real ones do: they are played in virtual time with
 * late timers, many times. What would change then hangs on milliseconds, and can only be compared where time stands still.
 */
import type { PolicyOptions } from '../../src/policy/policy.js';
import { seededRandom } from '../../src/simulation/latency-profile.js';
import { VirtualClock } from '../../src/simulation/virtual-clock.js';
import { linesOf } from './decisions.js';
import { playInSimulator } from './play-in-simulator.js';
import type { Outcome, Script, ScriptedRequest } from './script.js';

const TRIES = 25;

class LateClock extends VirtualClock {
  readonly #random: () => number;
  readonly #latestMs: number;

  constructor(latestMs: number, seed: number) {
    super();
    this.#latestMs = latestMs;
    this.#random = seededRandom(seed);
  }

  override setTimer(delayMs: number, fire: () => void): () => void {
    return super.setTimer(delayMs + this.#random() * this.#latestMs, fire);
  }
}

/** @param latestMs how late each timer may fire. */
export function isRobust(script: Script, latestMs: number): boolean {
  const expected = linesOf(playInSimulator(script), false).join('\n');
  return Array.from({ length: TRIES }, (_, i) => new LateClock(latestMs, i + 1)).every(
    (clock) => linesOf(playInSimulator(script, clock), false).join('\n') === expected,
  );
}

/** How long it takes, ms. */
export function spanMsOf(script: Script): number {
  return Math.max(...playInSimulator(script).decisions.map((decision) => decision.atMs));
}

/** The same with every length of the script and of its rules so many times as long. */
export function slowed(script: Script, times: number): Script {
  const { options } = script;
  const policy = slowedLengths(options.policy ?? {}, times);
  const models = Object.fromEntries(
    Object.entries(options.models).map(([name, model]) => [name, slowedLengths(model, times)]),
  );
  const usually = Object.fromEntries(
    Object.entries(script.usually).map(([name, o]) => [name, slowedLengths(o, times)]),
  );
  const requests = script.requests.map((request): ScriptedRequest => {
    const meets = Object.entries(request.meets ?? {}).map(([name, met]) => [name, slowedLengths(met, times)]);
    return { ...slowedLengths(request, times), meets: Object.fromEntries(meets) as Record<string, Outcome> };
  });
  const chains = slowedLengths(options.chains ?? {}, times);
  return { ...script, options: { ...options, policy, models, chains }, usually, requests };
}

/** Every number whose name says that it is milliseconds, at any depth. */
function slowedLengths<T extends object | PolicyOptions>(value: T, times: number): T {
  if (Array.isArray(value)) {
    return value.map((each: unknown) => (isObject(each) ? slowedLengths(each, times) : each)) as unknown as T;
  }
  return Object.fromEntries(
    Object.entries(value).map(([key, each]: [string, unknown]) => {
      if (typeof each === 'number' && key.endsWith('Ms')) return [key, Math.min(each * times, MOST_MS)];
      return [key, isObject(each) ? slowedLengths(each, times) : each];
    }),
  ) as T;
}

/** The configuration's own limit. */
const MOST_MS = 3_600_000;

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
