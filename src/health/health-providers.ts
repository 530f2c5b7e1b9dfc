/** What the module provides of this room. Nothing here starts anything but the background check. */
import type { Provider } from '@nestjs/common';
import { BackgroundCheck } from './background-check.js';
import { FallbackHealthIndicator } from './fallback-health-indicator.js';
import { HealthReport } from './health-report.js';
import { IdleTimer, systemIdleTimer } from './idle-timer.js';
import { ModelHealth } from './model-health.js';
import { Readiness } from './readiness.js';

/** For every host. */
export const healthProviders: readonly Provider[] = [ModelHealth, FallbackHealthIndicator, Readiness];

/** Where the health routes are on. */
export const healthRouteProviders: readonly Provider[] = [
  HealthReport,
  { provide: IdleTimer, useValue: systemIdleTimer },
  BackgroundCheck,
];
