import { describe, expect, it } from 'vitest';
import { Since } from './since.js';

describe('since when something is up or down', () => {
  it('is up since it was born, and stays so however often one looks', () => {
    const since = new Since(5);
    expect(since.note('a', 'up', 100)).toBe(5);
    expect(since.note('a', 'up', 200)).toBe(5);
  });

  it('changes where it is told to have changed, else where it was noticed', () => {
    const since = new Since(0);
    expect(since.note('a', 'down', 100, { changedAtMs: 70 })).toBe(70);
    expect(since.note('a', 'down', 150, { changedAtMs: 140 })).toBe(70);
    expect(since.note('a', 'up', 200)).toBe(200);
  });

  it('ends a rest at its end, though nobody looked then', () => {
    const since = new Since(0);
    since.note('a', 'down', 100, { untilMs: 300 });
    expect(since.note('a', 'up', 1_000)).toBe(300);
  });

  it('ends a rest early where somebody saw it up before', () => {
    const since = new Since(0);
    since.note('a', 'down', 100, { untilMs: 300 });
    expect(since.note('a', 'up', 200)).toBe(200);
  });

  it('keeps two rests apart that nobody saw the end of', () => {
    const since = new Since(0);
    since.note('a', 'down', 100, { untilMs: 300 });
    expect(since.note('a', 'down', 500, { untilMs: 900 })).toBe(500);
  });

  it('takes a rest that is lengthened while it lasts for one', () => {
    const since = new Since(0);
    since.note('a', 'down', 100, { untilMs: 300 });
    expect(since.note('a', 'down', 200, { untilMs: 900 })).toBe(100);
    expect(since.note('a', 'up', 1_000)).toBe(900);
  });

  it('forgets what is not named any more', () => {
    const since = new Since(0);
    since.note('a', 'down', 100);
    since.keepOnly((name) => name === 'b');
    expect(since.note('a', 'down', 200)).toBe(200);
  });
});
