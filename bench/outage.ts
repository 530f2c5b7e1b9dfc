/**
 * `npm run bench:outage`: all models are down for a minute at 200 requests a second, in the running app over real sockets and
 * in the simulator, side by side. Takes three minutes; `-- --short` half a minute, with everything five times as fast.
 *
 * Three processes on 127.0.0.1, ended by their ids, also on Ctrl-C. Measures, never judges: the exit code tells whether it
 * could be measured.
 */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

import { stopAll } from './child.ts';
import { runOutage, simulateOutage } from './outage-run.ts';
import { FULL, SHORT } from './outage-scenario.ts';
import { figuresOf, tableOf } from './outage-table.ts';
import { describeMachine } from './report.ts';

const SIMULATIONS = 20;

const { values } = parseArgs({
  options: {
    short: { type: 'boolean', default: false },
    seed: { type: 'string', default: '1' },
    dist: { type: 'string', default: 'dist' },
    json: { type: 'boolean', default: false },
  },
});
const plan = { ...(values.short ? SHORT : FULL), seed: Number(values.seed) };
const dist = resolve(values.dist);
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void stopAll().then(() => process.exit(130)));
}
if (!Number.isInteger(plan.seed)) throw new Error(`--seed ${values.seed}: expected a whole number`);
if (!existsSync(join(dist, 'main.js'))) throw new Error(`${join(dist, 'main.js')} is missing: build it first.`);

// Progress goes to standard error, beside the figures.
console.error(describeMachine());
console.error(`the simulator, ${SIMULATIONS} times …`);
const simulated = await simulateOutage(dist, plan, SIMULATIONS);
console.error('the running app, in real time …');
const app = await runOutage(dist, plan);
const figures = figuresOf(plan, simulated, app);
console.log(values.json ? JSON.stringify({ plan, figures, app }, null, 2) : tableOf(figures, app));
