/** The filter and order languages: grammar, refusals, and their meaning in PostgreSQL. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import type { Sql } from 'postgres';
import { testDatabase } from '../../testing/postgres.ts';
import { type FilterTree, parseFilter, parseOrder } from './minilang.ts';
import { type FieldTable, filterToSql, orderToSql } from './minilang-store.ts';

const t = (name: string): FilterTree => ({ kind: 'test', name, operator: '==', value: 1 });

describe('grammar', () => {
  test('& and | bind equally and group to the right; ! takes the rest', () => {
    expect(parseFilter('a == 1 & b == 1 | c == 1')).toEqual({
      kind: 'and',
      left: t('a'),
      right: { kind: 'or', left: t('b'), right: t('c') },
    });
    expect(parseFilter('!a == 1 & b == 1')).toEqual({
      kind: 'not',
      operand: { kind: 'and', left: t('a'), right: t('b') },
    });
    expect(parseFilter('(a == 1 | b == 1) & c == 1')).toEqual({
      kind: 'and',
      left: { kind: 'or', left: t('a'), right: t('b') },
      right: t('c'),
    });
  });

  test('values: escaped quotes, signed numbers, words and lists', () => {
    const value = (text: string) => {
      const tree = parseFilter(`x in ${text}`);
      return tree.kind === 'test' ? tree.value : undefined;
    };
    expect(value('"say \\"hi\\""')).toBe('say "hi"');
    expect(value('["a", -1.5, null, true]')).toEqual(['a', -1.5, null, true]);
    expect(value('[]')).toEqual([]);
  });

  test.each([
    '',
    '  ',
    'a',
    'a ==',
    'a == "x',
    '== 1',
    'a == 1 &',
    '(a == 1',
    'a == 1 b',
    "a == 'x'",
  ])('refuses %p', (text) => {
    expect(() => parseFilter(text)).toThrow('Query filter parsing error');
  });

  test('refuses nesting that would exhaust the stack, and huge text', () => {
    expect(() => parseFilter(`${'('.repeat(5000)}a == 1${')'.repeat(4000)}`)).toThrow('conditions');
    expect(() => parseFilter(`a == "${'x'.repeat(20_000)}"`)).toThrow('longer');
  });

  test('order', () => {
    expect(parseOrder('')).toEqual([]);
    expect(parseOrder('-created_at, +name,id')).toEqual([
      { name: 'created_at', descending: true },
      { name: 'name', descending: false },
      { name: 'id', descending: false },
    ]);
    expect(() => parseOrder('created_at desc')).toThrow('Query order parsing error');
  });

  test('any text either parses or is refused as a client error', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          parseFilter(text);
        } catch (error) {
          expect(error).toMatchObject({ problem: 'InvalidAPIParameters' });
        }
      }),
    );
  });
});

describe('in PostgreSQL', () => {
  let db: Awaited<ReturnType<typeof testDatabase>>;
  let sql: Sql;
  let fields: FieldTable;

  beforeAll(async () => {
    db = await testDatabase({});
    sql = db.sql;
    await sql`create table things (id serial primary key, uid uuid default gen_random_uuid(),
      name text, priority int, active boolean, status text, tags text[], at timestamptz)`;
    await sql`insert into things (name, priority, active, status, tags, at) values
      ('alpha', 1, true, 'RUNNING', '{x,y}', '2026-01-01T00:00:00Z'),
      ('be%ta', 2, false, 'PENDING', '{}', '2026-01-02T00:00:00Z'),
      ('Gamma', 3, true, 'RUNNING', '{z}', null),
      (null, null, null, null, null, null)`;
    fields = {
      name: { kind: 'text', column: sql`name` },
      uid: { kind: 'uuid', column: sql`uid` },
      priority: { kind: 'number', column: sql`priority` },
      active: { kind: 'boolean', column: sql`active` },
      status: { kind: 'enum', column: sql`status` },
      tags: { kind: 'text-array', column: sql`tags` },
      at: { kind: 'time', column: sql`at` },
    };
  });
  afterAll(async () => {
    await db.drop();
  });

  const ids = async (filter: string | null): Promise<number[]> => {
    const rows = await sql<{ id: number }[]>`
      select id from things where ${filterToSql(sql, filter, fields)} order by id`;
    return rows.map((row) => row.id);
  };

  test('an id is found by an index; what is no id belongs to no row', async () => {
    await sql`create table keyed as select gen_random_uuid() as uid from generate_series(1, 2000)`;
    await sql`alter table keyed add primary key (uid)`;
    await sql`analyze keyed`;
    const [row] = await sql<{ uid: string }[]>`select uid from keyed limit 1`;
    const uid = row?.uid ?? '';
    const where = (filter: string) => filterToSql(sql, filter, fields);
    for (const filter of [`uid == "${uid}"`, `uid in ["${uid.toUpperCase()}", "x"]`]) {
      const found = await sql<{ uid: string }[]>`select uid from keyed where ${where(filter)}`;
      expect(found.map((each) => each.uid)).toEqual([uid]);
    }
    const plan = await sql`explain select from keyed where ${where(`uid == "${uid}"`)}`;
    expect(JSON.stringify(plan)).toContain('Index');
    const count = async (filter: string) => {
      const [counted] = await sql`select count(*)::int as n from keyed where ${where(filter)}`;
      return counted?.n;
    };
    expect(await count('uid == "x"')).toBe(0);
    expect(await count('uid != "x"')).toBe(2000);
    expect(await count(`uid != "${uid}"`)).toBe(1999);
    expect(await count(`uid >= "${'0'.repeat(8)}-0000-0000-0000-${'0'.repeat(12)}"`)).toBe(2000);
  });

  test.each<[string | null, number[]]>([
    [null, [1, 2, 3, 4]],
    ['name == "alpha"', [1]],
    ['name contains "%"', [2]],
    ['name ilike "g%"', [3]],
    ['name like "g%"', []],
    ['name is null', [4]],
    ['name isnot null', [1, 2, 3]],
    ['name == null', [4]],
    ['at != null', [1, 2]],
    ['active is true', [1, 3]],
    ['active isnot true', [2, 4]],
    ['status == "running"', [1, 3]],
    ['status in ["running", "PENDING"] & priority >= 2', [2, 3]],
    ['status in []', []],
    ['tags == "x"', [1]],
    ['tags contains "z"', [3]],
    ['tags ilike "%Y%"', [1]],
    ['tags in ["x", "z"]', [1, 3]],
    ['at > "2026-01-01T12:00:00+00:00"', [2]],
    ['uid ilike "%-%"', [1, 2, 3, 4]],
    ['priority == 2.0 | name == "alpha"', [1, 2]],
  ])('%p selects %p', async (filter, expected) => {
    expect(await ids(filter)).toEqual(expected);
  });

  test.each([
    'nosuch == 1',
    'name in "x"',
    'priority == "x"',
    'priority like "1"',
    'active > "true"',
    'at == "yesterday-ish"',
    'name == ["a"]',
    'priority > null',
    'constructor == 1',
  ])('refuses %p', (filter) => {
    expect(() => filterToSql(sql, filter, fields)).toThrow('Query filter parsing error');
  });

  test('values are bound, so quotes and SQL in them mean nothing', async () => {
    expect(await ids(`name == "'; drop table things; --"`)).toEqual([]);
    expect(await ids(null)).toHaveLength(4);
  });

  test('a random filter selects what it selects in memory', async () => {
    interface Row {
      name: string;
      priority: number;
    }
    const rows: (Row & { id: number })[] = [
      { id: 1, name: 'alpha', priority: 1 },
      { id: 2, name: 'be%ta', priority: 2 },
      { id: 3, name: 'Gamma', priority: 3 },
    ];
    const leaf = fc.oneof(
      fc.constantFrom('alpha', 'be%ta', 'Gamma', 'x').map((name) => ({
        text: `name == "${name}"`,
        holds: (row: Row) => row.name === name,
      })),
      fc.tuple(fc.constantFrom('<', '>='), fc.integer({ min: 0, max: 4 })).map(([op, n]) => ({
        text: `priority ${op} ${n}`,
        holds: (row: Row) => (op === '<' ? row.priority < n : row.priority >= n),
      })),
    );
    const { tree } = fc.letrec<{ tree: { text: string; holds: (row: Row) => boolean } }>((tie) => ({
      tree: fc.oneof(
        { depthSize: 'small' },
        leaf,
        fc.tuple(tie('tree'), tie('tree'), fc.boolean()).map(([a, b, and]) => ({
          text: `(${a.text}) ${and ? '&' : '|'} (${b.text})`,
          holds: (row: Row) => (and ? a.holds(row) && b.holds(row) : a.holds(row) || b.holds(row)),
        })),
        tie('tree').map((a) => ({ text: `!(${a.text})`, holds: (row: Row) => !a.holds(row) })),
      ),
    }));
    await fc.assert(
      fc.asyncProperty(tree, async ({ text, holds }) => {
        const expected = rows.filter(holds).map((row) => row.id);
        expect((await ids(`(${text}) & name isnot null`)).toString()).toBe(expected.toString());
      }),
      { numRuns: 50 },
    );
  });

  test('order, with a fallback and a tie-break', async () => {
    const columns = { priority: sql`priority`, active: sql`active` };
    const options = { fallback: sql`priority desc nulls last`, tieBreak: sql`id` };
    const sorted = async (order: string | null) =>
      (
        await sql<{ id: number }[]>`
          select id from things order by ${orderToSql(sql, order, columns, options)}`
      ).map((row) => row.id);
    expect(await sorted('-active,priority')).toEqual([4, 1, 3, 2]);
    expect(await sorted(null)).toEqual([3, 2, 1, 4]);
    expect(() => orderToSql(sql, 'secret', columns, options)).toThrow('cannot sort by');
  });
});
