/**
 * What would help in a scenario: the settings are changed in one place at a time and the scenario is played again with the
 * same luck. A change counts only where it helps beyond chance with one seed and with another.
 *
 * Finds what it tries and nothing else: `suggest-changes.ts` says what that is.
 */
import type { PolicyReport } from './report.js';
import { runScenario, type Scenario } from './run-scenario.js';
import { type Change, type ChangeRules, changesOf } from './suggest-changes.js';

/** What a scenario came to: of its two seeds together, or of one. */
export interface Outcome {
  readonly requests: number;
  readonly answered: number;
  /** p99 of what was answered; of two seeds the worse one, ms. */
  readonly waitP99Ms: number;
  readonly attemptsPerAnswer: number;
  /** Of one answer; 0 where no model has a price. */
  readonly answerUsd: number;
}

export type Merit = 'answered' | 'waitP99Ms' | 'attemptsPerAnswer' | 'answerUsd';

export interface Suggestion extends Pick<Change, 'setting' | 'from' | 'to' | 'provided'> {
  readonly before: Outcome;
  readonly after: Outcome;
  /** What gets better; never empty. */
  readonly better: readonly Merit[];
  /** What that costs. */
  readonly worse: readonly Merit[];
}

/** Helps: answers that would be missing, or that come later. A change that is only cheaper is no answer to an outage. */
const REASONS: readonly Merit[] = ['answered', 'waitP99Ms'];
const MERITS: readonly Merit[] = [...REASONS, 'attemptsPerAnswer', 'answerUsd'];
/** Smaller differences of times and costs are not worth a change. */
const WORTHWHILE = 0.1;
/** Of the requests: smaller ones are not, of answers. */
const WORTHWHILE_ANSWERS = 0.0005;
/** Counts of rare things scatter by their root; three times that is hardly chance. */
const SIGMAS = 3;
const MOST_SUGGESTIONS = 3;

export interface SuggestRules extends ChangeRules {
  /** Hears of each run as it begins: of as many as `runsOf` says. */
  readonly onRun?: () => void;
}

const SEEDS = 2;

export function runsOf(scenario: Scenario, rules: ChangeRules): number {
  return SEEDS * (changesOf(scenario, rules).length + 1);
}

/** @returns the best first, one per setting at most. */
export function suggestChanges(scenario: Scenario, seed: number, rules: SuggestRules): Suggestion[] {
  const seeds = Array.from({ length: SEEDS }, (_, i) => seed + i);
  const changes = changesOf(scenario, rules);
  const play = (played: Scenario) =>
    seeds.map((each) => {
      rules.onRun?.();
      return outcomeOf(runScenario(played, each, ['ours']).policies);
    });
  const before = play(scenario);
  const found = changes.flatMap((change) => {
    const suggestion = judge(change, before, play(change.scenario));
    return suggestion ? [suggestion] : [];
  });
  const best = new Map<string, Suggestion>();
  for (const suggestion of found.toSorted(byWorth)) {
    if (!best.has(suggestion.setting)) best.set(suggestion.setting, suggestion);
  }
  return [...best.values()].slice(0, MOST_SUGGESTIONS);
}

function outcomeOf(policies: readonly PolicyReport[]): Outcome {
  const { requests = 0, answered = 0, attempts = 0, costUsd = 0, waitMs } = policies[0] ?? {};
  return {
    requests,
    answered,
    waitP99Ms: waitMs?.p99 ?? 0,
    attemptsPerAnswer: answered === 0 ? 0 : attempts / answered,
    answerUsd: answered === 0 ? 0 : costUsd / answered,
  };
}

/** @param before of each seed, as `after`. */
export function judge(
  change: Omit<Change, 'scenario'>,
  before: readonly Outcome[],
  after: readonly Outcome[],
): Suggestion | undefined {
  const better = MERITS.filter((merit) => isBetter(merit, before, after));
  const worse = MERITS.filter((merit) => isBetter(merit, after, before));
  if (!better.some((merit) => REASONS.includes(merit)) || worse.some((merit) => REASONS.includes(merit)))
    return undefined;
  const { setting, from, to, provided } = change;
  const told = { setting, from, to, ...(provided !== undefined && { provided }) };
  return { ...told, before: together(before), after: together(after), better, worse };
}

/** With each seed, and by more than the seeds differ. */
function isBetter(merit: Merit, before: readonly Outcome[], after: readonly Outcome[]): boolean {
  const pairs = before.map((old, i) => ({ old, now: after[i]! }));
  if (merit === 'answered') {
    return pairs.every(({ old, now }) => {
      const lost = [old, now].map(({ requests, answered }) => requests - answered);
      const chance = SIGMAS * Math.sqrt(lost[0]! + lost[1]!);
      return lost[0]! - lost[1]! > Math.max(chance, old.requests * WORTHWHILE_ANSWERS);
    });
  }
  const leastBefore = Math.min(...before.map((old) => old[merit]));
  const mostAfter = Math.max(...after.map((now) => now[merit]));
  return mostAfter < leastBefore && pairs.every(({ old, now }) => now[merit] < old[merit] * (1 - WORTHWHILE));
}

function together(outcomes: readonly Outcome[]): Outcome {
  const requests = sum(outcomes.map((one) => one.requests));
  const answered = sum(outcomes.map((one) => one.answered));
  return {
    requests,
    answered,
    waitP99Ms: Math.max(...outcomes.map((one) => one.waitP99Ms)),
    attemptsPerAnswer: sum(outcomes.map((one) => one.attemptsPerAnswer * one.answered)) / Math.max(1, answered),
    answerUsd: sum(outcomes.map((one) => one.answerUsd * one.answered)) / Math.max(1, answered),
  };
}

/** More answers first; among those that answer alike, the shorter wait. */
function byWorth(a: Suggestion, b: Suggestion): number {
  return gainOf(b) - gainOf(a) || a.after.waitP99Ms - b.after.waitP99Ms;
}

function gainOf({ better, before, after }: Suggestion): number {
  if (!better.includes('answered')) return 0;
  return after.answered / after.requests - before.answered / before.requests;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
