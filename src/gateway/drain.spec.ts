import { EventEmitter } from 'node:events';
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Drain } from './drain.js';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** @returns the response, whose `close` ends the request. */
function enter(drain: Drain, url = '/chat'): ServerResponse {
  const request = Object.assign(new IncomingMessage(new Socket()), { url });
  const response = new ServerResponse(request);
  drain.enter(request, response);
  return response;
}

function finish(response: EventEmitter): void {
  response.emit('close');
}

/** What a drain has come to; undefined while it waits. */
function watch(drained: Promise<boolean>): { quiet?: boolean } {
  const seen: { quiet?: boolean } = {};
  void drained.then((quiet) => (seen.quiet = quiet));
  return seen;
}

describe('a drain', () => {
  it('waits for what is under way, then for nobody to have come', async () => {
    const drain = new Drain();
    const first = enter(drain);
    const seen = watch(drain.untilQuiet({ quietMs: 2_000, graceMs: 30_000 }));
    await vi.advanceTimersByTimeAsync(5_000);
    expect(seen).toEqual({});
    finish(first);
    await vi.advanceTimersByTimeAsync(50);
    expect(seen).toEqual({ quiet: true });
  });

  it('starts its wait anew when somebody comes, and tells them to come back elsewhere', async () => {
    const drain = new Drain();
    const seen = watch(drain.untilQuiet({ quietMs: 2_000, graceMs: 30_000 }));
    await vi.advanceTimersByTimeAsync(1_900);
    const late = enter(drain);
    expect(late.getHeader('connection')).toBe('close');
    finish(late);
    await vi.advanceTimersByTimeAsync(1_900);
    expect(seen).toEqual({});
    await vi.advanceTimersByTimeAsync(200);
    expect(seen).toEqual({ quiet: true });
  });

  it('is not held up by probes', async () => {
    const drain = new Drain();
    const seen = watch(drain.untilQuiet({ quietMs: 2_000, graceMs: 30_000 }));
    for (let i = 0; i < 4; i += 1) {
      finish(enter(drain, '/health/ready'));
      await vi.advanceTimersByTimeAsync(600);
    }
    expect(seen).toEqual({ quiet: true });
  });

  it('ends with the grace, whatever is under way', async () => {
    const drain = new Drain();
    enter(drain);
    const seen = watch(drain.untilQuiet({ quietMs: 2_000, graceMs: 1_000 }));
    await vi.advanceTimersByTimeAsync(1_050);
    expect(seen).toEqual({ quiet: false });
    expect(drain.underWay).toBe(1);
  });

  it('without grace is over at once', async () => {
    const seen = watch(new Drain().untilQuiet({ quietMs: 2_000, graceMs: 0 }));
    await vi.advanceTimersByTimeAsync(1);
    expect(seen).toEqual({ quiet: true });
  });
});

it('before it is asked to, it sends nobody away', () => {
  expect(enter(new Drain()).getHeader('connection')).toBeUndefined();
});
