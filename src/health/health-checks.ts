/** Terminus as the controller knows it: by its types alone, so that a host without health routes never loads it. */
import type { HealthCheckResult, HealthIndicatorFunction } from '@nestjs/terminus';

export interface HealthChecks {
  /** @returns the result, also where something is down. */
  run(indicators: HealthIndicatorFunction[]): Promise<HealthCheckResult>;
}
export const HealthChecks = Symbol('HealthChecks');
