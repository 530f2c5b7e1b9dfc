/** What traffic has shown of one model: how often it answered, how fast, at what cost. */
import type { AttemptOutcome, FailureClass } from '../policy/failure.js';
import { LatencyWindow, type Quantiles } from '../policy/latency-window.js';
import type { TokenUsage } from '../upstream/upstream.js';

/** US dollars per million tokens. */
export interface Price {
  readonly inputPerMTok: number;
  readonly outputPerMTok: number;
}

export interface AttemptReport {
  readonly model: string;
  readonly outcome: AttemptOutcome;
  readonly streaming: boolean;
  readonly startedAtMs: number;
  readonly latencyMs: number;
  readonly ttftMs?: number;
  readonly usage: TokenUsage;
  /** It was left for a hedge: it takes longer than it did. */
  readonly hedged?: boolean;
}

/** Fewer samples say too little of what is usual. */
const LEAST_SAMPLES = 20;
/** How much the newest latency weighs in the running mean that loads are compared by. */
const LATENCY_WEIGHT = 0.2;
/**
 * After so long, half of what is known of a latency is forgotten. A model that was slow is asked no more while its equal is
 * faster, so nobody would learn that it is well again: it must be given a chance for not having had one.
 */
const HALF_LIFE_MS = 10_000;
/** Of answers that are older than this, nobody can say that a model is still so slow. */
const STALE_MS = 60_000;
/** Of a model that has not answered yet; only the comparison with its equals matters. */
const UNKNOWN_LATENCY_MS = 1_000;

export class Standing {
  requests = 0;
  successes = 0;
  readonly failures: Partial<Record<FailureClass, number>> = {};
  inputTokens = 0;
  outputTokens = 0;
  costUsd = 0;
  lastOutcome: AttemptOutcome | undefined;
  lastOutcomeAtMs: number | undefined;
  readonly #latency = new LatencyWindow();
  readonly #ttft = new LatencyWindow();
  /** Latencies of answers that were not streamed. */
  readonly #answer = new LatencyWindow();
  #meanLatencyMs: number | undefined;
  #meanAtMs = 0;
  #spokeAtMs = -Infinity;
  #answeredAtMs = -Infinity;

  note(report: AttemptReport, price: Price | undefined, nowMs: number): void {
    const { outcome, usage, latencyMs, ttftMs } = report;
    this.requests++;
    this.lastOutcome = outcome;
    this.lastOutcomeAtMs = nowMs;
    if (outcome === 'ok') this.successes++;
    else this.failures[outcome] = (this.failures[outcome] ?? 0) + 1;
    this.inputTokens += usage.inputTokens;
    this.outputTokens += usage.outputTokens;
    this.costUsd += costUsd(price, usage);
    if (ttftMs !== undefined) this.#ttft.add(ttftMs);
    // How long it takes until a model fails or is left says nothing of how long it takes to answer.
    const hasAnswered = outcome === 'ok' || outcome === 'content_filter';
    if (hasAnswered) this.#latency.add(latencyMs);
    if (hasAnswered && !report.streaming) this.#answer.add(latencyMs);
    // Without those that were left, only the fast would be known, and each that is not would look slow.
    if (report.hedged) (report.streaming ? this.#ttft : this.#answer).add(latencyMs);
    if (ttftMs !== undefined) this.#spokeAtMs = nowMs;
    if (hasAnswered && !report.streaming) this.#answeredAtMs = nowMs;
    if (outcome !== 'cancelled') this.#learnMean(ttftMs ?? latencyMs, hasAnswered, nowMs);
  }

  /** What it is compared by with its equals, the smaller the longer nothing was heard. */
  meanLatencyMs(nowMs: number): number {
    return (this.#meanLatencyMs ?? UNKNOWN_LATENCY_MS) * fadedBy(nowMs - this.#meanAtMs);
  }

  /** A failure may show that a model is slow; one that fails fast is not fast. */
  #learnMean(newMs: number, hasAnswered: boolean, nowMs: number): void {
    const knownMs = this.#meanLatencyMs;
    if (!hasAnswered && newMs <= (knownMs ?? UNKNOWN_LATENCY_MS)) return;
    const keep = Math.min(1 - LATENCY_WEIGHT, fadedBy(nowMs - this.#meanAtMs));
    this.#meanLatencyMs = (knownMs ?? newMs) * keep + newMs * (1 - keep);
    this.#meanAtMs = nowMs;
  }

  /** Hardly any answer of the last minute was faster; undefined where there was none, or too few are known. */
  leastMs(streaming: boolean, nowMs: number): number | undefined {
    const lastAtMs = streaming ? this.#spokeAtMs : this.#answeredAtMs;
    return nowMs - lastAtMs < STALE_MS ? this.quantileMs(0.01, streaming) : undefined;
  }

  /** Of times until an answer; of streams, until the first token. Undefined while there are too few. */
  quantileMs(q: number, streaming: boolean): number | undefined {
    const window = streaming ? this.#ttft : this.#answer;
    return window.size >= LEAST_SAMPLES ? window.quantile(q) : undefined;
  }

  get latencyMs(): Quantiles {
    return this.#latency.quantiles();
  }

  get ttftMs(): Quantiles {
    return this.#ttft.quantiles();
  }
}

function fadedBy(ageMs: number): number {
  return 2 ** (-ageMs / HALF_LIFE_MS);
}

export function costUsd(price: Price | undefined, usage: TokenUsage): number {
  return price ? (usage.inputTokens * price.inputPerMTok + usage.outputTokens * price.outputPerMTok) / 1e6 : 0;
}
