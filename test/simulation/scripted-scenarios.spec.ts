/**
 * The same scripts through the simulator and through the running app over real sockets: the same decisions, step by step,
 * in the same moments.
 *
 * `SCRIPTS_SEED=5000 npx vitest run test/simulation/scripted-scenarios.spec.ts` draws others.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FAILURE_CLASSES } from '../../src/policy/failure.js';
import { linesOf } from './decisions.js';
import { playInApp } from './play-in-app.js';
import { playInSimulator } from './play-in-simulator.js';
import { allScripts } from './scripts/all.js';
import { type ScriptedStage, startScriptedStage } from './scripted-stage.js';

const LIMIT_MS = 60_000;
const scripts = allScripts(Number(process.env['SCRIPTS_SEED'] ?? 1));

let stage: ScriptedStage;
beforeAll(async () => {
  stage = await startScriptedStage();
});
afterAll(() => stage?.close());

describe('a scripted scenario is decided alike by the simulator and by the running app', () => {
  it.concurrent.each(scripts)(
    '$name',
    async (script) => {
      const simulated = playInSimulator(script);
      const ran = await playInApp(script, stage);
      expect(linesOf(ran, true)).toEqual(linesOf(simulated, true));
    },
    LIMIT_MS,
  );
});

describe('the scripts together', () => {
  const said = scripts.flatMap((script) => linesOf(playInSimulator(script), false));
  const shows = (words: RegExp): boolean => said.some((line) => words.test(line));

  it('are two hundred', () => expect(scripts).toHaveLength(200));

  it.each(FAILURE_CLASSES)('meet %s', (failureClass) =>
    expect(shows(new RegExp(` ${failureClass} \\(`, 'u'))).toBe(true),
  );

  it.each(['first', 'retry', 'fallback', 'overtake', 'hedge', 'continuation'])('make an attempt that is a %s', (kind) =>
    expect(shows(new RegExp(` ok \\(${kind}\\)`, 'u'))).toBe(true),
  );

  it.each(['open', 'half-open', 'closed'])('bring a breaker to %s', (state) =>
    expect(shows(new RegExp(`^\\w+ is ${state}$`, 'u'))).toBe(true),
  );

  it.each(['prompt', 'prefix', 'vllm'])('go on with a text by %s', (way) =>
    expect(shows(new RegExp(`characters by ${way}`, 'u'))).toBe(true),
  );

  it.each([
    { why: 'the caller’s mistake', got: /^400 .* -$/u },
    { why: 'rate limits, with a time', got: /^429 .*again in \d+ s$/u },
    { why: 'failures', got: /^502 /u },
    { why: 'nobody asked, with a time', got: /^503 from nobody \[\] .*again in \d+ s$/u },
    { why: 'a deadline', got: /^504 /u },
    { why: 'a stream that could not be gone on with', got: /^200 .* error$/u },
    { why: 'a caller who left', got: /^left$/u },
  ])('end in $why', ({ got }) => expect(shows(got)).toBe(true));
});
