import { Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConversationStore, FallbackModule, ModelManagerService } from '../../src/index.js';
import type { ChatOptions } from '../../src/index.js';
import { reply, type ScriptedCall } from '../../src/testing.js';
import { contextOf, contextWith, KeptLog, rejectionOf, twoModels } from './host.js';

type Messages = Awaited<ReturnType<ConversationStore['read']>>;

const unhandled: unknown[] = [];
const note = (reason: unknown) => void unhandled.push(reason);
beforeEach(() => void process.on('unhandledRejection', note));
afterEach(() => {
  process.off('unhandledRejection', note);
  expect(unhandled.splice(0)).toEqual([]);
});

/** `user: Hi, assistant: Hello`. */
function saidIn(call: ScriptedCall | undefined): string[] {
  const messages = call?.body['messages'] as readonly { role: string; content: string }[] | undefined;
  return (messages ?? []).map(({ role, content }) => `${role}: ${content}`);
}

/** A host's own store; `fault` decides how it fails. */
class HostStore extends ConversationStore {
  readonly kept: { owner: string; userId: string; exchange: Messages }[] = [];
  fault: ((operation: string) => unknown) | undefined;

  override async read(owner: string, userId: string): Promise<Messages> {
    await this.fault?.('read');
    return this.kept.filter((e) => e.owner === owner && e.userId === userId).flatMap((e) => e.exchange);
  }
  override async append(owner: string, userId: string, exchange: Messages): Promise<void> {
    await this.fault?.('append');
    this.kept.push({ owner, userId, exchange });
  }
  override async forget(): Promise<void> {
    this.kept.length = 0;
  }
}

describe('a conversation', () => {
  it('goes along with the next question of that user, and of no other', async () => {
    await using stage = await twoModels(['Hello Ann', 'Hello again', 'Who?', 'Who?']);
    await using host = await contextOf(stage.options);
    await host.models.chat('I am Ann', { userId: 'ann', system: 'Be brief.' });
    await host.models.chat('Who am I?', { userId: 'ann' });
    await host.models.chat('Who am I?', { userId: 'bob' });
    await host.models.chat('Who am I?');
    expect(stage.first.calls.map(saidIn)).toEqual([
      ['system: Be brief.', 'user: I am Ann'],
      ['user: I am Ann', 'assistant: Hello Ann', 'user: Who am I?'],
      ['user: Who am I?'],
      ['user: Who am I?'],
    ]);
  });

  it('of a stream is remembered too, once it has ended whole', async () => {
    const broken = reply.text(['half ', 'an answer'], { breakAfter: { deltas: 1, by: 'cut' } });
    const silent = reply.text(['half ', 'an answer'], { breakAfter: { deltas: 1, by: 'stall' } });
    await using stage = await twoModels([reply.text(['Hello ', 'Ann']), broken, silent, 'ok'], reply.error(500));
    const options = { ...stage.options, policy: { ...stage.options.policy, stream: { onBreak: 'error' as const } } };
    await using host = await contextOf(options);
    await host.models.stream('I am Ann', { userId: 'ann' }).result;
    await rejectionOf(host.models.stream('lost', { userId: 'ann' }).result);
    const left = host.models.stream('left', { userId: 'ann' });
    for await (const _ of left) break;
    await host.models.chat('Who am I?', { userId: 'ann' });
    expect(saidIn(stage.first.calls.at(-1))).toEqual(['user: I am Ann', 'assistant: Hello Ann', 'user: Who am I?']);
  });

  it('is not remembered where no model answered', async () => {
    await using stage = await twoModels([reply.error(500), 'ok'], reply.error(500));
    await using host = await contextOf(stage.options);
    await rejectionOf(host.models.chat('lost', { userId: 'ann' }));
    await host.models.chat('Hi', { userId: 'ann' });
    expect(saidIn(stage.first.calls.at(-1))).toEqual(['user: Hi']);
  });

  it('loses its oldest turns where it does not fit a model, and a larger one gets more of it', async () => {
    await using stage = await twoModels((call) => (call.number > 3 ? reply.error(500) : 'x'.repeat(400)), 'ok');
    const { options } = stage;
    const models = {
      'gpt-4': { ...options.models!['gpt-4']!, contextWindow: 500 },
      'gpt-3.5-turbo': { ...options.models!['gpt-3.5-turbo']!, contextWindow: 4_000 },
    };
    await using host = await contextOf({ ...options, models });
    for (const n of [1, 2, 3, 4]) await host.models.chat(`question ${n} ${'y'.repeat(300)}`, { userId: 'ann' });
    const roles = (call: ScriptedCall | undefined) => saidIn(call).map((line) => line.slice(0, 16));
    // 500 tokens, less a quarter for the answer, hold one exchange of some 190 and the question.
    expect(roles(stage.first.calls[3])).toEqual(['user: question 3', 'assistant: xxxxx', 'user: question 4']);
    expect(roles(stage.second.calls[0])).toEqual([
      'user: question 1',
      'assistant: xxxxx',
      'user: question 2',
      'assistant: xxxxx',
      'user: question 3',
      'assistant: xxxxx',
      'user: question 4',
    ]);
  });

  it('never costs the question itself, however long it is', async () => {
    await using stage = await twoModels(['ok', 'ok']);
    const models = { ...stage.options.models, 'gpt-4': { provider: 'one', contextWindow: 100 } };
    await using host = await contextOf({ ...stage.options, models });
    await host.models.chat('first', { userId: 'ann' });
    const question = 'z'.repeat(10_000);
    await host.models.chat(question, { userId: 'ann' });
    expect(saidIn(stage.first.calls[1])).toEqual([`user: ${question}`]);
  });

  it('is bounded in process', async () => {
    await using stage = await twoModels('y'.repeat(50_000));
    await using host = await contextOf(stage.options);
    for (let n = 0; n < 8; n++) await host.models.chat(`question ${n}`, { userId: 'ann' });
    const size = stage.first.calls.at(-1)?.bodyText.length ?? 0;
    expect(size).toBeGreaterThan(200_000);
    expect(size).toBeLessThan(300_000);
  });
});

