/**
 * Every model is down, at 200 requests a second: the running app over real sockets, beside the simulator with the same
 * models, requests and rules. Everything is five times as fast as usual; `npm run bench:outage` plays the whole of it.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stopAll } from '../../bench/child.js';
import { runOutage, type RunningOutage, simulateOutage } from '../../bench/outage-run.js';
import { SHORT, spanMsOf } from '../../bench/outage-scenario.js';
import { type Figure, figuresOf } from '../../bench/outage-table.js';

const DIST = fileURLToPath(new URL('../../dist', import.meta.url));
const SIMULATIONS = 20;
/** What comes during a longer one comes all at once after it, and is a spike of the machine's. */
const LONGEST_STALL_MS = 200;
const LIMIT_MS = 3 * spanMsOf(SHORT);

let app: RunningOutage;
let figures: readonly Figure[];

beforeAll(async () => {
  if (!existsSync(`${DIST}/main.js`)) throw new Error('dist/main.js is missing: run "npm run build" first');
  const simulated = await simulateOutage(DIST, SHORT, SIMULATIONS);
  app = await runOutage(DIST, SHORT);
  figures = figuresOf(SHORT, simulated, app);
}, LIMIT_MS);
afterAll(stopAll);

const figure = (title: string): Figure => figures.find((each) => each.title.startsWith(title))!;

describe('a total outage, in the running app', () => {
  it('is answered by nothing but what the contract has for it', () => {
    expect(Object.keys(app.statuses).filter((status) => !['200', '502', '503'].includes(status))).toEqual([]);
  });

  it('asks hardly any model once the breakers have seen it', () => {
    expect(figure('attempts per request in the outage').app).toBeLessThan(1.1);
  });

  it('refuses within 20 ms, beside what the machine takes for a bare request', () => {
    expect(figure('p99 of a refusal').app).toBeLessThan(20 + 2 * app.bareP99Ms);
  });

  it('is over soon after its end: in 15 s, by five', () => {
    expect(figure('normal again').app).toBeLessThan(15 / SHORT.faster);
  });

  it('is followed by no spike on the model that recovers', ({ skip }) => {
    skip(app.bareMaxMs > LONGEST_STALL_MS, `the machine stood still for ${Math.round(app.bareMaxMs)} ms`);
    expect(figure('peak on a recovering model').app).toBeLessThan(1.5 * Math.max(1, app.callersPeak));
  });

  // Chance decides which model comes back first and when: of the simulator, twenty seeds.
  it.each([
    'answered',
    'attempts per request',
    'attempts per request in the outage',
    'attempts on the models while down',
  ])('comes to what the simulator says, within a tenth: %s', (title) => {
    const { simulated, app: measured } = figure(title);
    expect(measured).toBeGreaterThan((simulated[0] ?? 0) * 0.9);
    expect(measured).toBeLessThan((simulated.at(-1) ?? 0) * 1.1);
  });
});
