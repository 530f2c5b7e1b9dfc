/** Plays a script as the simulator does: the driver and its board on a virtual clock, models that are given their fate. */
import { boardModels, retryBudgets } from '../../src/chain/board-models.js';
import type { AttemptOrder, RequestResult, RequestSoFar } from '../../src/chain/chain-request.js';
import { ChainRunner } from '../../src/chain/chain-runner.js';
import { errorOf } from '../../src/chain/errors.js';
import { ChainEvents } from '../../src/chain/events.js';
import { ModelBoard } from '../../src/chain/model-board.js';
import { Routes } from '../../src/chain/routes.js';
import { loadSettings } from '../../src/config/load-settings.js';
import { retryHeadersOf, statusOf } from '../../src/http/http-error.js';
import { seededRandom } from '../../src/simulation/latency-profile.js';
import { playFate } from '../../src/simulation/outage/virtual-model.js';
import { VirtualClock } from '../../src/simulation/virtual-clock.js';
import type { AttemptHandler, RunningAttempt } from '../../src/upstream/upstream.js';
import { type CallerGot, Decisions, describeGot, type Played } from './decisions.js';
import { fateOf } from './faults.js';
import { optionsAt, outcomeOf, requestName, type Script, type ScriptedRequest } from './script.js';

const USAGE = { inputTokens: 9, outputTokens: 9, reported: true };

export function playInSimulator(script: Script, clock = new VirtualClock()): Played {
  const options = optionsAt(script, () => 'http://127.0.0.1:9/v1');
  const settings = loadSettings({ options, readVariable: () => undefined });
  const random = seededRandom(script.seed);
  const events = new ChainEvents();
  const board = new ModelBoard(boardModels(settings), events, random);
  board.setBudgets(retryBudgets(settings));
  const runner = new ChainRunner({ board, events, clock, random });
  const routes = new Routes(settings);
  const decisions = new Decisions(events, () => clock.nowMs());
  const got: string[] = [];

  const start = (request: ScriptedRequest, index: number): void => {
    const requestId = requestName(index);
    const asked = new Map<string, number>();
    const { streaming = false, fallback = true, deadlineMs, model, models, wantsJson } = request;
    const plan = routes.plan(
      { ...(model !== undefined && { model }), ...(models && { models }) },
      {
        streaming,
        fallback,
        isContinuable: !wantsJson,
        overHttp: true,
        ...(deadlineMs !== undefined && { deadlineMs }),
      },
    );
    const ask = (order: AttemptOrder, handler: AttemptHandler): RunningAttempt => {
      decisions.noteAsked(requestId, order);
      const nth = asked.get(order.model) ?? 0;
      asked.set(order.model, nth + 1);
      const { limits, continues } = order;
      const fate = fateOf(outcomeOf(script, requestId, order.model, nth), continues?.way);
      const call = { limits, streaming, usage: USAGE, ...(continues && { continues }) };
      return playFate(fate, call, clock, handler, () => {});
    };
    let committed: RequestSoFar | undefined;
    const running = runner.start({
      requestId,
      plan,
      ask,
      sink: {
        onCommit: (soFar) => (committed = soFar),
        onBytes: () => {},
        onFinish: (result) => (got[index] = describeGot(gotOf(result, committed, plan.chain))),
      },
    });
    if (request.leavesAtMs !== undefined) {
      clock.setTimer(request.leavesAtMs - clock.nowMs(), () => running.cancel());
    }
  };
  for (const [index, request] of script.requests.entries()) clock.setTimer(request.atMs, () => start(request, index));
  while (clock.step());
  return { decisions: decisions.list, got };
}

/** What the HTTP door makes of it. */
function gotOf(result: RequestResult, committed: RequestSoFar | undefined, chain: string): CallerGot | 'left' {
  if (result.verdict.type === 'cancelled') return 'left';
  const error = errorOf(result, chain);
  const told = committed ?? result;
  const isRead = error === undefined || committed !== undefined;
  const retryAfter = error && !isRead ? retryHeadersOf(error)['retry-after'] : undefined;
  return {
    status: isRead ? 200 : statusOf(error),
    model: told.model,
    attempts: told.attempts.map((attempt) => `${attempt.model} ${attempt.class}`),
    fallbackUsed: told.fallbackUsed,
    retryAfterS: retryAfter === undefined ? undefined : Number(retryAfter),
    end: committed === undefined ? '-' : error ? 'error' : 'done',
  };
}
