/**
 * An Observable whose subscribers cannot end the process: what a plain one's subscriber throws is thrown again in a turn
 * of its own, where nobody catches it. Operators keep that (`lift`).
 */
import { Observable, type Observer, type Operator, Subscriber, type Subscription, type TeardownLogic } from 'rxjs';

type Next<T> = (value: T) => void;

export class EventStream<T> extends Observable<T> {
  readonly #onFault: (error: unknown) => void;

  /** @param onFault gets what a subscriber throws, or does not handle; once per subscription. */
  constructor(
    onFault: (error: unknown) => void,
    subscribe?: (this: Observable<T>, subscriber: Subscriber<T>) => TeardownLogic,
  ) {
    super(subscribe);
    this.#onFault = onFault;
  }

  override lift<R>(operator?: Operator<T, R>): Observable<R> {
    const lifted = new EventStream<R>(this.#onFault);
    lifted.source = this;
    lifted.operator = operator;
    return lifted;
  }

  override subscribe(
    observer?: Partial<Observer<T>> | Next<T> | null,
    error?: Next<unknown> | null,
    complete?: (() => void) | null,
  ): Subscription {
    // An operator's own, which hands on what is thrown in it.
    if (observer instanceof Subscriber) return super.subscribe(observer);
    const given = typeof observer === 'object' && observer !== null ? observer : { next: observer, error, complete };
    return super.subscribe(this.#guarded(given));
  }

  #guarded(observer: { [K in keyof Observer<T>]?: Observer<T>[K] | null | undefined }): Observer<T> {
    let isTold = false;
    const tell = (error: unknown): void => {
      if (!isTold) this.#onFault(error);
      isTold = true;
    };
    const quietly = (run: () => void): void => {
      try {
        run();
      } catch (error) {
        tell(error);
      }
    };
    return {
      next: (value) => quietly(() => observer.next?.(value)),
      error: (error: unknown) => quietly(() => (observer.error ? observer.error(error) : tell(error))),
      complete: () => quietly(() => observer.complete?.()),
    };
  }
}
