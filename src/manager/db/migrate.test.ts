/** Migrations: applied once, in order, whatever the number of managers that start together. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { type TestDatabase, testDatabase } from '../../testing/postgres.ts';
import { assertCurrent, migrate, schemaState, setAside, UPSTREAM_REVISION } from './migrate.ts';
import { migrations } from './migrations/index.ts';

let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase({ migrated: false });
});
afterAll(() => db.drop());

test('two migrators at once apply every migration exactly once, and again is a no-op', async () => {
  const counts = await Promise.all([migrate(db.sql), migrate(db.sql)]);
  expect(counts[0] + counts[1]).toBe(migrations.length);
  const rows = await db.sql`SELECT version, name FROM schema_migrations ORDER BY version`;
  expect(rows.map((row) => [row.version, row.name])).toEqual(
    migrations.map(({ version, name }) => [version, name]),
  );
  expect(await migrate(db.sql)).toBe(0);
  expect(await schemaState(db.sql)).toEqual({
    version: migrations.at(-1)?.version ?? 0,
    latest: migrations.at(-1)?.version ?? 0,
    missing: [],
    upstreamRevision: UPSTREAM_REVISION,
  });
});

test('a migration below the newest applied one is made up for, in its turn', async () => {
  const step = (version: number, sql: string) => ({ version, name: `step${version}`, sql });
  const first = step(1, 'CREATE TABLE trail (made_by int)');
  const second = step(2, 'INSERT INTO trail VALUES (2)');
  const third = step(3, 'INSERT INTO trail VALUES (3)');
  const late = await testDatabase({ migrated: false });
  try {
    expect(await migrate(late.sql, undefined, [first, third])).toBe(2);
    const all = [first, second, third, step(4, 'INSERT INTO trail VALUES (4)')];
    const state = await schemaState(late.sql, all);
    expect(state).toMatchObject({ version: 3, latest: 4, missing: [2, 4] });
    const { version, missing } = await schemaState(late.sql, [first, second, third]);
    expect(() => assertCurrent({ ...state, version, latest: 3, missing })).toThrow(
      'schema 3 without 2',
    );
    expect(await migrate(late.sql, undefined, all)).toBe(2);
    const rows = await late.sql`SELECT made_by FROM trail`;
    expect(rows.map(({ made_by }) => made_by)).toEqual([3, 2, 4]);
    expect(() => assertCurrent({ ...state, version: 4, missing: [] })).not.toThrow();
  } finally {
    await late.drop();
  }
});

test('what an upgrade did that is taken back is hidden from the version of before only', async () => {
  const step = (version: number, sql: string) => ({ version, name: `step${version}`, sql });
  const before = [step(1, 'CREATE TABLE trail (made_by int)')];
  const after = [...before, step(2, 'INSERT INTO trail VALUES (2)')];
  const broken = [...after, step(3, 'INSERT INTO trail VALUES (3); SELECT 1 / 0')];
  const database = await testDatabase({ migrated: false });
  const trail = async () =>
    (await database.sql`SELECT made_by FROM trail`).map(({ made_by }) => made_by);
  try {
    await migrate(database.sql, undefined, before);
    await expect(migrate(database.sql, undefined, broken)).rejects.toThrow('division by zero');
    // Of the step that failed half-way nothing stays; the one before it does.
    expect(await trail()).toEqual([2]);
    await expect(migrate(database.sql, undefined, before)).rejects.toThrow('newer than 1');
    expect(await setAside(database.sql, 1)).toBe(1);
    const old = await schemaState(database.sql, before);
    expect(old).toMatchObject({ version: 1, missing: [] });
    expect(() => assertCurrent(old)).not.toThrow();
    expect(await migrate(database.sql, undefined, before)).toBe(0);
    expect(await schemaState(database.sql, after)).toMatchObject({ version: 2, missing: [] });
    const mended = [...after, step(3, 'INSERT INTO trail VALUES (3)')];
    expect(await migrate(database.sql, undefined, mended)).toBe(1);
    expect(await trail()).toEqual([2, 3]);
    await expect(migrate(database.sql, undefined, before)).rejects.toThrow('newer than 1');
  } finally {
    await database.drop();
  }
});

test('a database of another origin is refused and left alone', async () => {
  const foreign = await testDatabase({ migrated: false });
  try {
    await foreign.sql`CREATE TABLE alembic_version (version_num varchar(32))`;
    await foreign.sql`INSERT INTO alembic_version VALUES ('abc')`;
    await expect(migrate(foreign.sql)).rejects.toThrow('alembic revision abc');
    const [row] = await foreign.sql`SELECT to_regclass('users') AS found`;
    expect(row?.found).toBeNull();
  } finally {
    await foreign.drop();
  }
});

test('a newer schema is refused', async () => {
  await db.sql`INSERT INTO schema_migrations (version, name) VALUES (9999, 'future')`;
  await expect(migrate(db.sql)).rejects.toThrow('newer than');
});
