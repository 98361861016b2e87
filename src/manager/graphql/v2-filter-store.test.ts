/** The filters of the newer schema: what they mean in PostgreSQL. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import type { Sql } from 'postgres';
import { testDatabase } from '../../testing/postgres.ts';
import { type V2FieldTable, type V2Filter, v2FilterToSql } from './v2-filter-store.ts';

let db: Awaited<ReturnType<typeof testDatabase>>;
let sql: Sql;
let fields: V2FieldTable;

const ids = ['00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000002'];

beforeAll(async () => {
  db = await testDatabase({});
  sql = db.sql;
  await sql`create table things (id serial primary key, uid uuid, name text, n int, flag boolean,
    status text, at timestamptz, day date, list int[])`;
  await sql`create type thingkind as enum ('BIG', 'SMALL')`;
  await sql`alter table things add kind thingkind`;
  await sql`create table parts (thing int, name text)`;
  await sql`insert into things (uid, name, n, flag, status, at, day, list) values
    (${ids[0] ?? ''}, 'alpha', 1, true, 'running', '2026-01-01T00:00:00Z', '2026-01-01', '{1,2}'),
    (${ids[1] ?? ''}, 'Be%ta', 2, false, 'pending', '2026-01-02T00:00:00Z', '2026-01-02', '{2}'),
    (null, null, null, null, null, null, null, null)`;
  await sql`update things set kind = case when n = 1 then 'BIG' else 'SMALL' end::thingkind where n > 0`;
  await sql`insert into parts values (1, 'wheel'), (2, 'door')`;
  fields = {
    uid: { kind: 'uuid', column: sql`uid` },
    name: { kind: 'text', column: sql`things.name` },
    n: { kind: 'number', column: sql`n` },
    flag: { kind: 'boolean', column: sql`flag` },
    status: { kind: 'enum', column: sql`status`, stored: (member) => member.toLowerCase() },
    kind: { kind: 'enum', column: sql`kind`, type: sql`thingkind` },
    at: { kind: 'time', column: sql`at` },
    day: { kind: 'date', column: sql`day` },
    list: { kind: 'int-array', column: sql`list` },
    part: {
      kind: 'nested',
      exists: (condition) =>
        sql`exists (select from parts where parts.thing = things.id and ${condition})`,
      fields: { name: { kind: 'text', column: sql`parts.name` } },
    },
  };
});
afterAll(() => db.drop());

const select = async (filter: V2Filter | null) => {
  const rows = await sql<{ id: number }[]>`
    select id from things where ${v2FilterToSql(sql, filter, fields)} order by id`;
  return rows.map(({ id }) => id);
};

test.each<[V2Filter | null, number[]]>([
  [null, [1, 2, 3]],
  [{}, [1, 2, 3]],
  [{ name: null }, [1, 2, 3]],
  [{ name: {} }, [1, 2, 3]],
  [{ name: { equals: 'alpha' } }, [1]],
  [{ name: { equals: 'ALPHA' } }, []],
  [{ name: { iEquals: 'ALPHA' } }, [1]],
  [{ name: { contains: '%' } }, [2]],
  [{ name: { contains: 'BE' } }, []],
  [{ name: { iContains: 'BE' } }, [2]],
  [{ name: { startsWith: 'al' } }, [1]],
  [{ name: { iStartsWith: 'be' } }, [2]],
  [{ name: { endsWith: 'a' } }, [1, 2]],
  [{ name: { notEquals: 'alpha' } }, [2, 3]],
  [{ name: { notContains: '%' } }, [1, 3]],
  [{ name: { iNotEndsWith: 'TA' } }, [1, 3]],
  [{ name: { in: ['alpha', 'x'] } }, [1]],
  [{ name: { in: [] } }, []],
  [{ name: { iIn: ['ALPHA'] } }, [1]],
  [{ name: { notIn: ['alpha'] } }, [2, 3]],
  [{ name: { iNotIn: ['ALPHA', 'be%ta'] } }, [3]],
  [{ name: { startsWith: 'a', endsWith: 'z' } }, []],
  [{ uid: { equals: ids[0] } }, [1]],
  [{ uid: { in: ids } }, [1, 2]],
  [{ uid: { notEquals: ids[0] } }, [2, 3]],
  [{ n: { equals: 1 } }, [1]],
  [{ n: { greaterThan: 1 } }, [2]],
  [{ n: { greaterThanOrEqual: 1, lessThan: 2 } }, [1]],
  [{ n: { lessThanOrEqual: 1 } }, [1]],
  [{ flag: true }, [1]],
  [{ flag: false }, [2, 3]],
  [{ status: { equals: 'RUNNING' } }, [1]],
  [{ status: { in: ['RUNNING', 'PENDING'] } }, [1, 2]],
  [{ status: { in_: ['PENDING'] } }, [2]],
  [{ status: { notIn: ['RUNNING'] } }, [2, 3]],
  [{ status: ['RUNNING'] }, [1]],
  [{ kind: { equals: 'BIG' } }, [1]],
  [{ kind: { in: ['BIG', 'SMALL', 'BIG'] } }, [1, 2]],
  [{ kind: { in: [] } }, []],
  [{ kind: { notIn: ['SMALL'] } }, [1, 3]],
  [{ at: { before: new Date('2026-01-01T12:00:00Z') } }, [1]],
  [{ at: { after: new Date('2026-01-01T12:00:00Z') } }, [2]],
  [{ at: { equals: new Date('2026-01-02T00:00:00Z') } }, [2]],
  [{ at: { isNull: true } }, [3]],
  [{ at: { isNull: false } }, [1, 2]],
  [{ day: { equals: '2026-01-02' } }, [2]],
  [{ list: { contains: 1 } }, [1]],
  [{ list: { containsAll: [1, 2] } }, [1]],
  [{ list: { containsAny: [1, 2] } }, [1, 2]],
  [{ part: { name: { equals: 'wheel' } } }, [1]],
  [{ NOT: [{ part: { name: { equals: 'wheel' } } }] }, [2, 3]],
  [{ AND: [{ n: { equals: 1 } }, { flag: true }] }, [1]],
  [{ OR: [{ n: { equals: 1 } }, { n: { equals: 2 } }] }, [1, 2]],
  // Each element of OR is a conjunction, and the rest holds besides.
  [{ OR: [{ n: { equals: 1 }, flag: false }, { n: { equals: 2 } }] }, [2]],
  [{ flag: true, OR: [{ n: { equals: 1 } }, { n: { equals: 2 } }] }, [1]],
  [{ OR: [] }, [1, 2, 3]],
  [{ NOT: [{ n: { equals: 1 } }, { n: { equals: 2 } }] }, [3]],
  [{ AND: [{ OR: [{ NOT: [{ flag: true }] }] }] }, [2, 3]],
  [{ name: { equals: "'; drop table things; --" } }, []],
])('%j selects %j', async (filter, expected) => {
  expect(await select(filter)).toEqual(expected);
});

test('size and depth are bounded', () => {
  let deep: V2Filter = { flag: true };
  for (let i = 0; i < 100; i += 1) deep = { AND: [deep] };
  const wide = { OR: Array.from({ length: 500 }, () => ({ flag: true })) };
  const long = { name: { in: Array.from({ length: 20_000 }, () => 'x') } };
  for (const filter of [deep, wide, long]) {
    expect(() => v2FilterToSql(sql, filter, fields)).toThrow(
      expect.objectContaining({ problem: 'InvalidGraphQLParameters' }),
    );
  }
});
