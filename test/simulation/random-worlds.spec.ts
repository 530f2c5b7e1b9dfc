/**
 * Random worlds: chains, policies, faults, callers and clocks that nobody would think of, against what must always hold.
 * `WORLDS=100000` plays more of them, `FIRST_WORLD=7341` begins elsewhere, `WORLD=7341` plays one alone.
 */
import { describe, expect, it } from 'vitest';
import { loadSettings } from '../../src/config/load-settings.js';
import { Draw } from './draw.js';
import { asOptions, drawReload, drawShape } from './draw-settings.js';
import { KEPT_SEEDS } from './kept-seeds.js';
import { CALM, HARSH } from './temper.js';
import { playWorld, type WorldStory } from './world.js';

const WORLDS = Number(process.env['WORLDS'] ?? 3_000);
const FIRST = Number(process.env['FIRST_WORLD'] ?? 0);
const ONE = process.env['WORLD'];
const LAST_LINES = 60;

function told({ seed, complaints, log }: WorldStory): string {
  const command = `WORLD=${seed} npx vitest run test/simulation/random-worlds.spec.ts`;
  return [...complaints, '', ...log.slice(-LAST_LINES), '', `Again: ${command}`].join('\n');
}

function playFine(seed: number): WorldStory {
  const story = playWorld(seed);
  if (story.complaints.length > 0) expect.fail(told(story));
  return story;
}

describe.skipIf(ONE !== undefined)('random worlds', () => {
  it.each(KEPT_SEEDS)('$seed: $found', ({ seed }) => {
    playFine(seed);
  });

  it(`keep every promise, ${WORLDS} of them`, { timeout: 24 * 3_600_000 }, () => {
    let requests = 0;
    let attempts = 0;
    for (let seed = FIRST; seed < FIRST + WORLDS; seed++) {
      const story = playFine(seed);
      requests += story.requests;
      attempts += story.attempts;
    }
    expect(requests).toBeGreaterThan(WORLDS * 10);
    expect(attempts).toBeGreaterThan(requests / 2);
  });

  it('are the same, to the last line, for the same seed', () => {
    for (let seed = FIRST; seed < FIRST + 50; seed++)
      expect(playWorld(seed).hash, `seed ${seed}`).toBe(playWorld(seed).hash);
  });

  it('are of configurations that would load', () => {
    for (let seed = FIRST; seed < FIRST + 50; seed++) {
      const draw = new Draw(seed);
      const shape = drawShape(draw, HARSH);
      for (const options of [asOptions(shape), asOptions(drawReload(shape, draw, CALM))]) {
        expect(() => loadSettings({ options, readVariable: () => undefined }), `seed ${seed}`).not.toThrow();
      }
    }
  });
});

// Not skipped where nobody asked for it: a skipped test is a fault in CI.
if (ONE !== undefined) {
  describe('the random world', () => {
    it(`${ONE} keeps every promise`, () => {
      const story = playFine(Number(ONE));
      process.stdout.write(`${story.log.join('\n')}\n`);
    });
  });
}
