import { expect, it } from 'vitest';
import { Turns } from './turns.js';

function used(gapMs: number) {
  const turns = new Turns();
  for (let i = 0; i < 300; i++) turns.noteRequest('default', i * gapMs);
  const give = (fromMs: number): number => {
    const atMs = turns.next('a', 'default', fromMs);
    turns.take('a', atMs);
    return Math.round(atMs);
  };
  return { turns, give };
}

it('lets those who wait come back one after the other, at the pace at which requests usually come', () => {
  const { give } = used(100);
  expect([give(5_000), give(5_000), give(5_000)]).toEqual([5_000, 5_100, 5_200]);
});

it('keeps nobody waiting who is alone, nor long where requests are rare', () => {
  const { give } = used(10_000);
  expect([give(5_000), give(5_000), give(90_000)]).toEqual([5_000, 5_249, 90_000]);
});

it('gives each model its own turns, and takes none by telling when the next would be', () => {
  const { turns, give } = used(100);
  give(5_000);
  expect(turns.next('b', 'default', 5_000)).toBe(5_000);
  expect(turns.next('a', 'default', 5_000)).toBe(turns.next('a', 'default', 5_000));
});

it('assumes some pace while it knows none', () => {
  const turns = new Turns();
  turns.take('a', 1_000);
  expect(turns.next('a', 'default', 1_000)).toBe(1_020);
});
