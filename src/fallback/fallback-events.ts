import type { Observable } from 'rxjs';
import type { Engine } from '../chain/engine.js';
import type { ChainEventMap } from '../chain/events.js';
import { EventStream } from './event-stream.js';

/** What can be watched; every value holds at least what the name of its event promises. */
export type FallbackEventMap = ChainEventMap;

export interface ListenerFault {
  readonly event: keyof FallbackEventMap;
  readonly error: unknown;
}

/** What happens, as it happens. A listener that throws never touches a request, nor the process. */
export class FallbackEvents {
  readonly #engine: Engine;
  readonly #onFault: (fault: ListenerFault) => void;

  constructor(engine: Engine, onFault: (fault: ListenerFault) => void) {
    this.#engine = engine;
    this.#onFault = onFault;
  }

  /** Hot: tells what happens while it is subscribed. */
  on<K extends keyof FallbackEventMap>(name: K): Observable<FallbackEventMap[K]> {
    return new EventStream(
      (error) => this.#onFault({ event: name, error }),
      (subscriber) => this.#engine.events.on(name, (event) => subscriber.next(event)),
    );
  }
}
