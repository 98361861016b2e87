/**
 * Moves a stopped cluster's data from its own PostgreSQL to servers: by a backup and its restoration, so
 * nothing of the cluster changes until the last step, which is writing down where its data is now.
 */
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import type { Sql } from 'postgres';
import { migrateCoordinator } from '../../appproxy/coordinator/schema.ts';
import type { Clock } from '../../common/clock.ts';
import { UserError } from '../../common/errors.ts';
import { findLocalCluster } from '../../common/local-cluster.ts';
import type { Logger } from '../../common/logger.ts';
import { type Random, randomString } from '../../common/random.ts';
import { loadOrCreateKeys } from '../../common/rpc/keys.ts';
import type { Manifest } from '../../manager/backup/manifest.ts';
import { backup, type Cluster, restore } from '../../manager/backup/service.ts';
import {
  copyIn,
  copyOut,
  inEmptyTables,
  inSnapshot,
  selectTables,
} from '../../manager/backup/store.ts';
import { migrate } from '../../manager/db/migrate.ts';
import { openEtcdConfigStore } from '../../stores/config/etcd.ts';
import type { ConfigStore } from '../../stores/config/port.ts';
import { openPostgresConfigStore } from '../../stores/config/postgres.ts';
import { connectDatabase } from '../../stores/sql/connect.ts';
import { lockFolder, lockOwner } from '../lock.ts';
import { postgresPlace } from '../place.ts';
import { createDatabase } from '../postgres/store.ts';
import { type OwnPostgres, openOwnPostgres } from '../stores.ts';
import { checkServers, ORIGIN_KEY, type Problem } from './check.ts';
import {
  appProxyDatabase,
  databaseTitle,
  isMoved,
  leavePlace,
  managerId,
  managerKeyPath,
  readPlace,
  type Servers,
  usePlace,
} from './place.ts';
import { countRows } from './store.ts';

const COPY_CONNECTIONS = 4;
const ORIGIN_LENGTH = 20;
const OTHER_PROCESS_MS = 600_000;
const POLL_MS = 100;

export interface MoveOptions {
  /** The cluster's folder. */
  readonly folder: string;
  readonly envId: string;
  readonly servers: Servers;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly progress: (message: string) => void;
}

const workFolder = (folder: string): string => join(folder, 'move');
const originPath = (folder: string): string => join(workFolder(folder), 'origin');

/** The cluster's id of `ORIGIN_KEY`; null when nothing was ever copied from it. */
export async function readOrigin(folder: string): Promise<string | null> {
  if (!existsSync(originPath(folder))) return null;
  return (await readFile(originPath(folder), 'utf8')).trim();
}

async function makeOrigin(folder: string, random: Random): Promise<string> {
  const known = await readOrigin(folder);
  if (known !== null) return known;
  const fresh = randomString(random, ORIGIN_LENGTH);
  await mkdir(workFolder(folder), { recursive: true, mode: 0o700 });
  await writeFile(`${originPath(folder)}.new`, `${fresh}\n`, { mode: 0o600 });
  await rename(`${originPath(folder)}.new`, originPath(folder));
  return fresh;
}

const sameServers = (folder: string, { database, etcd }: Servers): boolean => {
  const place = readPlace(folder);
  return (
    place !== null &&
    place.db.host === database.host &&
    place.db.port === database.port &&
    Bun.deepEquals(place.db.others, database.others) &&
    place.db.name === database.database &&
    place.etcd.namespace === etcd.namespace &&
    place.etcd.addrs.join(',') === etcd.addrs.join(',')
  );
};

/**
 * What stands in the way of moving there; nothing when the data is there already.
 * @throws UserError when the cluster's data is on other servers.
 */
export async function problemsOf({
  folder,
  servers,
  log,
}: Pick<MoveOptions, 'folder' | 'servers' | 'log'>): Promise<Problem[]> {
  if (isMoved(folder)) {
    if (sameServers(folder, servers)) return [];
    const place = readPlace(folder);
    const where = place === null ? 'servers' : databaseTitle(place.db, place.db.name);
    throw new UserError(`The cluster's data is at ${where} already.`, {
      hint: 'Move it from there with that server’s own means, and name the new one in manager.toml.',
    });
  }
  return checkServers(servers, { origin: await readOrigin(folder), log });
}

const open = (servers: Servers, name: string, log: Logger) =>
  connectDatabase({ ...servers.database, database: name, maxConnections: COPY_CONNECTIONS }, log);

