/**
 * The port for conversations: what has been said, by `userId`. Provide your own under this class's token; one that
 * throws, or takes too long, never fails a chat.
 */
import type OpenAI from 'openai';

export type Message = OpenAI.ChatCompletionMessageParam;

export abstract class ConversationStore {
  /**
   * @param owner whose users these are: nobody reads another owner's by naming a `userId`.
   * @returns the messages so far, oldest first; empty where there are none.
   */
  abstract read(owner: string, userId: string): Promise<readonly Message[]>;
  /** @param exchange what was asked and answered, in order. */
  abstract append(owner: string, userId: string, exchange: readonly Message[]): Promise<void>;
  abstract forget(owner: string, userId: string): Promise<void>;
}
