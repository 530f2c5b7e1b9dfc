/** What would help, in sentences. */
import type { Merit, Outcome, Suggestion } from '../../simulation/outage/suggest.js';
import { costText, durationText, percentText, plainNumber } from './simulate-words.js';

/** @param suggestions of one scenario, the best first. */
export function suggestionLines(scenario: string, suggestions: readonly Suggestion[]): string[] {
  if (suggestions.length === 0) return [`${scenario}: no change that was tried helps beyond chance`];
  return suggestions.map((suggestion) => `${scenario}: ${suggestionText(suggestion)}`);
}

/** `policy.timeoutMs 7500 instead of 30000: p99 wait 8.2 s instead of 30 s; but attempts per answer 1.2 instead of 1.0`. */
export function suggestionText({ setting, from, to, provided, better, worse, before, after }: Suggestion): string {
  const change = `${setting} ${to} instead of ${from}${provided === undefined ? '' : ` (${provided})`}`;
  const told = (merits: readonly Merit[]) =>
    merits.map((merit) => `${MERIT_WORDS[merit](after)} instead of ${valueOf(merit, before)}`).join(', ');
  return `${change}: ${told(better)}${worse.length === 0 ? '' : `; but ${told(worse)}`}`;
}

const MERIT_WORDS: Readonly<Record<Merit, (outcome: Outcome) => string>> = {
  answered: (outcome) => `answered ${valueOf('answered', outcome)}`,
  waitP99Ms: (outcome) => `p99 wait ${valueOf('waitP99Ms', outcome)}`,
  attemptsPerAnswer: (outcome) => `attempts per answer ${valueOf('attemptsPerAnswer', outcome)}`,
  answerUsd: (outcome) => `1,000 answers for ${valueOf('answerUsd', outcome)}`,
};

function valueOf(merit: Merit, { answered, requests, waitP99Ms, attemptsPerAnswer, answerUsd }: Outcome): string {
  switch (merit) {
    case 'answered':
      return percentText(answered, requests);
    case 'waitP99Ms':
      return durationText(waitP99Ms);
    case 'attemptsPerAnswer':
      return plainNumber(attemptsPerAnswer);
    case 'answerUsd':
      return costText(answerUsd * 1_000);
    default:
      return merit satisfies never;
  }
}
