/**
 * Conversations kept in this process, bounded in every direction, the least recently used going first. They are gone
 * with the process, and another replica does not know them.
 */
import { LRUCache } from 'lru-cache';
import { ConversationStore, type Message } from './conversation-store.js';

export interface ConversationBounds {
  readonly users: number;
  /** Messages of one conversation; an exchange has two or more. */
  readonly messages: number;
  /** Of one conversation, as JSON. */
  readonly bytes: number;
  /** Of all conversations together. */
  readonly totalBytes: number;
  readonly idleMs: number;
}

/** 64 MiB hold some ten thousand ordinary conversations; a day later nobody expects to be remembered. */
const DEFAULT_BOUNDS: ConversationBounds = {
  users: 10_000,
  messages: 200,
  bytes: 256 * 1024,
  totalBytes: 64 * 1024 * 1024,
  idleMs: 24 * 60 * 60 * 1_000,
};

interface Conversation {
  readonly messages: readonly Message[];
  readonly sizes: readonly number[];
}

export class LocalConversations extends ConversationStore {
  readonly #bounds: ConversationBounds;
  readonly #kept: LRUCache<string, Conversation>;

  constructor(bounds: Partial<ConversationBounds> = {}) {
    super();
    this.#bounds = { ...DEFAULT_BOUNDS, ...bounds };
    this.#kept = new LRUCache({
      max: this.#bounds.users,
      maxSize: this.#bounds.totalBytes,
      sizeCalculation: (conversation) => Math.max(1, sum(conversation.sizes)),
      // Checked when read, so that no timer keeps a host's process alive.
      ttl: this.#bounds.idleMs,
      updateAgeOnGet: true,
    });
  }

  override async read(owner: string, userId: string): Promise<readonly Message[]> {
    return this.#kept.get(keyOf(owner, userId))?.messages ?? [];
  }

  override async append(owner: string, userId: string, exchange: readonly Message[]): Promise<void> {
    const key = keyOf(owner, userId);
    const before = this.#kept.get(key);
    const messages = [...(before?.messages ?? []), ...exchange];
    const sizes = [...(before?.sizes ?? []), ...exchange.map((message) => Buffer.byteLength(JSON.stringify(message)))];
    let drop = 0;
    let bytes = sum(sizes);
    while (drop < messages.length && (messages.length - drop > this.#bounds.messages || bytes > this.#bounds.bytes)) {
      bytes -= sizes[drop++] ?? 0;
    }
    // An answer whose question is gone would only confuse.
    while (drop > 0 && drop < messages.length && messages[drop]?.role !== 'user') drop++;
    this.#kept.set(key, { messages: messages.slice(drop), sizes: sizes.slice(drop) });
  }

  override async forget(owner: string, userId: string): Promise<void> {
    this.#kept.delete(keyOf(owner, userId));
  }
}

function keyOf(owner: string, userId: string): string {
  return JSON.stringify([owner, userId]);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, n) => total + n, 0);
}