describe('a conversation store of the host’s', () => {
  @Injectable()
  class Database {
    readonly rows = new Map<string, Messages>();
  }
  @Module({ providers: [Database], exports: [Database] })
  class DatabaseModule {}
  @Injectable()
  class DatabaseStore extends ConversationStore {
    constructor(private readonly database: Database) {
      super();
    }
    override read = async (_: string, userId: string) => this.database.rows.get(userId) ?? [];
    override async append(_: string, userId: string, exchange: Messages) {
      this.database.rows.set(userId, [...(await this.read('', userId)), ...exchange]);
    }
    override async forget(_: string, userId: string) {
      this.database.rows.delete(userId);
    }
  }

  it('is a class that Nest builds with what the imports give', async () => {
    await using stage = await twoModels(['Hello', 'Again']);
    const us = FallbackModule.forRootAsync({
      imports: [DatabaseModule],
      useFactory: () => stage.options,
      conversationStore: DatabaseStore,
    });
    await using host = await contextWith({ imports: [us, DatabaseModule] });
    await host.models.chat('Hi', { userId: 'ann' });
    await host.models.chat('Hi again', { userId: 'ann' });
    expect(saidIn(stage.first.calls[1])).toEqual(['user: Hi', 'assistant: Hello', 'user: Hi again']);
    const { rows } = host.app.get(Database);
    expect(rows.get('ann')).toMatchObject([
      { content: 'Hi' },
      { content: 'Hello' },
      { content: 'Hi again' },
      { content: 'Again' },
    ]);
    expect(host.app.get(ConversationStore)).toBeInstanceOf(DatabaseStore);
  });

  it('is what stands under the class’s token, in a test of the host’s too', async () => {
    await using stage = await twoModels('Hello');
    const store = new HostStore();
    const testing = await Test.createTestingModule({ imports: [FallbackModule.forRoot(stage.options)] })
      .overrideProvider(ConversationStore)
      .useValue(store)
      .compile();
    await testing.get(ModelManagerService).chat('Hi', { userId: 'ann' });
    await testing.close();
    expect(store.kept).toMatchObject([{ userId: 'ann', exchange: [{ role: 'user' }, { role: 'assistant' }] }]);
  });

  const faults: readonly { readonly why: string; readonly fault: (operation: string) => unknown }[] = [
    { why: 'throws on reading', fault: (operation) => operation === 'read' && fail() },
    { why: 'throws on remembering', fault: (operation) => operation === 'append' && fail() },
    { why: 'hangs', fault: () => new Promise(() => undefined) },
    { why: 'rejects after we have given up', fault: () => new Promise((_, reject) => setTimeout(reject, 400, 'late')) },
  ];

  function fail(): never {
    throw new Error('the row of "my secret question" is locked');
  }

  it.each(faults)('that $why costs no answer: the miss is logged without what was said', async ({ fault }) => {
    await using stage = await twoModels(reply.text('Hello'));
    const log = new KeptLog();
    const options = { ...stage.options, conversationStore: HostStore };
    await using host = await contextOf(options, { logger: log });
    host.app.get<HostStore>(ConversationStore).fault = fault;
    const asked: ChatOptions = { userId: 'ann' };
    expect((await host.models.chat('my secret question', asked)).content).toBe('Hello');
    expect((await host.models.stream('my secret question', asked).result).content).toBe('Hello');
    const misses = log.ours.filter((line) => JSON.stringify(line).includes('Memory miss'));
    expect(misses.length).toBeGreaterThanOrEqual(2);
    expect(misses.every((line) => line.level === 'warn')).toBe(true);
    expect(log.text()).not.toContain('secret');
    if (fault.length === 0) await new Promise((resolve) => setTimeout(resolve, 450));
  });

  it.each([undefined, null, 'nonsense', 7])('that gives %o instead of messages costs no answer', async (nonsense) => {
    await using stage = await twoModels('Hello');
    await using host = await contextOf({ ...stage.options, conversationStore: HostStore });
    const store = host.app.get<HostStore>(ConversationStore);
    store.read = (() => nonsense) as unknown as HostStore['read'];
    expect((await host.models.chat('Hi', { userId: 'ann' })).content).toBe('Hello');
    store.read = (async () => nonsense) as unknown as HostStore['read'];
    expect((await host.models.chat('Hi', { userId: 'ann' })).content).toBe('Hello');
  });

  it('that hangs does not hold a caller who leaves', async () => {
    await using stage = await twoModels('Hello');
    const log = new KeptLog();
    await using host = await contextOf({ ...stage.options, conversationStore: HostStore }, { logger: log });
    host.app.get<HostStore>(ConversationStore).fault = () => new Promise(() => undefined);
    const leaving = new AbortController();
    const askedAtMs = performance.now();
    const rejected = rejectionOf(host.models.chat('Hi', { userId: 'ann', signal: leaving.signal }));
    leaving.abort('left');
    expect(await rejected).toBe('left');
    expect(performance.now() - askedAtMs).toBeLessThan(100);
    expect(stage.first.calls).toHaveLength(0);
    expect(log.text()).not.toContain('Memory miss');
  });

  it('is not asked where no user is named', async () => {
    await using stage = await twoModels('Hello');
    await using host = await contextOf({ ...stage.options, conversationStore: HostStore });
    await host.models.chat('Hi');
    expect(host.app.get<HostStore>(ConversationStore).kept).toEqual([]);
  });
});
