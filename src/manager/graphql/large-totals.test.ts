import { expect, test } from 'bun:test';
import { systemClock } from '../../common/clock.ts';
import { LargeTotals } from './large-totals.ts';

/** A clock that stands until it is moved. */
function standingClock() {
  let nowMs = 0;
  const jump = (ms: number) => {
    nowMs += ms;
  };
  return { ...systemClock, monotonicMs: () => nowMs, jump };
}

function counted(totals: LargeTotals) {
  const counts = { asked: 0 };
  const get = (list: string, total: number) =>
    totals.get(list, async () => {
      counts.asked += 1;
      return total;
    });
  return { counts, get };
}

test('a large total is counted once a second, one of another list by itself', async () => {
  const clock = standingClock();
  const { counts, get } = counted(new LargeTotals(clock));
  expect(await get('all', 5000)).toBe(5000);
  expect(await get('all', 5001)).toBe(5000);
  expect(await get('mine', 4000)).toBe(4000);
  expect(counts.asked).toBe(2);
  clock.jump(1001);
  expect(await get('all', 5001)).toBe(5001);
});

test('a total that people know by heart is counted each time', async () => {
  const { counts, get } = counted(new LargeTotals(standingClock()));
  expect(await get('all', 2000)).toBe(2000);
  expect(await get('all', 1999)).toBe(1999);
  expect(counts.asked).toBe(2);
});

test('what became small is not remembered as large', async () => {
  const clock = standingClock();
  const { get } = counted(new LargeTotals(clock));
  await get('all', 5000);
  clock.jump(1001);
  expect(await get('all', 3)).toBe(3);
  expect(await get('all', 4)).toBe(4);
});

test('a large total that many ask for at once is counted once', async () => {
  const clock = standingClock();
  const totals = new LargeTotals(clock);
  await totals.get('all', async () => 5000);
  clock.jump(1001);
  let asked = 0;
  const count = async () => {
    asked += 1;
    return 6000;
  };
  const answers = await Promise.all([1, 2, 3].map(() => totals.get('all', count)));
  expect(answers).toEqual([6000, 6000, 6000]);
  expect(asked).toBe(1);
});

test('a failed count is told and tried again', async () => {
  const totals = new LargeTotals(standingClock());
  const failing = totals.get('all', async () => {
    throw new Error('no database');
  });
  await expect(failing).rejects.toThrow('no database');
  expect(await totals.get('all', async () => 7000)).toBe(7000);
});

test('the oldest of many lists is forgotten', async () => {
  const { counts, get } = counted(new LargeTotals(standingClock()));
  for (let list = 0; list <= 500; list += 1) await get(`list ${list}`, 9000);
  await get('list 500', 1);
  expect(counts.asked).toBe(501);
  await get('list 0', 9000);
  expect(counts.asked).toBe(502);
});
