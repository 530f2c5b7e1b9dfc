import { Injectable } from '@nestjs/common';
import { Observable } from 'rxjs';
import { Engine } from '../chain/engine.js';
import type { ChainEventMap } from '../chain/events.js';

/** What can be watched; every value holds at least what the name of its event promises. */
export type FallbackEventMap = ChainEventMap;

/** What happens, as it happens. A listener that throws never touches a request. */
@Injectable()
export class FallbackEvents {
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** Hot: tells what happens while it is subscribed. */
  on<K extends keyof FallbackEventMap>(name: K): Observable<FallbackEventMap[K]> {
    return new Observable((subscriber) => this.#engine.events.on(name, (event) => subscriber.next(event)));
  }
}
