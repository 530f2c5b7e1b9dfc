/**
 * The scripts that do not hang on milliseconds, once more in the running app, on the real clock: its timers and all lead to
 * the decisions that the simulator made.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { linesOf } from './decisions.js';
import { playInApp, playInRealTime } from './play-in-app.js';
import { playInSimulator } from './play-in-simulator.js';
import { isRobust, slowed, spanMsOf } from './robust.js';
import type { Script } from './script.js';
import { allScripts } from './scripts/all.js';
import { type ScriptedStage, startScriptedStage } from './scripted-stage.js';

/** How late a timer may fire. A play in which one was later shows the machine's decisions, not ours, and is repeated. */
const LATEST_MS = 100;
const LONGEST_MS = 6_000;
const SIDE_BY_SIDE = 15;
const ROUNDS = 4;

let stage: ScriptedStage;
beforeAll(async () => {
  stage = await startScriptedStage();
  // The first app of a process takes its time.
  await playInApp(allScripts(1)[0]!, stage);
});
afterAll(() => stage?.close());

/** Slowed down as far as it takes. */
const robust = allScripts(1).flatMap((script) => {
  const slow = [1, 2, 4].map((times) => slowed(script, times));
  return slow.find((each) => spanMsOf(each) <= LONGEST_MS && isRobust(each, LATEST_MS)) ?? [];
});

describe('in real time', () => {
  it('the scripts that can be told apart there are many', () => {
    expect(robust.length).toBeGreaterThan(50);
  });

  it('the running app decides as the simulator does', async ({ skip }) => {
    let left: readonly Script[] = robust;
    for (let round = 0; round < ROUNDS && left.length > 0; round++) left = await playAll(left);
    skip(left.length > robust.length / 2, `too busy a machine: ${left.length} scripts could not be judged`);
  }, 150_000);
});

/** @returns those that the machine disturbed. */
async function playAll(scripts: readonly Script[]): Promise<readonly Script[]> {
  const disturbed: Script[] = [];
  for (let at = 0; at < scripts.length; at += SIDE_BY_SIDE) {
    const group = scripts.slice(at, at + SIDE_BY_SIDE);
    const played = await playInRealTime(group, stage);
    for (const [i, script] of group.entries()) {
      const ran = played[i]!;
      if (ran.latestMs > LATEST_MS) disturbed.push(script);
      else expect.soft(linesOf(ran, false), script.name).toEqual(linesOf(playInSimulator(script), false));
    }
  }
  return disturbed;
}
