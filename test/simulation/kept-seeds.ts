/** Every seed of a random world that once failed, and what it found; all are played again with each run. */
export const KEPT_SEEDS: readonly { readonly seed: number; readonly found: string }[] = [];
