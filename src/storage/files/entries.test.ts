/** Pages of a folder's entries: together they are all of them, in order, whatever the size of a page. */
import { expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { eachOf, pageOf } from './entries.ts';
import { OpenFolder } from './place.ts';

test('pages add up to the sorted names', async () => {
  const names = fc.uniqueArray(fc.stringMatching(/^[a-zé0-9]{1,6}$/), { maxLength: 60 });
  await fc.assert(
    fc.asyncProperty(names, fc.integer({ min: 1, max: 20 }), async (made, limit) => {
      const path = mkdtempSync(join(tmpdir(), 'bai-pages-'));
      try {
        for (const name of made) writeFileSync(join(path, name), '');
        await using folder = await OpenFolder.open(path);
        const seen: string[] = [];
        let after: string | null = null;
        for (let more = true; more; ) {
          const page = await pageOf(folder, { after, limit });
          expect(page.entries.length).toBeLessThanOrEqual(limit);
          seen.push(...page.entries.map(({ name }) => name));
          more = page.hasMore;
          after = seen.at(-1) ?? null;
        }
        expect(seen).toEqual([...made].sort());
        const whole = await pageOf(folder, { after: null, limit: 0 });
        expect(whole.entries.map(({ name }) => name)).toEqual([...made].sort());
        expect(whole.hasMore).toBe(false);
      } finally {
        rmSync(path, { recursive: true });
      }
    }),
    { numRuns: 60 },
  );
});

test('a failure ends the rest, and is thrown when what was begun is done', async () => {
  const begun: number[] = [];
  let done = 0;
  const work = eachOf(
    Array.from({ length: 50 }, (_, index) => index),
    async (index) => {
      begun.push(index);
      await Promise.resolve();
      if (index === 2) throw new Error('two');
      done += 1;
    },
    4,
  );
  await expect(work).rejects.toThrow('two');
  expect(begun.length).toBeLessThan(20);
  expect(done).toBe(begun.length - 1);
});
