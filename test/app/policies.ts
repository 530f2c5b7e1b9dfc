/** Policies that keep out of the way of a test which asks a model that fails more often than a breaker bears. */

export const NEVER_OPENS = { consecutive: 1_000_000, minAttempts: 1_000_000, failureRate: 1 } as const;
export const PAYS_FOR_ALL = { ratio: 10, burst: 1_000_000 } as const;
