/**
 * The text behind `GET /metrics`: an OpenTelemetry meter of our own, and what it has counted in Prometheus's format.
 * Opens no port and starts no timer. Its libraries are loaded only where the route is wanted: they take a tenth of a
 * second.
 */
import type { Meter } from '@opentelemetry/api';
import { IN_SECONDS } from './gen-ai-measures.js';

export interface Prometheus {
  readonly meter: Meter;
  readonly contentType: string;
  /** @throws AggregateError where an instrument could not be read: numbers that are not whole are worse than none. */
  render(): Promise<string>;
  shutdown(): Promise<void>;
}

/**
 * Far above what a configuration can need (300 models that fail in every way at every other); the library's default
 * of 2000 would throw together what comes after it.
 */
const MAX_SERIES = 100_000;

export async function createPrometheus(): Promise<Prometheus> {
  const [{ MeterProvider }, { PrometheusExporter, PrometheusSerializer }] = await Promise.all([
    import('@opentelemetry/sdk-metrics'),
    import('@opentelemetry/exporter-prometheus'),
  ]);
  const reader = new PrometheusExporter({ preventServerStart: true });
  const provider = new MeterProvider({
    readers: [reader],
    views: [
      // The exporter leaves units out of names; Prometheus wants seconds there.
      ...IN_SECONDS.map((name) => ({ instrumentName: name, name: `${name}.seconds` })),
      { instrumentName: 'fallback_*', aggregationCardinalityLimit: MAX_SERIES },
    ],
  });
  const serializer = new PrometheusSerializer('', false, undefined, true, true);
  return {
    meter: provider.getMeter('nestjs-llm-fallback'),
    contentType: 'text/plain; version=0.0.4; charset=utf-8',
    async render() {
      const { resourceMetrics, errors } = await reader.collect();
      if (errors.length > 0) throw new AggregateError(errors, 'some metrics could not be read');
      return serializer.serialize(resourceMetrics);
    },
    shutdown: () => provider.shutdown(),
  };
}
