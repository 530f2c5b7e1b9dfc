import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Ending, Stage } from '../../test/telemetry/stage.js';
import { EventLog, type EventLogOptions } from './event-log.js';
import type { LogFields, LogSink } from './log-sink.js';

const OPTIONS = {
  drills: true,
  providers: { openai: { apiKey: 'operators-own-key' }, other: { baseUrl: 'http://127.0.0.1:1/v1' } },
  models: { 'gpt-4': { provider: 'openai' }, 'gpt-3.5-turbo': { provider: 'other' } },
  chains: { default: ['gpt-4', 'gpt-3.5-turbo'] },
  policy: { maxRetries: 0 },
};

interface Line {
  readonly level: keyof LogSink;
  readonly fields: LogFields;
  readonly message: string;
}

function listen(options: EventLogOptions = {}, env: Record<string, unknown> = {}, config: object = OPTIONS) {
  const stage = new Stage(config, env);
  const lines: Line[] = [];
  const take = (level: keyof LogSink) => (fields: LogFields, message: string) => {
    lines.push({ level, fields, message });
  };
  const sink = { debug: take('debug'), info: take('info'), warn: take('warn'), error: take('error') };
  const log = new EventLog(stage, sink, options);
  return { stage, lines, log, messages: () => lines.map(({ level, message }) => `${level}: ${message}`) };
}

const TURNED_DOWN: Ending = { outcome: 'server_error', status: 500, afterMs: 143 };

describe('the log of a request that fell back', () => {
  it('tells of the failed attempt, the switch and the answer', () => {
    const { stage, messages } = listen({ successLevel: 'info' });
    stage.run([TURNED_DOWN, { outcome: 'ok', afterMs: 412 }]);

    expect(messages()).toEqual([
      'warn: Attempt on gpt-4 failed: server_error',
      'warn: Switching to model: gpt-3.5-turbo',
      'info: Successfully used gpt-3.5-turbo',
    ]);
  });

  it('says in every line how long it took, on which model, in which request and chain, and why', () => {
    const { stage, lines } = listen();
    stage.run([TURNED_DOWN, { outcome: 'ok', afterMs: 412 }], { requestId: 'order-7' });

    const about = { request_id: 'order-7', chain: 'default' };
    expect(lines.map(({ fields }) => fields)).toEqual([
      { response_time: 143, model: 'gpt-4', ...about, class: 'server_error', status: 500, kind: 'first' },
      {
        response_time: 143,
        model: 'gpt-4',
        ...about,
        from: 'gpt-4',
        to: 'gpt-3.5-turbo',
        class: 'server_error',
        kind: 'fallback',
      },
      {
        response_time: 555,
        model: 'gpt-3.5-turbo',
        ...about,
        attempts: 'gpt-4;server_error;143ms, gpt-3.5-turbo;ok;412ms',
        class: 'ok',
        status: 200,
      },
    ]);
  });

  it('leaves the line of a success at debug level, where nothing else was asked for', () => {
    const { stage, messages } = listen();
    stage.run([{ outcome: 'ok' }]);

    expect(messages()).toEqual(['debug: Successfully used gpt-4']);
  });
});

describe('the log of a stream', () => {
  const CUT: Ending = { outcome: 'stream_cut', ttftMs: 300, afterMs: 900, text: 'My secret wish is a ' };
  const REST: Ending = { outcome: 'ok', ttftMs: 200, afterMs: 1_000, text: 'My secret wish is a horse.' };

  it('that broke and goes on tells who continues, after how many characters, and for how long it stood still', () => {
    const { stage, messages, lines } = listen({ successLevel: 'info' });
    stage.run([CUT, REST], { streaming: true });

    expect(messages()).toEqual([
      'warn: Attempt on gpt-4 failed: stream_cut',
      'warn: Switching to model: gpt-3.5-turbo',
      'info: Continuing with model: gpt-3.5-turbo',
      'info: Successfully used gpt-3.5-turbo',
    ]);
    const about = { request_id: 'r-1', chain: 'default', from: 'gpt-4', to: 'gpt-3.5-turbo', class: 'stream_cut' };
    expect(lines[1]?.fields).toEqual({ response_time: 900, model: 'gpt-4', ...about, kind: 'continuation' });
    expect(lines[2]?.fields).toEqual({ response_time: 200, model: 'gpt-3.5-turbo', ...about, sent_chars: 20 });
    expect(JSON.stringify(lines)).not.toContain('wish');
  });

  it('whose model is silent says that the next one is asked beside it, and why', () => {
    const policy = { maxRetries: 0, stream: { ttftMs: 100 } };
    const { stage, messages, lines } = listen({ successLevel: 'info' }, {}, { ...OPTIONS, policy });
    stage.run([{ ...REST, ttftMs: 800 }, REST], { streaming: true });

    expect(messages()).toEqual(['warn: Switching to model: gpt-3.5-turbo', 'info: Successfully used gpt-3.5-turbo']);
    expect(lines[0]?.fields).toMatchObject({
      response_time: 100,
      from: 'gpt-4',
      to: 'gpt-3.5-turbo',
      class: 'timeout_ttft',
      kind: 'overtake',
    });
  });
});

