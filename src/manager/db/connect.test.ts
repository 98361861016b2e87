/** The connection: what the driver's values look like here, and what is said when it fails. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import type { Sql } from 'postgres';
import { UserError } from '../../common/errors.ts';
import { silentLogger } from '../../logging/logger.ts';
import { type TestDatabase, testDatabase } from '../../testing/postgres.ts';
import { connectDatabase, describeAddress } from './connect.ts';

let db: TestDatabase;
let sql: Sql;
beforeAll(async () => {
  db = await testDatabase();
  sql = await connectDatabase({ url: db.url, maxConnections: 2 }, silentLogger);
});
afterAll(async () => {
  await sql.end();
  await db.drop();
});

test('values arrive as promised', async () => {
  const [row] = await sql`
    SELECT 1.50::numeric(24,6) AS amount, 9007199254740991::bigint AS size, now() AS time,
           '{"a": [1]}'::jsonb AS jsonb, '{"a": 1}'::json AS json, '\\x90'::bytea AS bytes,
           ARRAY['a','b']::varchar[] AS names, '10.0.0.0/8'::cidr AS network`;
  expect(row).toMatchObject({
    amount: '1.500000',
    size: Number.MAX_SAFE_INTEGER,
    jsonb: { a: [1] },
    json: { a: 1 },
    names: ['a', 'b'],
    network: '10.0.0.0/8',
  });
  expect(row?.time).toBeInstanceOf(Date);
  expect(row?.bytes).toBeInstanceOf(Uint8Array);
});

test('the pool says who it is', async () => {
  const [row] =
    await sql`SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()`;
  expect(row?.application_name).toBe('backend.ai-manager');
});

test('no statement runs for ever, and no transaction is left open for ever', async () => {
  const [row] = await sql`
    SELECT current_setting('statement_timeout') AS statement,
           current_setting('idle_in_transaction_session_timeout') AS idle`;
  expect(row).toEqual({ statement: '1min', idle: '2min' });
});

describe('failures name the place and what to do', () => {
  const failure = async (change: (url: URL) => void): Promise<UserError> => {
    const url = new URL(db.url);
    change(url);
    const error = await connectDatabase({ url: url.href, connectTimeoutSec: 1 }, silentLogger).then(
      () => null,
      (reason: unknown) => reason,
    );
    if (!(error instanceof UserError)) throw new Error(`expected a UserError, got ${error}`);
    expect(error.message).not.toContain('hush');
    return error;
  };

  test('nobody listens', async () => {
    const error = await failure((url) => {
      url.port = '1';
      url.password = 'hush';
    });
    expect(error.message).toContain(':1/');
    expect(error.hint).toContain('Start PostgreSQL');
  });

  test('no such database', async () => {
    const error = await failure((url) => {
      url.pathname = '/no_such_database';
    });
    expect(error.message).toContain('/no_such_database');
    expect(error.hint).toContain('Create the database');
  });

  test('the server takes the connection and says nothing', async () => {
    const mute = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data() {} } });
    try {
      const error = await failure((url) => {
        url.hostname = '127.0.0.1';
        url.port = String(mute.port);
      });
      expect(error.hint).toContain('[db]');
    } finally {
      mute.stop(true);
    }
  });
});

test('addresses are described without their password', () => {
  expect(describeAddress({ url: 'postgres://u:hush@h:1/d' })).toBe('h:1/d');
  expect(describeAddress({ url: 'not a url' })).toBe('the given URL');
  expect(describeAddress({ host: 'h', port: 1, database: 'd', user: 'u', password: 'x' })).toBe(
    'h:1/d',
  );
});
