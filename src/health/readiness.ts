import { Injectable, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';

/** Where the process stands between its start and its end; what the probes ask beside the models. */
@Injectable()
export class Readiness implements OnApplicationBootstrap, OnModuleDestroy {
  #hasStarted = false;
  #isDraining = false;

  /** The application is set up; a probe that is answered then came through a listener. */
  get hasStarted(): boolean {
    return this.#hasStarted;
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  /** From now on `ready` says no, so that no new callers are sent here. Idempotent. */
  drain(): void {
    this.#isDraining = true;
  }

  onApplicationBootstrap(): void {
    this.#hasStarted = true;
  }

  onModuleDestroy(): void {
    this.drain();
  }
}
