/** Leadership over faults of the database: it is lost with PostgreSQL and regained with it. */
import { expect, test } from 'bun:test';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../common/clock.ts';
import { systemRandom } from '../../common/random.ts';
import { ensurePostgresBinaries } from '../../standalone/postgres/binaries.ts';
import { supervisePostgres } from '../../standalone/supervisor.ts';
import { silentLog } from '../../testing/manager.ts';
import { testDatabase } from '../../testing/postgres.ts';
import { until } from '../../testing/until.ts';
import { connectDatabase } from '../db/connect.ts';
import { startElection } from './leader.ts';

const KILLS = 2;
const POOL = 3;
const DEADLINE_MS = 20_000;

test('a pool that is busy and breaks does not keep a manager from leading', async () => {
  const db = await testDatabase({ migrated: false });
  const sql = await connectDatabase({ url: db.url, maxConnections: 1 }, silentLog);
  const busy = sql`SELECT pg_sleep(60)`.execute();
  const isBusy = async () => {
    const found = await db.sql`SELECT FROM pg_stat_activity
      WHERE datname = current_database() AND query LIKE 'SELECT pg_sleep%'`;
    return found.length === 1;
  };
  await until(isBusy, 'the only connection is busy');
  const election = startElection({ sql, clock: systemClock, log: silentLog, onChange: () => {} });
  const isCut = async () => {
    const cut = await db.sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND query LIKE 'SELECT pg_sleep%'`;
    return cut.length === 1;
  };
  await until(isCut, 'the connection is cut');
  expect((await Promise.allSettled([busy]))[0]?.status).toBe('rejected');
  await until(() => election.isLeader(), 'it leads');
  await election.stop();
  await sql.end({ timeout: 1 });
  await db.drop();
});

test('a leader leads again after every crash of PostgreSQL, whatever else the pool is doing', async () => {
  await using undo = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'bai-leader-'));
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  await chmod(folder, 0o755);
  const binaries = await ensurePostgresBinaries(
    join(tmpdir(), `bai-runtime-${process.getuid?.() ?? 0}`),
  );
  const options = {
    ...{ binaries, dataDir: join(folder, 'data'), port: 0, durable: true, maxConnections: 20 },
    ...{ clock: systemClock, random: systemRandom },
  };
  const database = await supervisePostgres(options, systemClock, silentLog);
  undo.defer(() => database.stop());
  const sql = await connectDatabase(
    { url: database.server.url('postgres'), maxConnections: POOL },
    silentLog,
  );
  undo.defer(() => sql.end({ timeout: 1 }));
  const election = startElection({
    ...{ sql, clock: systemClock, log: silentLog },
    onChange: () => {},
  });
  undo.defer(() => election.stop());
  const serverPid = async () =>
    Number((await readFile(join(folder, 'data/postmaster.pid'), 'utf8')).split('\n')[0]);
  /** Whether it leads, and the server thinks so too. */
  const leads = async () => {
    if (!election.isLeader()) return false;
    const held = await sql`SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted`;
    return held.length === 1;
  };

  await until(leads, 'it leads', DEADLINE_MS);
  for (let kill = 1; kill <= KILLS; kill += 1) {
    const pid = await serverPid();
    process.kill(pid, 'SIGKILL');
    // Requests go on arriving, so that each connection of the pool tries to connect.
    const isBack = async () => {
      await Promise.allSettled(Array.from({ length: POOL * 4 }, () => sql`SELECT 1`.execute()));
      return (await serverPid().catch(() => pid)) !== pid;
    };
    await until(isBack, 'PostgreSQL is back', DEADLINE_MS);
    await until(() => leads().catch(() => false), `it leads after crash ${kill}`, DEADLINE_MS);
  }
}, 90_000);
