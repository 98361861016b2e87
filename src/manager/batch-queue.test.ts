/** Group commit: what is written together, and that a bad item fails alone. */
import { expect, test } from 'bun:test';
import { BatchQueue } from './batch-queue.ts';

interface Written {
  readonly batches: number[][];
  /** Lets the write under way finish. */
  release(): void;
}

/** A queue of numbers whose writes wait to be released; negative numbers cannot be written. */
function heldQueue(options: { maxWeight?: number; maxWaiting?: number; isOfOneItem?: boolean }) {
  const batches: number[][] = [];
  let gate = Promise.withResolvers<void>();
  const written: Written = {
    batches,
    release() {
      gate.resolve();
      gate = Promise.withResolvers<void>();
    },
  };
  const queue = new BatchQueue<number, string>({
    async write(items) {
      batches.push([...items]);
      await gate.promise;
      if (items.some((item) => item < 0)) throw new Error(`cannot write ${items.join()}`);
      return items.map((item) => `wrote ${item}`);
    },
    weightOf: (item) => Math.abs(item),
    maxWeight: options.maxWeight ?? 100,
    maxWaiting: options.maxWaiting ?? 100,
    isOfOneItem: () => options.isOfOneItem ?? true,
  });
  return { queue, written };
}

/** Releases every write until all of `results` are settled. */
async function settle(written: Written, results: readonly Promise<string>[]): Promise<string[]> {
  let done = false;
  const all = Promise.allSettled(results).finally(() => {
    done = true;
  });
  while (!done) {
    written.release();
    await Bun.sleep(0);
  }
  return (await all).map((one) =>
    one.status === 'fulfilled' ? one.value : `failed: ${String(one.reason.message)}`,
  );
}

test('what comes while a batch is being written is written together, in its order', async () => {
  const { queue, written } = heldQueue({});
  const first = queue.submit(1);
  await Promise.resolve();
  await Promise.resolve();
  expect(written.batches).toEqual([[1]]);
  const others = [2, 3, 4].map((item) => queue.submit(item));
  expect(await settle(written, [first, ...others])).toEqual([
    'wrote 1',
    'wrote 2',
    'wrote 3',
    'wrote 4',
  ]);
  expect(written.batches).toEqual([[1], [2, 3, 4]]);
});

test('a batch has a largest weight; a heavier item goes alone', async () => {
  const { queue, written } = heldQueue({ maxWeight: 5 });
  const results = [2, 3, 1, 9, 1].map((item) => queue.submit(item));
  await settle(written, results);
  expect(written.batches).toEqual([[2, 3], [1], [9], [1]]);
});

test('an item that cannot be written fails alone', async () => {
  const { queue, written } = heldQueue({});
  const results = [1, 2, -3, 4, 5].map((item) => queue.submit(item));
  expect(await settle(written, results)).toEqual([
    'wrote 1',
    'wrote 2',
    'failed: cannot write -3',
    'wrote 4',
    'wrote 5',
  ]);
});

test('a failure that is of no item fails the batch at once, and the next one is tried', async () => {
  const { queue, written } = heldQueue({ isOfOneItem: false });
  const failed = [1, -2].map((item) => queue.submit(item));
  expect(await settle(written, failed)).toEqual([
    'failed: cannot write 1,-2',
    'failed: cannot write 1,-2',
  ]);
  expect(written.batches).toHaveLength(1);
  expect(await settle(written, [queue.submit(3)])).toEqual(['wrote 3']);
});

test('more than may wait is refused', async () => {
  const { queue, written } = heldQueue({ maxWaiting: 2 });
  const results = [1, 2].map((item) => queue.submit(item));
  expect(() => queue.submit(3)).toThrow('does not keep up');
  await settle(written, results);
  expect(await settle(written, [queue.submit(3)])).toEqual(['wrote 3']);
});
