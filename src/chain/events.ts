/**
 * What the chain tells its listeners: metrics, logs, the host. Nobody is awaited, and a listener that throws never
 * touches a request.
 */
import type { BreakerState } from '../policy/breaker.js';
import type { AttemptKind } from '../policy/request-commands.js';
import type { AttemptOutcome, Failure, FailureClass } from '../policy/failure.js';
import type { TokenUsage } from '../upstream/upstream.js';

/** One upstream call as everyone is told of it: header, error, log, span, event. */
export interface AttemptRecord {
  readonly model: string;
  readonly class: AttemptOutcome;
  /** The upstream's HTTP status, where there was one. */
  readonly status?: number;
  readonly ms: number;
}

export interface AttemptFinished extends AttemptRecord {
  readonly requestId: string;
  readonly chain: string;
  readonly kind: AttemptKind;
  readonly streaming: boolean;
  /** Caused by a drill: never counted with real traffic. */
  readonly drilled: boolean;
  readonly ttftMs?: number;
  readonly usage: TokenUsage;
  readonly failure?: Failure;
}

export interface RequestFinished {
  readonly requestId: string;
  readonly chain: string;
  readonly outcome: 'ok' | 'failed' | 'cancelled';
  readonly model?: string;
  readonly attempts: readonly AttemptRecord[];
  readonly latencyMs: number;
  readonly streaming: boolean;
  /** A drill had a part in it. */
  readonly drilled: boolean;
  readonly deadlineExceeded: boolean;
  readonly ttftMs?: number;
}

export interface ModelSwitched {
  readonly requestId: string;
  readonly chain: string;
  readonly from: string;
  readonly to: string;
  readonly reason: FailureClass;
  /** `overtake`: the model that is left is silent, and may still answer first. */
  readonly kind: AttemptKind;
  /** How long the model that is left has taken. */
  readonly ms: number;
  readonly drilled: boolean;
}

/** A stream that broke in the caller's hands, and is gone on with: told when the next model's first words go out. */
export interface StreamContinued {
  readonly requestId: string;
  readonly chain: string;
  readonly from: string;
  readonly to: string;
  readonly reason: FailureClass;
  /** Characters of text that the caller held by then. */
  readonly sentChars: number;
  /** How long the caller waited since the break. */
  readonly ms: number;
  readonly drilled: boolean;
}

export type { BreakerState } from '../policy/breaker.js';

export interface ChainEventMap {
  'request.finished': RequestFinished;
  'attempt.finished': AttemptFinished;
  'model.switched': ModelSwitched;
  'stream.continued': StreamContinued;
  'model.rested': { readonly model: string; readonly reason: FailureClass; readonly restMs: number };
  'breaker.changed': { readonly model: string; readonly state: BreakerState };
}

export type ChainEventName = keyof ChainEventMap;
type Listener<K extends ChainEventName> = (event: ChainEventMap[K]) => void;

export class ChainEvents {
  readonly #listeners: { [K in ChainEventName]: Set<Listener<K>> } = {
    'request.finished': new Set(),
    'attempt.finished': new Set(),
    'model.switched': new Set(),
    'stream.continued': new Set(),
    'model.rested': new Set(),
    'breaker.changed': new Set(),
  };
  readonly #onListenerError: (error: unknown, event: ChainEventName) => void;

  constructor(onListenerError: (error: unknown, event: ChainEventName) => void = () => {}) {
    this.#onListenerError = onListenerError;
  }

  /** @returns what ends it. */
  on<K extends ChainEventName>(name: K, listener: Listener<K>): () => void {
    this.#listeners[name].add(listener);
    return () => this.#listeners[name].delete(listener);
  }

  emit<K extends ChainEventName>(name: K, event: ChainEventMap[K]): void {
    for (const listener of this.#listeners[name]) {
      try {
        listener(event);
      } catch (error) {
        this.#onListenerError(error, name);
      }
    }
  }
}
