import { describe, expect, it } from 'vitest';
import { Roster } from './roster.js';

const ada = { name: 'Ada' };
const bob = { name: 'Bob' };
const eve = { name: 'Eve' };

describe('Roster', () => {
  it('holds whoever came and has not left', () => {
    const roster = new Roster<{ name: string }>();
    roster.enter(ada);
    const seatOfBob = roster.enter(bob);
    roster.leave(seatOfBob);
    expect(roster.members()).toEqual([ada]);
    expect(roster.size).toBe(1);
  });

  it('gives a free seat to the next one, so that it never holds more than were there at once', () => {
    const roster = new Roster<{ name: string }>();
    const seats = new Set<number>();
    for (let came = 0; came < 100; came++) {
      const seat = roster.enter(eve);
      seats.add(seat);
      roster.leave(seat);
    }
    expect(seats.size).toBe(1);
    expect(roster.size).toBe(0);
  });

  it('lets its members leave while they are looked through', () => {
    const roster = new Roster<{ name: string }>();
    const seats = [ada, bob, eve].map((member) => roster.enter(member));
    const met = roster.members().map((member) => {
      for (const seat of seats.splice(0)) roster.leave(seat);
      return member;
    });
    expect(met).toEqual([ada, bob, eve]);
    expect(roster.size).toBe(0);
  });
});
