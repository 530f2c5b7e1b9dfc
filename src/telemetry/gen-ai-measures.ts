/**
 * What OpenTelemetry's conventions for generative AI ask of a client: how long each call took, when it first spoke,
 * how fast it went on, how many tokens it used. One call is one attempt; models are named as the configuration names them, since a label
 * never holds what a caller or an upstream wrote.
 *
 * Drilled attempts are left out: no model was called, and dashboards made for these names know of no drills.
 * Names, units, attributes and bucket boundaries: opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics
 */
import type { Attributes, Histogram, Meter } from '@opentelemetry/api';
import type { AttemptFinished } from '../chain/events.js';
import type { Settings } from '../config/settings.js';
import type { AttemptOutcome } from '../policy/failure.js';

const OPERATION_BUCKETS_S = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
const FIRST_TOKEN_BUCKETS_S = [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];
const OUTPUT_TOKEN_BUCKETS_S = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5];
const TOKEN_BUCKETS = [
  1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864,
];

const OPERATION_DURATION = 'gen_ai.client.operation.duration';
const TIME_TO_FIRST_TOKEN = 'gen_ai.server.time_to_first_token';
const TIME_PER_OUTPUT_TOKEN = 'gen_ai.server.time_per_output_token';
const TOKEN_USAGE = 'gen_ai.client.token.usage';
/** The instruments whose Prometheus name ends in their unit. */
export const IN_SECONDS = [OPERATION_DURATION, TIME_TO_FIRST_TOKEN, TIME_PER_OUTPUT_TOKEN] as const;

/** Made once per model: recording allocates nothing. */
interface HeldAttributes {
  readonly model: Attributes;
  readonly input: Attributes;
  readonly output: Attributes;
  readonly byOutcome: Map<AttemptOutcome, Attributes>;
}

export class GenAiMeasures {
  readonly #durations: readonly Histogram[];
  readonly #firstTokens: readonly Histogram[];
  readonly #outputTokens: readonly Histogram[];
  readonly #tokens: readonly Histogram[];
  readonly #held = new Map<string, HeldAttributes>();
  #settings: Settings | undefined;

  constructor(meters: readonly Meter[]) {
    this.#durations = meters.map((meter) =>
      meter.createHistogram(OPERATION_DURATION, {
        unit: 's',
        description: 'How long calls of models took, failed ones too.',
        advice: { explicitBucketBoundaries: OPERATION_BUCKETS_S },
      }),
    );
    this.#firstTokens = meters.map((meter) =>
      meter.createHistogram(TIME_TO_FIRST_TOKEN, {
        unit: 's',
        description: 'How long streamed calls took until the first token.',
        advice: { explicitBucketBoundaries: FIRST_TOKEN_BUCKETS_S },
      }),
    );
    this.#outputTokens = meters.map((meter) =>
      meter.createHistogram(TIME_PER_OUTPUT_TOKEN, {
        unit: 's',
        description: 'How long streamed calls took per token after the first one.',
        advice: { explicitBucketBoundaries: OUTPUT_TOKEN_BUCKETS_S },
      }),
    );
    this.#tokens = meters.map((meter) =>
      meter.createHistogram(TOKEN_USAGE, {
        unit: '{token}',
        description: 'Input and output tokens per call.',
        advice: { explicitBucketBoundaries: TOKEN_BUCKETS },
      }),
    );
  }

  record(attempt: AttemptFinished, settings: Settings): void {
    if (attempt.drilled) return;
    const held = this.#heldFor(attempt.model, settings);
    const { inputTokens, outputTokens } = attempt.usage;
    record(this.#durations, attempt.ms / 1000, outcomeAttributes(held, attempt.class));
    if (attempt.ttftMs !== undefined) record(this.#firstTokens, attempt.ttftMs / 1000, held.model);
    const perTokenMs = timePerOutputTokenMs(attempt);
    if (perTokenMs !== undefined) record(this.#outputTokens, perTokenMs / 1000, held.model);
    // None at all: nobody counted (a failed call, or `execute()`).
    if (inputTokens > 0) record(this.#tokens, inputTokens, held.input);
    if (outputTokens > 0) record(this.#tokens, outputTokens, held.output);
  }

  #heldFor(name: string, settings: Settings): HeldAttributes {
    // After a reload a model may stand at another provider.
    if (settings !== this.#settings) {
      this.#settings = settings;
      this.#held.clear();
    }
    let held = this.#held.get(name);
    if (!held) this.#held.set(name, (held = holdAttributes(name, settings)));
    return held;
  }
}

/** Of answers that came whole; undefined where there was nothing to measure: no stream, or no token after the first. */
function timePerOutputTokenMs({ class: outcome, streaming, ms, ttftMs, usage }: AttemptFinished): number | undefined {
  if (outcome !== 'ok' || !streaming || ttftMs === undefined || usage.outputTokens < 2) return undefined;
  // An answer in one piece has no pace; `ms` is a whole number.
  return ms - ttftMs >= 1 ? (ms - ttftMs) / (usage.outputTokens - 1) : undefined;
}

function holdAttributes(name: string, settings: Settings): HeldAttributes {
  const provider = settings.models.get(name)?.provider;
  const model: Attributes = {
    'gen_ai.operation.name': 'chat',
    // The conventions have a word for Azure's flavour; of others the operator's own name says most.
    ...(provider && { 'gen_ai.provider.name': provider.kind === 'azure' ? 'azure.ai.openai' : provider.name }),
    'gen_ai.request.model': name,
  };
  return {
    model,
    input: { ...model, 'gen_ai.token.type': 'input' },
    output: { ...model, 'gen_ai.token.type': 'output' },
    byOutcome: new Map([['ok', model]]),
  };
}

function outcomeAttributes(held: HeldAttributes, outcome: AttemptOutcome): Attributes {
  let attributes = held.byOutcome.get(outcome);
  if (!attributes) held.byOutcome.set(outcome, (attributes = { ...held.model, 'error.type': outcome }));
  return attributes;
}

function record(histograms: readonly Histogram[], value: number, attributes: Attributes): void {
  for (const histogram of histograms) histogram.record(value, attributes);
}
