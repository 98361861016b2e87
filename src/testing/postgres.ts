/**
 * A real PostgreSQL for tests: one server per run, one database per test file.
 *
 * The server is the one named by BACKEND_TEST_POSTGRES (scripts/test.ts starts it for all files),
 * or a private one started on first use and ended with this process.
 */
import { randomUUID } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Sql } from 'postgres';
import postgres from 'postgres';
import { systemClock } from '../common/clock.ts';
import type { Logger } from '../common/logger.ts';
import { systemRandom } from '../common/random.ts';
import { databaseTypes } from '../manager/db/connect.ts';
import { migrate } from '../manager/db/migrate.ts';
import { migrations } from '../manager/db/migrations/index.ts';
import { ensurePostgresBinaries } from '../standalone/postgres/binaries.ts';
import { type PostgresServer, startPostgres } from '../standalone/postgres/server.ts';
import { hireJanitor } from './janitor.ts';

export interface TestDatabase {
  readonly url: string;
  readonly sql: Sql;
  drop(): Promise<void>;
}

/**
 * A server for throw-away data under the system's temporary folder.
 * @param options.durable writes as safely as for data that is kept; for measurements.
 * @param options.settings of the server, in addition.
 */
export async function startTestPostgres(
  options: { durable?: boolean; settings?: Readonly<Record<string, string>> } = {},
): Promise<PostgresServer & { discard(): Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), 'bai-pg-'));
  chmodSync(folder, 0o755);
  const binaries = await ensurePostgresBinaries(
    join(tmpdir(), `bai-runtime-${process.getuid?.() ?? 0}`),
  );
  const server = await startPostgres({
    binaries,
    dataDir: join(folder, 'data'),
    port: 0,
    clock: systemClock,
    random: systemRandom,
    durable: options.durable ?? false,
    maxConnections: 200,
    settings: options.settings,
  });
  const janitor = hireJanitor(server.pid, folder, 'QUIT');
  return {
    ...server,
    async discard() {
      await server.stop();
      janitor.dismiss();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

let shared: Promise<string> | undefined;

/** URL of the run's server, without a database name. */
function serverUrl(): Promise<string> {
  shared ??= process.env.BACKEND_TEST_POSTGRES
    ? Promise.resolve(process.env.BACKEND_TEST_POSTGRES)
    : startTestPostgres().then((server) => server.url('').replace(/\/$/, ''));
  return shared;
}

export const silentLogger: Logger = {
  trace() {},
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLogger,
};

const quiet = { onnotice: () => {} };

/**
 * A database of its own for a test file, with all migrations applied unless `migrated` is false.
 * Migrated ones are copies of a template that the first caller makes.
 * @param options.server URL of another server than the run's, without a database name.
 */
export async function testDatabase(
  options: { migrated?: boolean; server?: string } = {},
): Promise<TestDatabase> {
  const server = options.server ?? (await serverUrl());
  const name = `test_${randomUUID().replaceAll('-', '').slice(0, 16)}`;
  const admin = postgres(`${server}/postgres`, { max: 1, ...quiet });
  try {
    if (options.migrated === false) await admin.unsafe(`create database ${name}`);
    else await createFromTemplate(admin, server, name);
  } finally {
    await admin.end();
  }
  const url = `${server}/${name}`;
  const sql: Sql = postgres(url, { max: 10, types: databaseTypes, ...quiet });
  return {
    url,
    sql,
    async drop() {
      await sql.end({ timeout: 5 });
      const dropper = postgres(`${server}/postgres`, { max: 1, ...quiet });
      await dropper.unsafe(`drop database if exists ${name} with (force)`);
      await dropper.end();
    },
  };
}

/** Serialises template creation and copying across the processes of a run. */
const TEMPLATE_LOCK = 7_311_001;

async function createFromTemplate(admin: Sql, server: string, name: string): Promise<void> {
  const template = `template_${Bun.hash(JSON.stringify(migrations)).toString(16)}`;
  await admin`select pg_advisory_lock(${TEMPLATE_LOCK})`;
  const [existing] = await admin`select 1 from pg_database where datname = ${template}`;
  if (!existing) {
    await admin.unsafe(`create database ${template}`);
    const sql = postgres(`${server}/${template}`, { max: 1, ...quiet });
    try {
      await migrate(sql, silentLogger);
    } catch (error) {
      await sql.end();
      await admin.unsafe(`drop database ${template}`);
      throw error;
    }
    await sql.end();
  }
  await admin.unsafe(`create database ${name} template ${template} strategy file_copy`);
  await admin`select pg_advisory_unlock(${TEMPLATE_LOCK})`;
}