/** Makes the databases that are missing. */
async function makeDatabases({ servers, log }: MoveOptions): Promise<void> {
  const { database } = servers;
  for (const name of [database.database, appProxyDatabase(database.database)]) {
    // Where it exists the role may have no right to others.
    const existing = await open(servers, name, log).catch(() => null);
    if (existing !== null) await existing.end({ timeout: 5 });
    else await createDatabase({ ...database, database: 'postgres' }, name, log);
  }
}

/** Marks what is written from now on as this cluster's, before anything of it is there. */
async function markAsOurs(
  sql: Sql,
  etcd: ConfigStore,
  origin: string,
  { log, clock, random }: MoveOptions,
) {
  const own = await openPostgresConfigStore({ sql, log, clock, random });
  try {
    await own.put(ORIGIN_KEY, origin);
  } finally {
    await own.close();
  }
  await etcd.put(ORIGIN_KEY, origin);
}

/** What an earlier copy wrote and the cluster has not any more. */
async function removeStale(etcd: ConfigStore, wanted: ReadonlyMap<string, string>): Promise<void> {
  for (const key of (await etcd.listLasting('')).keys()) {
    if (key !== ORIGIN_KEY && !wanted.has(key)) await etcd.delete(key);
  }
}

/** All rows of one database to another with the same tables. */
async function copyRows(from: Sql, to: Sql): Promise<void> {
  const tables = await selectTables(from);
  await inSnapshot(from, (source) =>
    inEmptyTables(to, [...tables.keys()], async (target) => {
      for (const [table, columns] of tables) {
        const rows = await copyIn(target, table, columns);
        for await (const chunk of await copyOut(source, table, columns)) {
          if (!rows.write(chunk)) await once(rows, 'drain');
        }
        rows.end();
        await finished(rows);
      }
    }),
  );
}

/** @throws UserError naming the first table that has not as many rows as were read. */
async function compare(sql: Sql, { tables }: Manifest): Promise<void> {
  for (const { name, rows } of tables) {
    const count = await countRows(sql, name);
    if (count !== rows) {
      throw new UserError(`Table '${name}' has ${count} rows after copying, and ${rows} before.`, {
        hint: 'Does another program write to that database? The cluster still uses its own.',
      });
    }
  }
}

async function copyAll(
  options: MoveOptions,
  source: OwnPostgres,
  origin: string,
): Promise<Manifest> {
  const { folder, servers, envId, clock, random, log, progress } = options;
  const { database, etcd, redis } = servers;
  await using opened = new AsyncDisposableStack();
  await makeDatabases(options);
  const target = await open(servers, database.database, log);
  opened.defer(() => target.end({ timeout: 5 }));
  progress('Making the tables');
  await migrate(target, log);
  const targetConfig = await openEtcdConfigStore({ ...etcd, log });
  opened.defer(() => targetConfig.close());
  await markAsOurs(target, targetConfig, origin, options);

  progress('Reading the data');
  const config = await openPostgresConfigStore({ sql: source.sql, log, clock, random });
  opened.defer(() => config.close());
  const common = { namespace: etcd.namespace, managerId: managerId(envId), clock, log };
  const from: Cluster = { ...common, sql: source.sql, config };
  const file = join(workFolder(folder), 'data.backup.tar.gz');
  opened.defer(() => rm(file, { force: true }));
  await backup(from, await loadOrCreateKeys(managerKeyPath(folder)), file);

  progress('Writing the data');
  await removeStale(targetConfig, await config.listLasting(''));
  const manifest = await restore({ ...common, sql: target, config: targetConfig }, file, {
    prefer: 'backup',
    replaces: true,
    // The manager's key stays where it is.
    saveKeys: async () => {},
  });
  await targetConfig.putMany(
    new Map(
      'addr' in redis
        ? [
            ['config/redis/addr', redis.addr],
            ['config/redis/password', redis.password ?? ''],
          ]
        : [
            ['config/redis/sentinel', redis.sentinels.join(',')],
            ['config/redis/service_name', redis.serviceName],
            ['config/redis/sentinel_password', redis.sentinelPassword ?? ''],
            ['config/redis/password', redis.password ?? ''],
          ],
    ),
  );

  const [appProxyFrom, appProxyTo] = await Promise.all([
    connectDatabase({ url: source.url('appproxy'), maxConnections: COPY_CONNECTIONS }, log),
    open(servers, appProxyDatabase(database.database), log),
  ]);
  opened.defer(async () => {
    await Promise.all([appProxyFrom, appProxyTo].map((sql) => sql.end({ timeout: 5 })));
  });
  await migrateCoordinator(appProxyFrom, log);
  await migrateCoordinator(appProxyTo, log);
  await copyRows(appProxyFrom, appProxyTo);

  progress('Comparing');
  await compare(target, manifest);
  return manifest;
}

