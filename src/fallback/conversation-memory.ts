/**
 * Remembers exchanges through a ConversationStore that may be slow, broken or somebody else's: a miss is logged, and
 * the answer comes all the same.
 */
import type { ConversationStore, Message } from '../store/conversation-store.js';

/** Long enough for any store that works, short enough that nobody notices one that does not. */
const PATIENCE_MS = 250;

export interface MemoryFaultLog {
  (fault: { readonly operation: 'read' | 'append' | 'forget'; readonly error: unknown }): void;
}

export class ConversationMemory {
  readonly #store: ConversationStore;
  readonly #onFault: MemoryFaultLog;
  #lastFault: { readonly atEpochMs: number; readonly message: string } | undefined;

  constructor(store: ConversationStore, onFault: MemoryFaultLog) {
    this.#store = store;
    this.#onFault = onFault;
  }

  /** The last fault since the last operation that went well, for `/health`. */
  get lastFault(): { readonly atEpochMs: number; readonly message: string } | undefined {
    return this.#lastFault;
  }

  /** @returns the conversation so far; empty where there is none, the store fails, or the caller leaves meanwhile. */
  async recall(owner: string, userId: string, signal?: AbortSignal): Promise<readonly Message[]> {
    const messages = await this.#try('read', () => this.#store.read(owner, userId).then(checked), signal);
    return messages ?? [];
  }

  async remember(owner: string, userId: string, exchange: readonly Message[]): Promise<void> {
    await this.#try('append', () => this.#store.append(owner, userId, exchange));
  }

  /** @throws what the store throws: who asks to be forgotten must know whether it happened. */
  async forget(owner: string, userId: string): Promise<void> {
    await this.#store.forget(owner, userId);
  }

  async #try<T>(operation: 'read' | 'append', run: () => Promise<T>, signal?: AbortSignal): Promise<T | undefined> {
    const { promise: tooLate, reject: giveUp } = Promise.withResolvers<never>();
    const leave = (): void => giveUp(signal?.reason);
    const timer = setTimeout(() => giveUp(new Error(`no answer within ${PATIENCE_MS} ms`)), PATIENCE_MS);
    signal?.addEventListener('abort', leave, { once: true });
    try {
      const value = await Promise.race([run(), tooLate]);
      this.#lastFault = undefined;
      return value;
    } catch (error) {
      // That the caller left is no fault of the store's.
      if (!signal?.aborted) this.#note(operation, error);
      return undefined;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', leave);
    }
  }

  #note(operation: 'read' | 'append', error: unknown): void {
    this.#lastFault = { atEpochMs: Date.now(), message: error instanceof Error ? error.message : 'unknown' };
    this.#onFault({ operation, error });
  }
}

/** A host's store is anybody's code. */
function checked(messages: readonly Message[] | undefined): readonly Message[] {
  if (messages === undefined || messages === null) return [];
  if (Array.isArray(messages)) return messages;
  throw new TypeError('the store gave something else than a list of messages');
}
