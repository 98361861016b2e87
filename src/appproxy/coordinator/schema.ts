/** Brings the coordinator's database to the newest schema. */
import type { Sql } from 'postgres';
import { UserError } from '../../common/errors.ts';
import type { Logger } from '../../common/logger.ts';
import type { Db } from '../../stores/sql/connect.ts';
import {
  appliedVersions,
  applyMigrations,
  createHistory,
  type Migration,
  setAsideMigrations,
} from '../../stores/sql/migrate.ts';
import core from './migrations/0001_core.sql' with { type: 'text' };

const MIGRATIONS: readonly Migration[] = [{ version: 1, name: 'core', sql: core }];
const LATEST = MIGRATIONS.at(-1)?.version ?? 0;
/** Any fixed number: names the lock that migrating processes queue for. */
const LOCK = 7_120_260_405;

/** The version that the database has, and the newest one that this program knows. */
export const schemaVersions = async (sql: Db): Promise<{ applied: number; latest: number }> => ({
  applied: Math.max(0, ...(await appliedVersions(sql, MIGRATIONS))),
  latest: LATEST,
});

async function begin(tx: Db): Promise<void> {
  const version = Math.max(0, ...(await appliedVersions(tx, MIGRATIONS)));
  if (version > LATEST) {
    throw new UserError(
      `The app proxy's database has schema ${version}, newer than ${LATEST}, which this version knows.`,
      { hint: 'Run the version of backend.ai that wrote it, or a later one.' },
    );
  }
  if (version > 0) return;
  const [foreign] = await tx<{ found: boolean }[]>`
    SELECT to_regclass('alembic_version') IS NOT NULL
        OR to_regclass('schema_migrations') IS NOT NULL AS found`;
  if (foreign?.found) {
    throw new UserError('The database already holds a schema of another origin.', {
      hint: 'Name an empty database in the [db] section of app-proxy-coordinator.toml.',
    });
  }
  await createHistory(tx);
}

/** @throws UserError when the schema is newer than this program or not the app proxy's. */
export const migrateCoordinator = (sql: Sql, log?: Logger): Promise<number> =>
  applyMigrations(sql, { migrations: MIGRATIONS, lock: LOCK, begin, log });

/** Lets a program of before, which knows the schema up to a version, run on this one. */
export const setAside = (sql: Sql, newest: number): Promise<number> =>
  setAsideMigrations(sql, { newest, lock: LOCK });
