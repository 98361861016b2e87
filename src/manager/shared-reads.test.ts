/** Reads for several requests: done once, and never before a request came. */
import { expect, test } from 'bun:test';
import { SharedReads } from './shared-reads.ts';

function countedReads() {
  const reads = new SharedReads<number>();
  const gates: PromiseWithResolvers<void>[] = [];
  const read = (key: string) =>
    reads.share(key, async () => {
      const gate = Promise.withResolvers<void>();
      const number = gates.push(gate);
      await gate.promise;
      return number;
    });
  return { read, gates };
}

test('whoever comes during a read gets the next one, together with others', async () => {
  const { read, gates } = countedReads();
  const first = read('a');
  const late = [read('a'), read('a'), read('a')];
  expect(gates).toHaveLength(1);
  gates[0]?.resolve();
  expect(await first).toBe(1);
  while (gates.length < 2) await Bun.sleep(0);
  gates[1]?.resolve();
  expect(await Promise.all(late)).toEqual([2, 2, 2]);
  expect(gates).toHaveLength(2);
});

test('keys do not wait for each other, and a read that is over is done anew', async () => {
  const { read, gates } = countedReads();
  const [a, b] = [read('a'), read('b')];
  for (const gate of gates) gate.resolve();
  expect(await Promise.all([a, b])).toEqual([1, 2]);
  const again = read('a');
  gates[2]?.resolve();
  expect(await again).toBe(3);
});

test('a failure reaches those who share the read; the next ones read again', async () => {
  const { read, gates } = countedReads();
  const first = read('a');
  const second = read('a');
  gates[0]?.reject(new Error('gone'));
  expect(first).rejects.toThrow('gone');
  while (gates.length < 2) await Bun.sleep(0);
  gates[1]?.resolve();
  expect(await second).toBe(2);
});