describe('the log of a request that no model answered', () => {
  it('is an error with every attempt in it', () => {
    const { stage, lines, messages } = listen();
    stage.run([TURNED_DOWN, { outcome: 'timeout_total', afterMs: 30_000 }]);

    expect(messages().at(-1)).toBe('error: Request gave up after 2 attempts: timeout_total');
    expect(lines.at(-1)?.fields).toMatchObject({
      response_time: 30_143,
      model: 'gpt-3.5-turbo',
      attempts: 'gpt-4;server_error;143ms, gpt-3.5-turbo;timeout_total;30000ms',
      class: 'timeout_total',
    });
  });

  it('says so where every model was known to be down and none was asked', () => {
    const { stage, lines, messages } = listen();
    const goneForAnHour: Ending = { outcome: 'rate_limited', retryAfterMs: 3_600_000, restScope: 'model' };
    stage.run([goneForAnHour, goneForAnHour]);
    lines.splice(0);
    stage.run([{ outcome: 'ok' }]);

    expect(messages()).toEqual(['error: Request gave up: every model is known to be down, none was asked']);
    expect(lines[0]?.fields).toMatchObject({ response_time: 0, request_id: 'r-1', attempts: '' });
  });

  it.each([
    { why: 'the request is wrong', endings: [{ outcome: 'invalid_request', status: 400 }] },
    { why: 'it is too long for every model', endings: [{ outcome: 'context_length', status: 400 }] },
  ] as const)('is a warning where $why: nothing that the operator could mend', ({ endings }) => {
    const { stage, messages } = listen();
    stage.run(endings);

    expect(messages().at(-1)).toBe(`warn: Request refused: ${endings[0].outcome}`);
  });

  it('is no error where the caller left', () => {
    const { stage, messages, lines } = listen();
    const running = stage.start([{ outcome: 'ok', afterMs: 9000 }]);
    stage.clock.turnBy(250);
    running.cancel();

    expect(messages()).toEqual(['info: Request cancelled by its caller']);
    expect(lines[0]?.fields).toMatchObject({ response_time: 250, model: 'gpt-4', attempts: 'gpt-4;cancelled;250ms' });
  });
});

function limited(retryAfterMs: number): Ending {
  return { outcome: 'rate_limited', status: 429, retryAfterMs, restScope: 'model' };
}

function rests(messages: readonly string[]): readonly string[] {
  return messages.filter((message) => message.includes('rests'));
}

describe('the log of a rest', () => {
  it('is one line, however many requests lengthen it', () => {
    const { stage, messages } = listen();
    for (let i = 0; i < 20; i++) stage.start([limited(30_000), { outcome: 'ok' }]);
    for (let i = 0; i < 20; i++) stage.start([{ ...limited(30_000), afterMs: 200 }, { outcome: 'ok' }]);
    stage.clock.turnUntilIdle();

    expect(rests(messages())).toEqual(['warn: Model gpt-4 rests for 30.0 s: rate_limited']);
  });

  it('comes again for the next rest', () => {
    const { stage, messages } = listen();
    stage.run([limited(1_000), { outcome: 'ok' }]);
    stage.clock.turnBy(2_000);
    stage.run([limited(1_000), { outcome: 'ok' }]);

    expect(rests(messages())).toHaveLength(2);
  });

  it('comes again where the reason is another one', () => {
    const { stage, messages } = listen();
    stage.events.emit('model.rested', { model: 'gpt-4', reason: 'rate_limited', restMs: 60_000 });
    stage.events.emit('model.rested', { model: 'gpt-4', reason: 'quota', restMs: 300_000 });

    expect(messages()).toEqual([
      'warn: Model gpt-4 rests for 60.0 s: rate_limited',
      'warn: Model gpt-4 rests for 300.0 s: quota',
    ]);
  });

  it('comes again where an answer had ended the one before', () => {
    const { stage, messages } = listen();
    stage.start([limited(60_000), { outcome: 'ok' }], { route: { models: ['gpt-4'] } });
    stage.start([{ outcome: 'ok', afterMs: 300 }], { route: { models: ['gpt-4'] } });
    stage.clock.turnUntilIdle();
    stage.events.emit('model.rested', { model: 'gpt-4', reason: 'rate_limited', restMs: 60_000 });

    expect(rests(messages())).toHaveLength(2);
  });

  it('and of a breaker says which model and which state', () => {
    const { stage, messages } = listen();
    stage.events.emit('breaker.changed', { model: 'gpt-4', state: 'open' });
    stage.events.emit('breaker.changed', { model: 'gpt-4', state: 'closed' });

    expect(messages()).toEqual(['warn: Breaker of gpt-4: open', 'info: Breaker of gpt-4: closed']);
  });
});

