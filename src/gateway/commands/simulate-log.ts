/** The user's own requests in a simulation: when they came and how long they were, and what their models are like. */
import type { Arrival, Scenario } from '../../simulation/outage/run-scenario.js';
import type { RequestLog } from '../../simulation/outage/request-log.js';

/** Of fewer attempts, a share of failures says little. */
const LEAST_ATTEMPTS = 100;
/** A log of one request tells of no pace. */
const LEAST_GAP_MS = 1_000;

/**
 * The scenario with the log's requests, again and again until it is over, and with the latencies and failures of the
 * models that the log knows.
 * @param requests about so many, the log's pace stretched; its own where nothing is said.
 */
export function withLog(scenario: Scenario, log: RequestLog, requests?: number): Scenario {
  const gapMs = log.arrivals.length > 1 ? log.spanMs / (log.arrivals.length - 1) : 0;
  const roundMs = Math.max(LEAST_GAP_MS, log.spanMs + gapMs);
  const stretch = requests === undefined ? 1 : (scenario.spanMs / requests) * (log.arrivals.length / roundMs);
  return {
    ...scenario,
    arrivals: () => rounds(log.arrivals, roundMs, stretch),
    natures: scenario.natures.map((nature) => {
      const record = log.models.get(nature.name);
      if (!record) return nature;
      return {
        ...nature,
        ...(record.latency && { latency: record.latency }),
        ...(record.attempts >= LEAST_ATTEMPTS && { everydayErrorRatio: record.failureRatio }),
      };
    }),
  };
}

function* rounds(arrivals: readonly Arrival[], roundMs: number, stretch: number): Generator<Arrival, void, undefined> {
  for (let round = 0; arrivals.length > 0; round++) {
    for (const arrival of arrivals) yield { ...arrival, atMs: (round * roundMs + arrival.atMs) * stretch };
  }
}
