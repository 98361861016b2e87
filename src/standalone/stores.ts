/**
 * Where the parts of a cluster keep things: its own PostgreSQL with the configuration in a table and live
 * state in memory; or, once its data was moved, PostgreSQL, etcd and Redis elsewhere.
 */
import { join } from 'node:path';
import type { Sql } from 'postgres';
import type { HostPort } from '../common/config/values.ts';
import { UserError } from '../common/errors.ts';
import { liveKeyPrefix } from '../manager/cli/context.ts';
import { migrate } from '../manager/db/migrate.ts';
import type { ConfigStore } from '../stores/config/port.ts';
import { openPostgresConfigStore } from '../stores/config/postgres.ts';
import { createMemoryLiveStore } from '../stores/live/memory.ts';
import type { LiveStore } from '../stores/live/port.ts';
import { readRedisAddress } from '../stores/live/settings.ts';
import { connectDatabase, type DatabaseAddress } from '../stores/sql/connect.ts';
import type { ClusterOptions } from './cluster.ts';
import { postgresPlace } from './place.ts';
import { ensurePostgresBinaries } from './postgres/binaries.ts';
import { fullDiskOr } from './postgres/server.ts';
import { createDatabase } from './postgres/store.ts';
import { appProxyDatabase, configPath, type Place, readPlace } from './servers/place.ts';
import { contents } from './servers/store.ts';
import { supervisePostgres } from './supervisor.ts';

const DATABASE = 'backend';
const APP_PROXY_DATABASE = 'appproxy';
const MAX_CONNECTIONS = 30;
/** Each connection has to get to know each statement once, and takes 5 MB. */
const POOL_SIZE = 8;

export interface ClusterStores {
  /** The manager's pool. */
  readonly sql: Sql;
  /** The app proxy's database, which exists. */
  readonly appProxyDatabase: DatabaseAddress;
  readonly config: ConfigStore;
  readonly live: LiveStore;
  /** Where sign-ins at the web server are. */
  readonly webSessions: LiveStore;
  /** Where agents of other machines reach the manager; null: nowhere. */
  readonly internalAddr: HostPort | null;
  /** Of the cluster's own PostgreSQL; null when it uses another one. */
  readonly postgresPort: number | null;
  /** Rejects when the cluster's own PostgreSQL cannot be kept running. */
  readonly lost: Promise<never>;
}

type StoreOptions = Pick<ClusterOptions, 'folder' | 'clock' | 'random' | 'log' | 'progress'>;

export interface OwnPostgres {
  /** A pool on the manager's database, whose tables are up to date. */
  readonly sql: Sql;
  readonly port: number;
  /** Of a database of the server. */
  readonly url: (name: string) => string;
  readonly lost: Promise<never>;
}

/**
 * Starts the cluster's own PostgreSQL, or adopts the one that runs, with both databases.
 * @param teardown gets what ends it again.
 */
export async function openOwnPostgres(
  { folder, clock, random, log, progress }: StoreOptions,
  wantedPort: number,
  teardown: AsyncDisposableStack,
): Promise<OwnPostgres> {
  const place = await postgresPlace(folder, random);
  progress('Starting PostgreSQL');
  const binaries = await ensurePostgresBinaries(place.runtimeDir);
  const dataDir = join(place.folder, 'data');
  const postgres = await supervisePostgres(
    {
      ...{ binaries, dataDir },
      port: wantedPort,
      clock,
      random,
      durable: true,
      maxConnections: MAX_CONNECTIONS,
    },
    clock,
    log,
  );
  teardown.defer(() => postgres.stop());
  const { server, lost } = postgres;
  const url = (name: string) => server.url(name);
  try {
    for (const name of [DATABASE, APP_PROXY_DATABASE]) {
      await createDatabase({ url: url('postgres') }, name, log);
    }
    const address = { url: url(DATABASE), applicationName: 'backend.ai' };
    const sql = await connectDatabase({ ...address, maxConnections: POOL_SIZE }, log);
    teardown.defer(() => sql.end({ timeout: 5 }));
    await migrate(sql, log);
    return { sql, port: server.port, url, lost };
  } catch (error) {
    throw await fullDiskOr(dataDir, error);
  }
}

async function ownStores(
  options: StoreOptions,
  wantedPort: number,
  teardown: AsyncDisposableStack,
): Promise<ClusterStores> {
  const { clock, random, log } = options;
  const { sql, port, url, lost } = await openOwnPostgres(options, wantedPort, teardown);
  const config = await openPostgresConfigStore({ sql, log, clock, random });
  teardown.defer(() => config.close());
  const live = createMemoryLiveStore({ clock });
  teardown.defer(() => live.close());
  return {
    ...{ sql, config, live, webSessions: live, internalAddr: null, postgresPort: port, lost },
    appProxyDatabase: { url: url(APP_PROXY_DATABASE) },
  };
}

async function serverStores(
  { db, etcd, internalAddr }: Place,
  { folder, clock, log, progress }: StoreOptions,
  teardown: AsyncDisposableStack,
): Promise<ClusterStores> {
  // Most clusters need neither.
  const [{ openEtcdConfigStore }, { openRedisLiveStore }] = await Promise.all([
    import('../stores/config/etcd.ts'),
    import('../stores/live/redis.ts'),
  ]);
  progress(`Using PostgreSQL at ${db.host}:${db.port}`);
  const { host, port, others, name: database, user, password, maxConnections } = db;
  const address = { host, port, others, user, password, configFile: configPath(folder) };
  const sql = await connectDatabase({ ...address, database, maxConnections }, log);
  teardown.defer(() => sql.end({ timeout: 5 }));
  if ((await contents(sql)).users === 0) {
    throw new UserError(
      `The database ${database} at ${host}:${port} has lost this cluster's data.`,
      {
        hint: `Name the right one in ${configPath(folder)}, or restore a backup: backend.ai mgr restore FILE -f ${configPath(folder)}`,
      },
    );
  }
  await migrate(sql, log);
  const config = await openEtcdConfigStore({ ...etcd, log, clock });
  teardown.defer(() => config.close());
  const redis = await readRedisAddress(config);
  const openLive = async (keyPrefix: string) => {
    const live = await openRedisLiveStore({ ...redis, keyPrefix, log, clock });
    teardown.defer(() => live.close());
    return live;
  };
  return {
    ...{ sql, config, internalAddr, postgresPort: null, lost: new Promise<never>(() => {}) },
    live: await openLive(liveKeyPrefix(etcd.namespace)),
    // Web servers elsewhere look for sign-ins there.
    webSessions: await openLive(''),
    appProxyDatabase: { ...address, database: appProxyDatabase(database) },
  };
}

/**
 * Opens what the cluster uses. @param wantedPort of its own PostgreSQL.
 * @throws UserError when a server is away or holds something else.
 */
export async function openStores(
  options: StoreOptions,
  wantedPort: number,
  teardown: AsyncDisposableStack,
): Promise<ClusterStores> {
  const place = readPlace(options.folder);
  return place === null
    ? ownStores(options, wantedPort, teardown)
    : serverStores(place, options, teardown);
}
