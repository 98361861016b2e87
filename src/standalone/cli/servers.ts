/** `servers`: this machine's cluster keeps its data in a PostgreSQL of its own, or is moved to servers elsewhere. */
import { basename } from 'node:path';
import { systemClock } from '../../common/clock.ts';
import {
  type CommandIo,
  type CommandRecord,
  defineCommand,
  flag,
  option,
  optionWithDefault,
  UsageError,
} from '../../common/command.ts';
import {
  firstAndOthers,
  formatHostPort,
  type HostPort,
  parseHostPort,
} from '../../common/config/values.ts';
import { printStatus } from '../../common/glyphs.ts';
import { systemRandom } from '../../common/random.ts';
import { commandLogger } from '../../logging/options.ts';
import type { RedisAddress } from '../../stores/live/settings.ts';
import { databaseTitle, type Servers } from '../servers/place.ts';
import { folderOf, placeOptions } from './options.ts';

const copying = () => import('../servers/copy.ts');

const address = (text: string): HostPort => {
  const parsed = parseHostPort(text);
  if (parsed !== null && parsed.host !== '') return parsed;
  throw new UsageError(`'${text}' is not of the form HOST:PORT.`);
};

/** Several, separated by commas. */
const addresses = (text: string): HostPort[] => text.split(',').map(address);

const serverOptions = {
  ...placeOptions,
  postgresAddr: option(
    ['--postgres-addr'],
    'HOST:PORT[,…]',
    'PostgreSQL 16 or later; with its standbys, in any order.',
    addresses,
  ),
  redisAddr: option(['--redis-addr'], 'HOST:PORT', 'Redis or Valkey 7 or later.', address),
  redisSentinel: option(
    ['--redis-sentinel'],
    'HOST:PORT[,…]',
    'Sentinels that watch such a Redis, instead of its address.',
    addresses,
  ),
  redisService: optionWithDefault(
    ['--redis-service-name'],
    'NAME',
    'What the Sentinels watch it as.',
    'mymaster',
    String,
  ),
  etcdAddr: option(
    ['--etcd-addr'],
    'HOST:PORT[,…]',
    'etcd 3.4 or later; several members of one cluster.',
    addresses,
  ),
  dbName: optionWithDefault(
    ['--db-name'],
    'NAME',
    'Database; made when it is missing.',
    'backend',
    String,
  ),
  dbUser: optionWithDefault(['--db-user'], 'NAME', 'Role of the database.', 'postgres', String),
  internalAddr: option(
    ['--internal-addr'],
    'HOST:PORT',
    'Address of this machine at which its manager listens for agents of other machines, which can then join. [default: none can]',
    address,
  ),
  etcdNamespace: option(
    ['--etcd-namespace'],
    'NAME',
    'Under which name etcd keeps the settings. [default: local, or the environment id]',
  ),
};
const PASSWORDS =
  'Passwords are read from BACKEND_DB_PASSWORD, BACKEND_REDIS_PASSWORD, ' +
  'BACKEND_REDIS_SENTINEL_PASSWORD, BACKEND_ETCD_USER and BACKEND_ETCD_PASSWORD.';

type Given = Parameters<
  Parameters<typeof defineCommand<typeof serverOptions>>[0]['run']
>[0]['options'];

/** Null when it is not said. @throws UsageError when it is said twice. */
function redisOf(given: Given, env: CommandIo['env']): RedisAddress | null {
  const { redisAddr, redisSentinel } = given;
  const password = env.BACKEND_REDIS_PASSWORD || undefined;
  if (redisAddr !== undefined && redisSentinel !== undefined) {
    throw new UsageError('Redis is named by --redis-addr or by --redis-sentinel, not by both.');
  }
  if (redisSentinel !== undefined) {
    return {
      sentinels: redisSentinel.map(formatHostPort),
      serviceName: given.redisService,
      sentinelPassword: env.BACKEND_REDIS_SENTINEL_PASSWORD || undefined,
      password,
    };
  }
  return redisAddr === undefined ? null : { addr: formatHostPort(redisAddr), password };
}

