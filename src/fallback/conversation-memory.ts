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

  /** @returns the conversation so far; empty where there is none or the store fails. */
  async recall(owner: string, userId: string): Promise<readonly Message[]> {
    return (await this.#try('read', () => this.#store.read(owner, userId))) ?? [];
  }

  async remember(owner: string, userId: string, exchange: readonly Message[]): Promise<void> {
    await this.#try('append', () => this.#store.append(owner, userId, exchange));
  }

  /** @throws what the store throws: who asks to be forgotten must know whether it happened. */
  async forget(owner: string, userId: string): Promise<void> {
    await this.#store.forget(owner, userId);
  }

  async #try<T>(operation: 'read' | 'append', run: () => Promise<T>): Promise<T | undefined> {
    let timer: NodeJS.Timeout | undefined;
    const tooLate = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer within ${PATIENCE_MS} ms`)), PATIENCE_MS);
    });
    try {
      const value = await Promise.race([run(), tooLate]);
      this.#lastFault = undefined;
      return value;
    } catch (error) {
      this.#lastFault = { atEpochMs: Date.now(), message: error instanceof Error ? error.message : 'unknown' };
      this.#onFault({ operation, error });
      return undefined;
    } finally {
      clearTimeout(timer);
    }
  }
}
