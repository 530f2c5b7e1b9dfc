import { describe, expect, it } from 'vitest';
import { Stage, USAGE } from '../../test/chain/stage.js';
import { makePlan, type PlannedModel } from '../policy/plan.js';
import { resolvePolicy } from '../policy/policy.js';
import type { RequestResult } from './chain-runner.js';

describe('the driver', () => {
  it('tells the board before the machine, then everyone in the order of what happened', () => {
    const stage = new Stage().ask().fail('overloaded', { restScope: 'model', status: 503 }).complete();
    expect(stage.told).toEqual(['a rests 2000', 'a overloaded 100', 'a>b overloaded', 'b ok 100', 'request ok b']);
    expect(stage.result).toMatchObject({
      verdict: { type: 'answered', attempt: 1 },
      model: 'b',
      fallbackUsed: true,
      latencyMs: 200,
      attempts: [
        { model: 'a', class: 'overloaded', status: 503, ms: 100 },
        { model: 'b', class: 'ok', status: 200, ms: 100 },
      ],
    });
  });

  it('keeps one timer, and none once the request has ended', () => {
    const stage = new Stage(['a']).ask();
    expect(stage.clock.step()).toBe(true);
    expect(stage.result?.verdict).toMatchObject({ type: 'exhausted', because: 'timed_out' });
    expect(stage.asked[0]!.isCancelled).toBe(true);
    expect(stage.clock.nowMs()).toBe(60_000);
    expect(stage.clock.step()).toBe(false);
  });

  it('tells whether the deadline has passed, which attempts that all timed out before do not say', () => {
    const late: boolean[] = [];
    const tell = (stage: Stage): Stage => {
      stage.events.on('request.finished', ({ deadlineExceeded }) => late.push(deadlineExceeded));
      return stage;
    };
    const timedOut = tell(new Stage(['a']))
      .ask({ policy: { maxRetries: 0 } })
      .fail('timeout_total', {}, 30_000);
    expect(timedOut.result?.verdict).toMatchObject({ because: 'timed_out' });
    tell(new Stage(['a']))
      .ask()
      .clock.advance(60_000);
    expect(late).toEqual([false, true]);
  });

  it('aborts the attempt when the caller leaves, and delivers nothing of it', () => {
    const stage = new Stage().ask();
    stage.running.cancel();
    stage.complete().running.cancel();
    expect(stage.asked[0]!.isCancelled).toBe(true);
    expect(stage.sunk).toEqual(['finish cancelled']);
    expect(stage.told).toEqual(['a cancelled 0', 'request cancelled -']);
    expect(stage.runner.liveCount).toBe(0);
  });

  it('takes what cannot even be asked for a failure', () => {
    const stage = new Stage();
    const policy = resolvePolicy({ maxRetries: 0 });
    const models: PlannedModel[] = [{ name: 'a', provider: 'p', policy, entry: 0, continuation: 'prompt' }];
    let result: RequestResult | undefined;
    stage.runner.start({
      requestId: 'r',
      plan: makePlan({ name: 'default', models, policy }, { streaming: false, isContinuable: true, fallback: true }),
      ask: () => {
        throw new Error('no such header');
      },
      sink: { onCommit() {}, onBytes() {}, onFinish: (r) => (result = r) },
    });
    expect(result?.attempts).toEqual([{ model: 'a', class: 'network', ms: 0 }]);
  });

  it('waits for a retry on its clock', () => {
    const stage = new Stage(['a']).ask({ policy: { backoff: { baseMs: 1_000 } } }).fail('network');
    expect(stage.asked.length).toBe(1);
    stage.clock.advance(499);
    expect(stage.asked.length).toBe(1);
    stage.clock.advance(1);
    expect(stage.asked.map((a) => a.order.number)).toEqual([1, 2]);
  });

  it('lets a drill fail a model before it is asked, beside all real traffic', () => {
    const stage = new Stage().ask({ drills: [['a', 'server_error']] }).complete();
    expect(stage.asked.map((a) => a.order.model)).toEqual(['b']);
    expect(stage.told[0]).toBe('a server_error 0 drilled');
    expect(stage.board.standing('a', 0)).toMatchObject({ requests: 0, failures: {} });
    expect(stage.result?.attempts.map((a) => a.class)).toEqual(['server_error', 'ok']);
  });
});

describe('a stream', () => {
  it('goes to the sink from its first token on, and not after its end', () => {
    const stage = new Stage().ask({ streaming: true });
    const { handler } = stage.asked[0]!;
    stage.clock.advance(40);
    handler.onFirstToken(false);
    handler.onBytes(Buffer.from('one'));
    stage.complete();
    handler.onBytes(Buffer.from('late'));
    handler.onEnd({ type: 'completed', outcome: 'ok', finishReason: 'stop', usage: USAGE });
    expect(stage.sunk).toEqual(['commit a ok', 'one', 'finish answered']);
    expect(stage.board.standing('a', 0)?.ttftMs.p50).toBe(40);
  });

  it('is held back and goes on as the sink says', () => {
    const stage = new Stage().ask({ streaming: true });
    stage.asked[0]!.handler.onFirstToken(false);
    stage.running.pause();
    expect(stage.asked[0]!.isPaused).toBe(true);
    stage.running.resume();
    expect(stage.asked[0]!.isPaused).toBe(false);
  });

  it('has no deadline once it speaks', () => {
    const stage = new Stage().ask({ streaming: true });
    stage.asked[0]!.handler.onFirstToken(false);
    expect(stage.clock.step()).toBe(false);
  });
});

describe('a listener that throws', () => {
  it('touches no request', () => {
    const stage = new Stage();
    stage.events.on('attempt.finished', () => {
      throw new Error('listener');
    });
    expect(stage.ask().complete().result?.verdict.type).toBe('answered');
  });
});
