/** Whether servers can take a cluster's data: reachable, new enough, and holding nobody else's. */
import type { Sql } from 'postgres';
import { errorMessage } from '../../common/errors.ts';
import type { Logger } from '../../common/logger.ts';
import { etcdVersion, openEtcdConfigStore } from '../../stores/config/etcd.ts';
import { openRedisLiveStore, redisVersion } from '../../stores/live/redis.ts';
import { describePlace } from '../../stores/live/redis-server.ts';
import { connectDatabase } from '../../stores/sql/connect.ts';
import { appProxyDatabase, databaseTitle, type Servers } from './place.ts';
import * as store from './store.ts';

/** The oldest that the product is tried with. */
const OLDEST_POSTGRES = 16;
const OLDEST_REDIS = [7, 0] as const;
const OLDEST_ETCD = [3, 4] as const;
const VERSION_FACTOR = 10_000;
const CHECK_CONNECTIONS = 2;
/** Any database, to ask about others. */
const ANY_DATABASE = 'postgres';

/**
 * Marks data that was copied from a cluster of this machine, with that cluster's own random id: a copy that
 * was not taken into use may be replaced by another one of the same cluster, and by nobody else's.
 */
export const ORIGIN_KEY = 'standalone/moved-from';

export interface Problem {
  readonly problem: string;
  readonly remedy: string;
}

/** @returns whether a version such as `3.5.16` is at least `oldest`. */
function isAtLeast(version: string, [major, minor]: readonly [number, number]): boolean {
  const [have = 0, haveMinor = 0] = version.split('.').map(Number);
  return have > major || (have === major && haveMinor >= minor);
}

export interface CheckOptions {
  /** The cluster's id of `ORIGIN_KEY`; null when nothing was ever copied from it. */
  readonly origin: string | null;
  readonly log: Logger;
}

interface DatabaseState {
  readonly problems: readonly Problem[];
  /** Whether a copy of this very cluster is there, not taken into use. */
  readonly isOurs: boolean;
}

/** @param origin of whose data may be there. */
async function checkDatabase(
  sql: Sql,
  { name, user }: { readonly name: string; readonly user: string },
  origin: string | null,
): Promise<DatabaseState> {
  const where = `Database '${name}'`;
  const refused = (problem: string, remedy: string) => ({
    problems: [{ problem: `${where} ${problem}`, remedy }],
    isOurs: false,
  });
  if (!(await store.mayCreateTables(sql))) {
    return refused(
      `gives '${user}' no right to make tables.`,
      `Make it the owner: ALTER DATABASE "${name}" OWNER TO "${user}"`,
    );
  }
  const encoding = await store.encoding(sql);
  if (encoding !== 'UTF8') {
    return refused(
      `keeps text as ${encoding}.`,
      `Make it anew: CREATE DATABASE "${name}" ENCODING 'UTF8' TEMPLATE template0`,
    );
  }
  const mark = await store.configEntry(sql, ORIGIN_KEY);
  if (mark !== null && mark === origin) return { problems: [], isOurs: true };
  const { tables, users } = await store.contents(sql);
  if (tables === 0) return { problems: [], isOurs: false };
  return refused(
    users > 0
      ? `is that of another cluster: it has ${users} users.`
      : `is not empty: it has ${tables} tables.`,
    'Name another database with --db-name, or empty this one.',
  );
}

/** Of the manager's database and the app proxy's beside it. */
async function checkPostgres(
  servers: Servers,
  { origin, log }: CheckOptions,
): Promise<readonly Problem[]> {
  const { database } = servers;
  const names = [database.database, appProxyDatabase(database.database)];
  const open = (name: string) =>
    connectDatabase({ ...database, database: name, maxConnections: CHECK_CONNECTIONS }, log);
  const server = await open(ANY_DATABASE).catch(() => open(database.database));
  try {
    const version = Math.floor((await store.serverVersion(server)) / VERSION_FACTOR);
    if (version < OLDEST_POSTGRES) {
      return [
        {
          problem: `PostgreSQL at ${databaseTitle(database, database.database)} is version ${version}.`,
          remedy: `Use version ${OLDEST_POSTGRES} or later.`,
        },
      ];
    }
    const { present, mayCreate } = await store.databases(server, names);
    const missing = names.filter((name) => !present.includes(name));
    if (missing.length > 0 && !mayCreate) {
      return missing.map((name) => ({
        problem: `There is no database '${name}', and '${database.user}' may not make one.`,
        remedy: `As its administrator: CREATE DATABASE "${name}" OWNER "${database.user}"`,
      }));
    }
    const problems: Problem[] = [];
    let isOurs = false;
    for (const name of names.filter((candidate) => present.includes(candidate))) {
      // The app proxy's goes with the manager's, which alone is marked and was looked at first.
      if (isOurs) break;
      const own = await open(name);
      try {
        const state = await checkDatabase(own, { name, user: database.user }, origin);
        problems.push(...state.problems);
        isOurs = state.isOurs;
      } finally {
        await own.end({ timeout: 5 });
      }
    }
    return problems;
  } finally {
    await server.end({ timeout: 5 });
  }
}

async function checkEtcd({ etcd }: Servers, { origin, log }: CheckOptions): Promise<Problem[]> {
  const version = await etcdVersion({ ...etcd, log });
  if (!isAtLeast(version, OLDEST_ETCD)) {
    return [
      {
        problem: `etcd at ${etcd.addrs.join(', ')} is version ${version}.`,
        remedy: `Use version ${OLDEST_ETCD.join('.')} or later.`,
      },
    ];
  }
  const config = await openEtcdConfigStore({ ...etcd, log });
  try {
    const entries = await config.listLasting('');
    if (entries.size === 0 || (origin !== null && entries.get(ORIGIN_KEY) === origin)) return [];
    return [
      {
        problem: `etcd holds ${entries.size} settings of another cluster in the namespace '${etcd.namespace}'.`,
        remedy: `Name another one with --etcd-namespace, or empty it: etcdctl del --prefix /sorna/${etcd.namespace}/`,
      },
    ];
  } finally {
    await config.close();
  }
}

async function checkRedis({ redis }: Servers, { log }: CheckOptions): Promise<Problem[]> {
  const version = await redisVersion({ ...redis, log });
  if (!isAtLeast(version, OLDEST_REDIS)) {
    return [
      {
        problem: `Redis at ${describePlace(redis)} is version ${version}.`,
        remedy: `Use version ${OLDEST_REDIS.join('.')} or later, or Valkey.`,
      },
    ];
  }
  const live = await openRedisLiveStore({ ...redis, log });
  await live.ping().finally(() => live.close());
  return [];
}

/** Looks at all three, so that everything that is wrong is told at once. */
export async function checkServers(servers: Servers, options: CheckOptions): Promise<Problem[]> {
  const { database } = servers;
  const parts = [
    {
      run: checkPostgres,
      remedy: `Check --postgres-addr, --db-user and BACKEND_DB_PASSWORD, and that PostgreSQL at ${databaseTitle(database, database.database)} takes connections from here.`,
    },
    {
      run: checkRedis,
      remedy: 'Check --redis-addr (or --redis-sentinel) and BACKEND_REDIS_PASSWORD.',
    },
    { run: checkEtcd, remedy: 'Check --etcd-addr, BACKEND_ETCD_USER and BACKEND_ETCD_PASSWORD.' },
  ];
  const found = await Promise.all(
    parts.map(async ({ run, remedy }) => {
      try {
        return await run(servers, options);
      } catch (error) {
        return [{ problem: errorMessage(error), remedy }];
      }
    }),
  );
  return found.flat();
}