/**
 * Waits for a process that starts or stops the cluster, or copies like this one: that of an installer that
 * was killed goes on. Nobody waits for a cluster that runs.
 */
async function otherProcessLeft({ folder, clock, progress }: MoveOptions): Promise<void> {
  const deadlineMs = clock.monotonicMs() + OTHER_PROCESS_MS;
  for (let told = false; lockOwner(folder) !== null; told = true) {
    if (findLocalCluster(folder) !== null || clock.monotonicMs() > deadlineMs) return;
    if (!told) progress(`Waiting for process ${lockOwner(folder)}, which has the cluster's folder`);
    await clock.sleep(POLL_MS);
  }
}

export type MoveResult =
  | { readonly state: 'moved'; readonly rows: number }
  | { readonly state: 'was moved' };

/**
 * Copies everything and lets the cluster use it from its next start. Its own data stays as it is. Killed
 * at any moment it can be run again; until the very last moment the cluster uses its own data.
 * @throws UserError when the cluster runs, or the servers cannot take its data.
 */
export async function moveData(options: MoveOptions): Promise<MoveResult> {
  const { folder, envId, servers, clock, random, log, progress } = options;
  if (!existsSync(join((await postgresPlace(folder, random)).folder, 'data')) && !isMoved(folder)) {
    throw new UserError(`There is no cluster's data in ${folder}.`, {
      hint: 'Name it with --env-id; `backend.ai up` makes one.',
    });
  }
  await otherProcessLeft(options);
  const lock = lockFolder(folder);
  try {
    const problems = await problemsOf(options);
    if (problems.length > 0) throw refusal(problems);
    if (isMoved(folder)) return { state: 'was moved' };
    const origin = await makeOrigin(folder, random);
    await using opened = new AsyncDisposableStack();
    const source = await openOwnPostgres({ folder, clock, random, log, progress }, 0, opened);
    const manifest = await copyAll(options, source, origin);
    await usePlace(folder, envId, servers);
    return { state: 'moved', rows: manifest.tables.reduce((sum, { rows }) => sum + rows, 0) };
  } finally {
    lock.release();
  }
}

/** One error out of everything that was found. */
export const refusal = (problems: readonly Problem[]): UserError =>
  new UserError(problems.map(({ problem }) => problem).join('\n'), {
    hint: problems.map(({ remedy }) => remedy).join('\n'),
  });

/**
 * Lets the cluster use its own PostgreSQL again, as it was when its data was moved.
 * @param wasUsed whether what is on the servers is worth keeping: then no later move replaces it.
 * @returns the file that named the servers, kept aside.
 * @throws UserError when it runs, was not moved, or its own data was deleted.
 */
export async function moveBack({
  folder,
  random,
  wasUsed,
}: Pick<MoveOptions, 'folder' | 'random'> & { readonly wasUsed: boolean }): Promise<string> {
  const lock = lockFolder(folder);
  try {
    if (!isMoved(folder)) throw notMoved(folder);
    if (!existsSync(join((await postgresPlace(folder, random)).folder, 'data'))) {
      throw new UserError(
        `The data that the cluster in ${folder} once had of its own was deleted.`,
        {
          hint: 'It can only go on with the servers that its manager.toml names.',
        },
      );
    }
    // The data there is nobody's that moves from here, any more.
    if (wasUsed) await rm(originPath(folder), { force: true });
    return await leavePlace(folder);
  } finally {
    lock.release();
  }
}

/** Deletes the data that a moved cluster does not use any more. @returns whether there was any. */
export async function forgetOwnData({
  folder,
  random,
}: Pick<MoveOptions, 'folder' | 'random'>): Promise<boolean> {
  if (!isMoved(folder)) throw notMoved(folder);
  const { folder: place } = await postgresPlace(folder, random);
  const data = join(place, 'data');
  const wasThere = existsSync(data);
  // Away in one step: what is deleted in part must not be gone back to.
  if (wasThere) await rename(data, `${data}.forgotten`);
  await rm(place, { recursive: true, force: true });
  await rm(workFolder(folder), { recursive: true, force: true });
  return wasThere;
}

const notMoved = (folder: string): UserError =>
  new UserError(`The cluster in ${folder} has its data in its own PostgreSQL.`, {
    hint: 'Move it with: backend.ai servers move --postgres-addr … --redis-addr … --etcd-addr …',
  });
