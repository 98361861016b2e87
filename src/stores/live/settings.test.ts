/** Where Redis is, as the configuration store says. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test';
import { UserError } from '../../common/errors.ts';
import { type TestDatabase, testDatabase } from '../../testing/postgres.ts';
import type { ConfigStore } from '../config/port.ts';
import { openPostgresConfigStore } from '../config/postgres.ts';
import { readRedisAddress } from './settings.ts';

let db: TestDatabase;
let config: ConfigStore;
beforeAll(async () => {
  db = await testDatabase();
  config = await openPostgresConfigStore({ sql: db.sql, log: { warn: () => {} } });
});
beforeEach(async () => {
  await config.deletePrefix('');
});
afterAll(async () => {
  await config?.close();
  await db?.drop();
});

test('address and password', async () => {
  await config.put('config/redis/addr', '127.0.0.1:8111');
  expect(await readRedisAddress(config)).toEqual({ addr: '127.0.0.1:8111', password: undefined });
  await config.put('config/redis/password', 'p');
  expect((await readRedisAddress(config)).password).toBe('p');
});

test('missing or malformed is told with the command to run', async () => {
  const failure = async (): Promise<UserError> => {
    const error = await readRedisAddress(config).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(UserError);
    return error;
  };
  expect((await failure()).hint).toContain('mgr etcd put config/redis/addr');
  await config.put('config/redis/addr', 'localhost');
  expect((await failure()).message).toContain("'localhost'");
});
