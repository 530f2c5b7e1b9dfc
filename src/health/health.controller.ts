/**
 * The probes. They answer by themselves, in Terminus's shape, whatever filters and interceptors the host has, and call no
 * model: what they tell is what traffic and the background check learnt.
 */
import type { ServerResponse } from 'node:http';
import { Controller, Get, Inject, Res, type Type, VERSION_NEUTRAL } from '@nestjs/common';
import type { HealthCheckResult } from '@nestjs/terminus';
import { type HostReply, takeReply } from '../fallback/host-reply.js';
import { HealthChecks } from './health-checks.js';
import { type HealthEntries, HealthReport } from './health-report.js';

const PROBE_FAILED = {
  error: { message: 'The probe failed.', type: 'server_error', code: 'internal_error', param: null },
};

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
    await this.#answer(
      reply,
      () => this.#report.chains(),
      (result) => withBystanders(result, this.#report.bystanders()),
    );
  }

  @Get('live')
  async live(@Res() reply: HostReply): Promise<void> {
    await this.#answer(reply, () => this.#report.live());
  }

  @Get('startup')
  async startup(@Res() reply: HostReply): Promise<void> {
    await this.#answer(reply, () => this.#report.startup());
  }

  @Get('ready')
  async ready(@Res() reply: HostReply): Promise<void> {
    await this.#answer(reply, () => this.#report.ready());
  }

  /** The status goes by what is down, not by Terminus's word for all: a process that shuts down is still alive. */
  async #answer(
    reply: HostReply,
    entries: () => HealthEntries,
    told: (result: HealthCheckResult) => HealthCheckResult = (result) => result,
  ): Promise<void> {
    const response = takeReply(reply);
    try {
      const result = await this.#checks.run([entries]);
      sendJson(response, Object.keys(result.error ?? {}).length === 0 ? 200 : 503, told(result));
    } catch {
      // Nothing of ours throws here; whoever asks gets an answer all the same.
      sendJson(response, 500, PROBE_FAILED);
    }
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

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  const bytes = Buffer.from(JSON.stringify(body));
  response
    .writeHead(status, {
      'content-type': 'application/json; charset=utf-8',
      'content-length': String(bytes.length),
      'cache-control': 'no-store',
    })
    .end(bytes);
}
