/**
 * The probes. They answer by themselves, in Terminus's shape, whatever filters and interceptors the host has, and call no
 * model: what they tell is what traffic and the background check learnt.
 */
import { Controller, Get, Inject, Res, type Type, VERSION_NEUTRAL } from '@nestjs/common';
import type { HealthCheckResult } from '@nestjs/terminus';
import { type HostReply, takeReply } from '../fallback/host-reply.js';
import { HealthChecks } from './health-checks.js';
import { type HealthEntries, HealthReport } from './health-report.js';

@Controller({ path: 'health', version: VERSION_NEUTRAL })
export class HealthController {
  readonly #checks: HealthChecks;
  readonly #report: HealthReport;

  constructor(@Inject(HealthChecks) checks: HealthChecks, @Inject(HealthReport) report: HealthReport) {
    this.#checks = checks;
    this.#report = report;
  }

  /** 200 while every chain is up: what else is down is told, and turns nobody away. */
  @Get()
  async all(@Res() reply: HostReply): Promise<void> {
    await answer(reply, async () => withBystanders(await this.#run(this.#report.chains()), this.#report.bystanders()));
  }

  @Get('live')
  async live(@Res() reply: HostReply): Promise<void> {
    await answer(reply, () => this.#run(this.#report.live()));
  }

  @Get('startup')
  async startup(@Res() reply: HostReply): Promise<void> {
    await answer(reply, () => this.#run(this.#report.startup()));
  }

  @Get('ready')
  async ready(@Res() reply: HostReply): Promise<void> {
    await answer(reply, () => this.#run(this.#report.ready()));
  }

  #run(entries: HealthEntries): Promise<HealthCheckResult> {
    return this.#checks.run([() => entries]);
  }
}

export const healthControllers: readonly Type[] = [HealthController];

function withBystanders(result: HealthCheckResult, bystanders: HealthEntries): HealthCheckResult {
  const ofStatus = (status: string): HealthEntries =>
    Object.fromEntries(Object.entries(bystanders).filter(([, entry]) => entry.status === status));
  const down = ofStatus('down');
  const isDegraded = result.status === 'ok' && Object.keys(down).length > 0;
  return {
    status: isDegraded ? 'degraded' : result.status,
    info: { ...result.info, ...ofStatus('up') },
    error: { ...result.error, ...down },
    details: { ...result.details, ...bystanders },
  };
}

/** By what Terminus found, not by its word for it: a process that is shutting down is still alive. */
async function answer(reply: HostReply, probe: () => Promise<HealthCheckResult>): Promise<void> {
  const response = takeReply(reply);
  let status = 500;
  let body: unknown = {
    error: { message: 'The probe failed.', type: 'server_error', code: 'internal_error', param: null },
  };
  try {
    const result = await probe();
    body = result;
    status = Object.keys(result.error ?? {}).length === 0 ? 200 : 503;
  } catch {
    // Nothing of ours throws here; whoever asks still gets an answer.
  }
  const bytes = Buffer.from(JSON.stringify(body));
  response
    .writeHead(status, {
      'content-type': 'application/json; charset=utf-8',
      'content-length': String(bytes.length),
      'cache-control': 'no-store',
    })
    .end(bytes);
}
