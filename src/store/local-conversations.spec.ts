import { describe, expect, it } from 'vitest';
import type { Message } from './conversation-store.js';
import { LocalConversations } from './local-conversations.js';

const exchange = (n: number, text = `answer ${n}`): Message[] => [
  { role: 'user', content: `question ${n}` },
  { role: 'assistant', content: text },
];

describe('conversations kept in process', () => {
  it('are read back in order, by owner and user', async () => {
    const store = new LocalConversations();
    await store.append('key-1', 'ann', exchange(1));
    await store.append('key-1', 'ann', exchange(2));
    expect(await store.read('key-1', 'ann')).toEqual([...exchange(1), ...exchange(2)]);
    expect(await store.read('key-2', 'ann')).toEqual([]);
    expect(await store.read('key-1', 'bob')).toEqual([]);
  });

  it('keep owner and user apart, whatever the names', async () => {
    const store = new LocalConversations();
    await store.append('a', 'b","c', exchange(1));
    expect(await store.read('a","b', 'c')).toEqual([]);
  });

  it('lose their oldest exchanges, whole, when there are too many messages', async () => {
    const store = new LocalConversations({ messages: 4 });
    for (const n of [1, 2, 3]) await store.append('o', 'ann', exchange(n));
    expect(await store.read('o', 'ann')).toEqual([...exchange(2), ...exchange(3)]);
  });

  it('lose their oldest exchanges when they are too large', async () => {
    const store = new LocalConversations({ bytes: 300 });
    await store.append('o', 'ann', exchange(1, 'x'.repeat(150)));
    await store.append('o', 'ann', exchange(2, 'y'.repeat(100)));
    expect(await store.read('o', 'ann')).toEqual(exchange(2, 'y'.repeat(100)));
  });

  it('drop the user who was silent longest when there are too many users, or too much in all', async () => {
    const few = new LocalConversations({ users: 2 });
    for (const user of ['ann', 'bob', 'cid']) await few.append('o', user, exchange(1));
    expect(await few.read('o', 'ann')).toEqual([]);
    expect(await few.read('o', 'cid')).toEqual(exchange(1));

    const small = new LocalConversations({ totalBytes: 400 });
    for (const user of ['ann', 'bob', 'cid']) await small.append('o', user, exchange(1, 'x'.repeat(100)));
    expect(await small.read('o', 'ann')).toEqual([]);
  });

  it('are gone once forgotten', async () => {
    const store = new LocalConversations();
    await store.append('o', 'ann', exchange(1));
    await store.forget('o', 'ann');
    expect(await store.read('o', 'ann')).toEqual([]);
  });
});
