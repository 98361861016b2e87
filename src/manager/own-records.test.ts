import { afterAll, beforeAll, expect, test } from 'bun:test';
import { type TestManagerContext, testManagerContext } from '../testing/manager.ts';

let manager: TestManagerContext;
beforeAll(async () => {
  manager = await testManagerContext();
});
afterAll(() => manager.close());

test('of many who ask at once, each gets its own, and who is gone gets nothing', async () => {
  const { own } = manager.ctx;
  const { user, superadmin } = manager.accounts;
  const gone = { accessKey: 'AKIAGONE', userId: crypto.randomUUID() };
  const callers = [user, gone, superadmin, user];
  const keypairs = await Promise.all(callers.map((caller) => own.keypair(caller)));
  expect(keypairs.map((found) => found?.access_key ?? null)).toEqual([
    user.accessKey,
    null,
    superadmin.accessKey,
    user.accessKey,
  ]);
  const users = await Promise.all(callers.map((caller) => own.user(caller)));
  expect(users.map((found) => found?.email ?? null)).toEqual([
    user.email,
    null,
    superadmin.email,
    user.email,
  ]);
});

test('a change is seen by who asks after it, whatever is being read', async () => {
  const { own, sql } = manager.ctx;
  const { user } = manager.accounts;
  for (const name of ['One', 'Two', 'Three']) {
    const earlier = own.user(user);
    await sql`UPDATE users SET full_name = ${name} WHERE uuid = ${user.userId}`;
    expect((await own.user(user))?.full_name).toBe(name);
    await earlier;
  }
});

test('a failure reaches everybody who asked, and the next try goes on', async () => {
  const { own, sql } = manager.ctx;
  const { user } = manager.accounts;
  await sql`ALTER TABLE keypairs RENAME COLUMN rate_limit TO hidden`;
  try {
    const outcomes = await Promise.allSettled([own.keypair(user), own.keypair(user)]);
    for (const outcome of outcomes) {
      const failure = outcome.status === 'rejected' ? String(outcome.reason) : 'none';
      expect(failure).toContain('rate_limit');
    }
  } finally {
    await sql`ALTER TABLE keypairs RENAME COLUMN hidden TO rate_limit`;
  }
  expect((await own.keypair(user))?.access_key).toBe(user.accessKey);
});
