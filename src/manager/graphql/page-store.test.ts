/** Pages of lists: every way of paging through random rows against a plain sort of them. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import fc from 'fast-check';
import type { Sql } from 'postgres';
import { testDatabase } from '../../testing/postgres.ts';
import type { PageRequest } from './page.ts';
import { type ListSource, selectListPage, selectListPages } from './page-store.ts';

let db: Awaited<ReturnType<typeof testDatabase>>;
let sql: Sql;
beforeAll(async () => {
  db = await testDatabase({});
  sql = db.sql;
  await sql`create table items (id text primary key, parent text, a int, b text, hidden boolean)`;
});
afterAll(() => db.drop());

interface Item {
  readonly id: string;
  readonly parent: string;
  readonly a: number | null;
  readonly b: string | null;
  readonly hidden: boolean;
}

const order = [
  ['a', true],
  ['b', false],
] as const;

const source = (filter = sql`not hidden`): ListSource => ({
  columns: sql`id`,
  from: sql`items`,
  scope: sql`true`,
  filter,
  order: order.map(([name, descending]) => ({ column: sql`${sql(name)}`, descending })),
  key: sql`items.id`,
  keyType: 'text',
});

/** PostgreSQL's rule: null is larger than every value. */
function compareValues<T extends number | string>(left: T | null, right: T | null): number {
  if (left === right) return 0;
  if (left === null) return 1;
  if (right === null) return -1;
  return left < right ? -1 : 1;
}

function compareItems(left: Item, right: Item): number {
  for (const [name, descending] of order) {
    const result = compareValues<number | string>(left[name], right[name]);
    if (result !== 0) return descending ? -result : result;
  }
  return compareValues(left.id, right.id);
}

const items = fc.uniqueArray(
  fc.record({
    id: fc.string({ unit: fc.constantFrom('a', 'b', 'c', 'd'), minLength: 1, maxLength: 4 }),
    parent: fc.constantFrom('p', 'q'),
    a: fc.option(fc.integer({ min: 0, max: 2 })),
    b: fc.option(fc.constantFrom('x', 'y')),
    hidden: fc.boolean(),
  }),
  { selector: (item) => item.id, maxLength: 12 },
);

async function store(rows: readonly Item[]): Promise<string[]> {
  await sql`delete from items`;
  if (rows.length > 0) await sql`insert into items ${sql(rows)}`;
  return rows
    .filter(({ hidden }) => !hidden)
    .sort(compareItems)
    .map(({ id }) => id);
}

const read = async (page: PageRequest) => {
  const wish = { page, rows: true, count: true };
  const { rows, ...rest } = await selectListPage<{ id: string }>(sql, source(), wish);
  return { ids: rows.map(({ id }) => id), ...rest };
};

test('paging forward, backward and by offset meets every row once, in order', async () => {
  await fc.assert(
    fc.asyncProperty(items, fc.integer({ min: 1, max: 4 }), async (rows, limit) => {
      const sorted = await store(rows);
      const total = sorted.length;
      const forward: string[] = [];
      for (let cursor: string | null = null; ; ) {
        const page = await read({ mode: 'forward', limit, cursor });
        expect(page).toEqual({
          ids: sorted.slice(forward.length, forward.length + limit),
          hasNext: forward.length + limit < total,
          hasPrevious: cursor !== null,
          total,
        });
        forward.push(...page.ids);
        if (!page.hasNext) break;
        cursor = page.ids.at(-1) ?? null;
      }
      expect(forward).toEqual(sorted);
      const backward: string[] = [];
      for (let cursor: string | null = null; ; ) {
        const page = await read({ mode: 'backward', limit, cursor });
        backward.unshift(...page.ids);
        expect(page.hasPrevious).toBe(backward.length < total);
        if (!page.hasPrevious) break;
        cursor = page.ids[0] ?? null;
      }
      expect(backward).toEqual(sorted);
      const offset = Math.min(limit, total);
      expect(await read({ mode: 'offset', limit, offset })).toEqual({
        ids: sorted.slice(offset, offset + limit),
        hasNext: offset + limit < total,
        hasPrevious: offset > 0,
        total,
      });
    }),
    { numRuns: 100 },
  );
}, 120_000);

test('the row at the cursor may have left the filter, but not the list', async () => {
  const row = { parent: 'p', a: null, b: null };
  await store([
    { ...row, id: 'a', hidden: false },
    { ...row, id: 'b', hidden: true },
    { ...row, id: 'c', hidden: false },
  ]);
  expect((await read({ mode: 'forward', limit: 5, cursor: 'b' })).ids).toEqual(['c']);
  expect((await read({ mode: 'backward', limit: 5, cursor: 'b' })).ids).toEqual(['a']);
  expect((await read({ mode: 'forward', limit: 5, cursor: 'c' })).ids).toEqual([]);
  await expect(read({ mode: 'forward', limit: 5, cursor: 'zz' })).rejects.toMatchObject({
    problem: 'InvalidCursor',
  });
  const unseen = { ...source(), scope: sql`id <> 'b'` };
  const wish = {
    page: { mode: 'forward', limit: 5, cursor: 'b' },
    rows: true,
    count: false,
  } as const;
  await expect(selectListPage(sql, unseen, wish)).rejects.toMatchObject({
    problem: 'InvalidCursor',
  });
});

test('only what is wished is read', async () => {
  await store([{ id: 'a', parent: 'p', a: 1, b: null, hidden: false }]);
  const page = { mode: 'forward', limit: 1, cursor: null } as const;
  const none = { rows: [], hasNext: false, hasPrevious: false };
  expect(await selectListPage(sql, source(), { page, rows: false, count: true })).toEqual({
    ...none,
    total: 1,
  });
  const broken = { ...source(), filter: sql`nosuch` };
  expect(await selectListPage(sql, broken, { page, rows: false, count: false })).toEqual({
    ...none,
    total: null,
  });
});

test('the lists of several parents are read together', async () => {
  await fc.assert(
    fc.asyncProperty(items, fc.integer({ min: 1, max: 3 }), async (rows, limit) => {
      await store(rows);
      const wish = {
        page: { mode: 'forward', limit, cursor: null },
        rows: true,
        count: true,
      } as const;
      const pages = await selectListPages<{ id: string }>(
        sql,
        source(sql`items.parent = parent.id`),
        wish,
        { ids: ['p', 'q', 'none'], type: 'text' },
      );
      for (const parent of ['p', 'q', 'none']) {
        const own = rows.filter((row) => row.parent === parent).sort(compareItems);
        const page = pages.get(parent);
        expect(page?.rows.map(({ id }) => id)).toEqual(own.slice(0, limit).map(({ id }) => id));
        expect(page).toMatchObject({ total: own.length, hasNext: own.length > limit });
      }
    }),
    { numRuns: 50 },
  );
}, 60_000);