describe('what is not real', () => {
  it('is marked: a drill in the lines of what it touched', () => {
    const { stage, lines } = listen();
    stage.run([{ outcome: 'ok' }], { drills: new Map([['gpt-4', 'server_error']]) });

    expect(lines.map(({ fields }) => fields['drill'])).toEqual([true, true, true]);
  });

  it('is marked: simulated models in every line', () => {
    const { stage, lines } = listen({}, {}, { ...OPTIONS, simulated: true });
    stage.run([TURNED_DOWN, { outcome: 'ok' }]);
    stage.events.emit('breaker.changed', { model: 'gpt-4', state: 'open' });
    stage.events.emit('model.rested', { model: 'gpt-4', reason: 'overloaded', restMs: 2_000 });

    expect(lines.map(({ fields }) => fields['simulated'])).toEqual([true, true, true, true, true]);
  });
});

describe('a fault of the conversation store', () => {
  it('is a warning, without the words of a store that may quote what was said', () => {
    const { log, lines } = listen();
    log.memoryFault({ operation: 'read', error: new RangeError('cannot read "my secret wish"') });

    expect(lines).toEqual([
      {
        level: 'warn',
        fields: { operation: 'read', error_name: 'RangeError' },
        message: 'Memory miss: read failed',
      },
    ]);
  });
});

describe('what upstreams say of their failures', () => {
  const quoting: Ending = { outcome: 'invalid_request', message: 'bad prompt: "my secret wish"' };

  it('is not in the log: it can hold prompts', () => {
    const { stage, lines } = listen();
    stage.run([quoting]);

    expect(lines).not.toHaveLength(0);
    expect(JSON.stringify(lines)).not.toContain('wish');
  });

  it('is there where contents are allowed', () => {
    const { stage, lines } = listen({}, { FALLBACK_LOG_CONTENT: 'true' });
    stage.run([quoting]);

    expect(lines[0]?.fields['error']).toBe('bad prompt: "my secret wish"');
  });

  it('is cut where it has no end', () => {
    const { stage, lines } = listen({}, { FALLBACK_LOG_CONTENT: 'true' });
    stage.run([{ ...quoting, message: 'no '.repeat(100_000) }]);

    expect(String(lines[0]?.fields['error'])).toHaveLength(2_000);
  });
});

describe('keys', () => {
  const hex = fc.string({ unit: fc.constantFrom(...'0123456789abcdef'.split('')), minLength: 24, maxLength: 40 });
  const around = fc.string({ unit: fc.constantFrom(...'abc XYZ "=:/-,.'.split('')), maxLength: 12 });

  it('are in no line, known ones or unknown ones, wherever callers and upstreams put them', () => {
    fc.assert(
      fc.property(hex, hex, hex, around, around, fc.nat({ max: 2_000 }), (own, callers, unknown, a, b, padding) => {
        const config = { ...OPTIONS, providers: { ...OPTIONS.providers, openai: { apiKey: `ab${own}` } } };
        const secrets = [`ab${own}`, `cd${callers}`, `sk-proj-${unknown}`];
        const { stage, lines } = listen({ secrets: [`cd${callers}`] }, { FALLBACK_LOG_CONTENT: 'true' }, config);
        for (const secret of secrets) {
          const message = `${'x '.repeat(padding / 2)}${a}${secret} ${b}`;
          stage.run([{ outcome: 'invalid_request', message }], { requestId: `req:${secret}` });
        }

        expect(lines).toHaveLength(2 * secrets.length);
        for (const secret of secrets) expect(JSON.stringify(lines)).not.toContain(secret.slice(0, 20));
      }),
    );
  });

  it('do not cost ordinary request ids anything', () => {
    const { stage, lines } = listen();
    const requestId = '0190a5c2-7a63-7cc1-8f2a-5a3c9be1d0aa';
    stage.run([{ outcome: 'ok' }], { requestId });

    expect(lines[0]?.fields['request_id']).toBe(requestId);
  });
});

function fail(): never {
  throw new Error('no space left');
}

describe('a sink that throws', () => {
  it('changes nothing for the request', () => {
    const stage = new Stage(OPTIONS);
    const log = new EventLog(stage, { debug: fail, info: fail, warn: fail, error: fail });
    stage.run([TURNED_DOWN, { outcome: 'ok' }]);

    expect(stage.results).toMatchObject([{ model: 'gpt-3.5-turbo', verdict: { type: 'answered' } }]);
    expect(stage.listenerErrors).toHaveLength(3);
    log.close();
    stage.run([{ outcome: 'ok' }]);
    expect(stage.listenerErrors).toHaveLength(3);
  });
});
