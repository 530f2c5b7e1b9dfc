/**
 * Notices a storm of 400s: a provider that answers nearly everything with one and the same client error is down, whatever
 * it says (Azure, 9 March 2026: twenty hours of 400 and 429 on one model).
 *
 * At least 20 requests in 60 s answered 400 or 422 with one code, and these 90 % of the model's traffic, after it had
 * answered before.
 */
const WINDOW_MS = 60_000;
const BUCKET_MS = 10_000;
const LEAST_REQUESTS = 20;
const LEAST_SHARE = 0.9;
/** Codes come from outside; a storm has one. */
const MAX_CODES = 16;

interface Bucket {
  readonly sinceMs: number;
  total: number;
  readonly byCode: Map<string, number>;
}

export class StormWatch {
  readonly #buckets: Bucket[] = [];
  #hasAnswered = false;

  /** @param code of a 400 or 422; null: answered, or failed in another way. */
  note(code: string | null, isAnswer: boolean, nowMs: number): void {
    if (isAnswer) this.#hasAnswered = true;
    // Until it has answered once, nothing needs counting.
    if (!this.#hasAnswered) return;
    const bucket = this.#bucketAt(nowMs);
    bucket.total++;
    if (code === null) return;
    if (bucket.byCode.has(code) || bucket.byCode.size < MAX_CODES) {
      bucket.byCode.set(code, (bucket.byCode.get(code) ?? 0) + 1);
    }
  }

  isStorm(code: string, nowMs: number): boolean {
    this.#dropOld(nowMs);
    let total = 0;
    let same = 0;
    for (const bucket of this.#buckets) {
      total += bucket.total;
      same += bucket.byCode.get(code) ?? 0;
    }
    return same >= LEAST_REQUESTS && same / total >= LEAST_SHARE;
  }

  /** Another model said the same: it was the callers' own mistake. */
  end(): void {
    this.#buckets.length = 0;
  }

  #bucketAt(nowMs: number): Bucket {
    this.#dropOld(nowMs);
    const sinceMs = Math.floor(nowMs / BUCKET_MS) * BUCKET_MS;
    const last = this.#buckets.at(-1);
    if (last?.sinceMs === sinceMs) return last;
    const bucket: Bucket = { sinceMs, total: 0, byCode: new Map() };
    this.#buckets.push(bucket);
    return bucket;
  }

  #dropOld(nowMs: number): void {
    while (this.#buckets[0] && this.#buckets[0].sinceMs <= nowMs - WINDOW_MS) this.#buckets.shift();
  }
}
