/** Where Terminus comes in. Loaded only where the health routes are on. */
import { HttpException, Inject, Injectable, Module } from '@nestjs/common';
import {
  type HealthCheckResult,
  HealthCheckService,
  type HealthIndicatorFunction,
  TerminusModule,
} from '@nestjs/terminus';
import { HealthChecks } from './health-checks.js';

@Injectable()
class TerminusChecks implements HealthChecks {
  readonly #service: HealthCheckService;

  constructor(@Inject(HealthCheckService) service: HealthCheckService) {
    this.#service = service;
  }

  async run(indicators: HealthIndicatorFunction[]): Promise<HealthCheckResult> {
    try {
      return await this.#service.check(indicators);
    } catch (error) {
      // Terminus throws what it found where something is down.
      const found: unknown = error instanceof HttpException ? error.getResponse() : undefined;
      if (isResult(found)) return found;
      throw error;
    }
  }
}

function isResult(value: unknown): value is HealthCheckResult {
  return typeof value === 'object' && value !== null && 'details' in value && 'status' in value;
}

@Module({
  // A line per failed probe would fill the host's log.
  imports: [TerminusModule.forRoot({ logger: false })],
  providers: [{ provide: HealthChecks, useClass: TerminusChecks }],
  exports: [HealthChecks],
})
export class HealthChecksModule {}
