/** Migration 21 on a database in which a user has several permissions on a folder. */
import { expect, test } from 'bun:test';
import { testDatabase } from '../../testing/postgres.ts';
import { migrate } from './migrate.ts';
import { migrations } from './migrations/index.ts';

test('of several permissions the lowest is kept, and no more can be added', async () => {
  const db = await testDatabase({ migrated: false });
  try {
    const { sql } = db;
    const earlier = migrations.filter(({ version }) => version !== 21);
    await migrate(sql, undefined, earlier);
    const ids = { folder: crypto.randomUUID(), one: crypto.randomUUID(), two: crypto.randomUUID() };
    const add = (user: string, permission: string | null) => sql`
      INSERT INTO vfolder_permissions (permission, vfolder, "user")
      VALUES (${permission}, ${ids.folder}, ${user})`;
    // Neither the folder nor the users matter here.
    await sql`ALTER TABLE vfolder_permissions DISABLE TRIGGER ALL`;
    for (const permission of ['wd', 'ro', 'rw', 'ro']) await add(ids.one, permission);
    await add(ids.two, 'rw');
    await migrate(sql);
    const left = await sql`SELECT "user", permission FROM vfolder_permissions ORDER BY permission`;
    expect([...left]).toEqual([
      { user: ids.one, permission: 'ro' },
      { user: ids.two, permission: 'rw' },
    ]);
    await expect(add(ids.two, 'ro').execute()).rejects.toThrow('uq_vfolder_permissions');
  } finally {
    await db.drop();
  }
});