function serversOf(given: Given, envId: string, { env }: CommandIo): Servers {
  const { postgresAddr, etcdAddr } = given;
  const redis = redisOf(given, env);
  if (postgresAddr === undefined || redis === null || etcdAddr === undefined) {
    throw new UsageError(
      'All three are needed: --postgres-addr, --redis-addr (or --redis-sentinel) and --etcd-addr.',
    );
  }
  return {
    database: {
      ...firstAndOthers(postgresAddr),
      database: given.dbName,
      user: given.dbUser,
      password: env.BACKEND_DB_PASSWORD || undefined,
    },
    redis,
    etcd: {
      addrs: etcdAddr.map(formatHostPort),
      namespace: given.etcdNamespace ?? (envId === 'default' ? 'local' : envId),
      user: env.BACKEND_ETCD_USER || undefined,
      password: env.BACKEND_ETCD_PASSWORD || undefined,
    },
    internalAddr: given.internalAddr ?? null,
  };
}

function moveOptions(given: Given, io: CommandIo) {
  const folder = folderOf(given, io);
  const envId = basename(folder);
  return {
    ...{ folder, envId, servers: serversOf(given, envId, io) },
    ...{ clock: systemClock, random: systemRandom },
    log: commandLogger('servers', io, 'WARNING'),
    progress: (message: string) => printStatus(io.stderr, 'wait', message),
  };
}

const check = defineCommand({
  help: `Look whether servers can take the cluster's data: reachable, new enough, holding nobody else's. Nothing is changed. ${PASSWORDS}`,
  options: serverOptions,
  async run({ options, io, globals }) {
    const { problemsOf, refusal } = await copying();
    const problems = await problemsOf(moveOptions(options, io));
    if (globals.output === 'json') {
      io.stdout.write(`${JSON.stringify({ problems }, null, 2)}\n`);
      return 0;
    }
    if (problems.length > 0) throw refusal(problems);
    printStatus(io.stderr, 'done', 'The servers can take the data of the cluster.');
    return 0;
  },
});

const move = defineCommand({
  help: `Copy the data of the stopped cluster to servers, and use them from its next start. Its own data stays until \`servers forget\`. Interrupted, it is run again. ${PASSWORDS}`,
  options: serverOptions,
  async run({ options, io }) {
    const { moveData } = await copying();
    const moving = moveOptions(options, io);
    const result = await moveData(moving);
    const { database } = moving.servers;
    const where = databaseTitle(database, database.database);
    printStatus(
      io.stderr,
      result.state === 'moved' ? 'done' : 'info',
      result.state === 'moved'
        ? `${result.rows} rows are at ${where}; \`backend.ai up\` uses them.`
        : `The data is at ${where} already.`,
    );
    return 0;
  },
});

const back = defineCommand({
  help: 'Use the data of before the move again, from the next start. What was done since then stays on the servers.',
  options: {
    ...placeOptions,
    unused: flag(['--unused'], 'Nothing was done there: a later move may replace what is there.'),
  },
  async run({ options, io }) {
    const { moveBack } = await copying();
    const retired = await moveBack({
      folder: folderOf(options, io),
      random: systemRandom,
      wasUsed: !options.unused,
    });
    printStatus(
      io.stderr,
      'done',
      `The cluster uses its own PostgreSQL; ${retired} names the servers.`,
    );
    return 0;
  },
});

const forget = defineCommand({
  help: 'Delete the data that the cluster had of its own before it was moved.',
  options: placeOptions,
  async run({ options, io }) {
    const { forgetOwnData } = await copying();
    const wasThere = await forgetOwnData({ folder: folderOf(options, io), random: systemRandom });
    printStatus(
      io.stderr,
      wasThere ? 'done' : 'info',
      wasThere ? 'It is deleted.' : 'There is none.',
    );
    return 0;
  },
});

const record = (description: string, command: typeof check | typeof back) => ({
  description,
  load: async () => ({ default: command }),
});

export const serversCommands: CommandRecord = {
  back: record('Use the data of before the move again.', back),
  check: record("Look whether servers can take the cluster's data.", check),
  forget: record('Delete the data of before the move.', forget),
  move: record("Copy the cluster's data to servers, and use them.", move),
};
