/** Of several servers the one that takes writes is used, and an outage of all uses up no connections. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { UserError } from '../../common/errors.ts';
import { silentLogger } from '../../logging/logger.ts';
import {
  type ReplicatedPostgres,
  startReplicatedPostgres,
} from '../../testing/faults/replicated-postgres.ts';
import { freePort } from '../../testing/services.ts';
import { until } from '../../testing/until.ts';
import { connectDatabase, singleConnection } from './connect.ts';

const TIMEOUT_MS = 180_000;
const CONNECTIONS = 3;
let database: ReplicatedPostgres;

beforeAll(async () => {
  database = await startReplicatedPostgres('backend');
}, TIMEOUT_MS);
afterAll(() => database?.stop(), TIMEOUT_MS);

const placeOf = ({ port }: { readonly port: number }) => ({ host: '127.0.0.1', port });

async function connect() {
  const { primary, standby } = database;
  return connectDatabase(
    {
      // A standby first, and one where nothing is.
      ...placeOf(standby),
      others: [placeOf({ port: await freePort() }), placeOf(primary)],
      ...{ database: 'backend', user: primary.user, password: primary.password },
      maxConnections: CONNECTIONS,
    },
    silentLogger,
  );
}

test(
  'writes go to the primary, through its loss and the promotion of the standby',
  async () => {
    await using opened = new AsyncDisposableStack();
    const sql = await connect();
    opened.defer(() => sql.end({ timeout: 2 }));
    const single = singleConnection(sql);
    opened.defer(() => single.end({ timeout: 2 }));
    await sql`CREATE TABLE words (word text PRIMARY KEY)`;
    await single`INSERT INTO words VALUES ('before')`;
    await database.killPrimary();
    // Many more than the pool has connections: none of them is lost by being refused.
    for (let count = 0; count < CONNECTIONS * 4; count += 1) {
      await expect(sql`INSERT INTO words VALUES ('between')`.execute()).rejects.toThrow();
    }
    await database.promote();
    await until(
      () =>
        sql`INSERT INTO words VALUES ('after') ON CONFLICT DO NOTHING`.then(
          () => true,
          () => false,
        ),
      'the standby takes writes',
      60_000,
    );
    await until(
      () =>
        single`SELECT 1`.then(
          () => true,
          () => false,
        ),
      'the connection for the lock is back, too',
      60_000,
    );
    const words = await sql<{ word: string }[]>`SELECT word FROM words ORDER BY word`;
    expect(words.map(({ word }) => word)).toEqual(['after', 'before']);
    // All connections of the pool work at the same time.
    await Promise.all(Array.from({ length: CONNECTIONS }, () => sql`SELECT pg_sleep(0.01)`));
  },
  TIMEOUT_MS,
);

test('servers that are all away are named, each with why', async () => {
  const [one, two] = [await freePort(), await freePort()];
  const error = await connectDatabase(
    { ...placeOf({ port: one }), others: [placeOf({ port: two })], database: 'x', user: 'x' },
    silentLogger,
  ).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(UserError);
  expect(String(error)).toContain(`127.0.0.1:${one},127.0.0.1:${two}/x`);
  expect(String(error)).toContain(`no server takes writes (127.0.0.1:${one}: `);
});
