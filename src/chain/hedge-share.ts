/** How many of a chain's latest requests have been hedged: about the last thousand, older ones fading out. */
const FADE = 0.999;
/** With fewer requests than this, the share is of so many: one hedge must be possible at all. */
const LEAST_REQUESTS = 20;

export class HedgeShare {
  readonly #byChain = new Map<string, { requests: number; hedges: number }>();

  noteRequest(chain: string): void {
    const counts = this.#of(chain);
    counts.requests = counts.requests * FADE + 1;
    counts.hedges *= FADE;
  }

  noteHedge(chain: string): void {
    this.#of(chain).hedges++;
  }

  /** @param maxShare 0 to 1. */
  mayHedge(chain: string, maxShare: number): boolean {
    const { requests, hedges } = this.#of(chain);
    return hedges + 1 <= maxShare * Math.max(requests, LEAST_REQUESTS);
  }

  #of(chain: string): { requests: number; hedges: number } {
    let counts = this.#byChain.get(chain);
    if (!counts) this.#byChain.set(chain, (counts = { requests: 0, hedges: 0 }));
    return counts;
  }
}
