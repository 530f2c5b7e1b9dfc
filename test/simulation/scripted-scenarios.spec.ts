/**
 * The same scripts through the simulator and through the running app over real sockets: the same decisions, step by step,
 * in the same moments.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { linesOf } from './decisions.js';
import { playInApp } from './play-in-app.js';
import { playInSimulator } from './play-in-simulator.js';
import { allScripts } from './scripts/all.js';
import { type ScriptedStage, startScriptedStage } from './scripted-stage.js';

let stage: ScriptedStage;
beforeAll(async () => {
  stage = await startScriptedStage();
});
afterAll(() => stage?.close());

const FROM = Number(process.env['SEED'] ?? 1);
const scripts = allScripts(FROM);

describe('a scripted scenario', () => {
  it.concurrent.each(scripts)(
    '$name',
    async (script) => {
      const simulated = playInSimulator(script);
      const ran = await playInApp(script, stage);
      if (process.env['SHOW'] && script.name.includes(process.env['SHOW']))
        console.log(linesOf(simulated, true).join('\n'));
      expect(linesOf(ran, true)).toEqual(linesOf(simulated, true));
    },
    60_000,
  );
});
