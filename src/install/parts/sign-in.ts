/** Whether existing servers take the names and passwords that were given, before anything is written. */
import * as v from 'valibot';
import { firstAndOthers, formatHostPort, hostPorts } from '../../common/config/values.ts';
import { errorMessage } from '../../common/errors.ts';
import type { Logger } from '../../common/logger.ts';
import { serverAddresses } from '../layout.ts';
import type { InstallRequest } from '../request.ts';
import type { Check } from '../step.ts';
import { silentServers } from './halfstack.ts';
import type { ServerKind } from './probes.ts';

/** What is wrong is told by the check, in its own words. */
const log: Logger = {
  ...{ trace() {}, debug() {}, info() {}, warn() {}, error() {} },
  child: () => log,
};

async function signInToPostgres(request: InstallRequest): Promise<void> {
  const { connectDatabase } = await import('../../stores/sql/connect.ts');
  const { name, user, password } = request.database;
  const places = firstAndOthers(v.parse(hostPorts, serverAddresses(request).postgres));
  const sql = await connectDatabase(
    { ...places, ...{ database: name, user, password, maxConnections: 1 } },
    log,
  );
  await sql.end({ timeout: 5 });
}

async function signInToRedis(request: InstallRequest): Promise<void> {
  const { redisVersion } = await import('../../stores/live/redis.ts');
  const { existing, passwords } = request;
  const { redis } = serverAddresses(request);
  const password = passwords.redis || undefined;
  if (existing.redisService === undefined) await redisVersion({ addr: redis, password, log });
  else {
    const sentinels = v.parse(hostPorts, redis).map(formatHostPort);
    const sentinelPassword = passwords.sentinel || undefined;
    const watched = { sentinels, serviceName: existing.redisService, sentinelPassword };
    await redisVersion({ ...watched, password, log });
  }
}

async function signInToEtcd(request: InstallRequest): Promise<void> {
  const { openEtcdConfigStore } = await import('../../stores/config/etcd.ts');
  const { etcdUser, etcd: password } = request.passwords;
  const addrs = v.parse(hostPorts, serverAddresses(request).etcd).map(formatHostPort);
  const user = etcdUser === '' ? {} : { user: etcdUser, password };
  const config = await openEtcdConfigStore({ addrs, namespace: request.envId, ...user, log });
  try {
    await config.get('config/redis/addr');
  } finally {
    await config.close();
  }
}

interface SignIn {
  readonly kind: ServerKind;
  readonly title: string;
  readonly run: (request: InstallRequest) => Promise<void>;
  readonly remedy: string;
}

const SIGN_INS: readonly SignIn[] = [
  {
    ...{ kind: 'postgres', title: 'Signing in to PostgreSQL', run: signInToPostgres },
    remedy: 'Correct --db-user, --db-name and BACKEND_DB_PASSWORD.',
  },
  {
    ...{ kind: 'redis', title: 'Signing in to Redis', run: signInToRedis },
    remedy:
      'Correct BACKEND_REDIS_PASSWORD and, with Sentinels, --redis-service-name and BACKEND_REDIS_SENTINEL_PASSWORD.',
  },
  {
    ...{ kind: 'etcd', title: 'Signing in to etcd', run: signInToEtcd },
    remedy: 'Correct BACKEND_ETCD_USER and BACKEND_ETCD_PASSWORD.',
  },
];

/** Nothing is said of servers that do not answer at all: another check does. */
export function signInChecks(request: InstallRequest): Check[] {
  return SIGN_INS.map(({ kind, title, run, remedy }) => ({
    title,
    async run() {
      const addresses = serverAddresses(request)[kind];
      const silent = await silentServers(kind, addresses);
      if (silent.length === addresses.split(',').length) return null;
      try {
        await run(request);
        return null;
      } catch (error) {
        return { problem: errorMessage(error), remedy };
      }
    },
  }));
}
