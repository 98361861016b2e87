/** `mgr start-server`: runs a manager on PostgreSQL, Redis and etcd until it is told to stop. */
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { systemClock } from '../../common/clock.ts';
import { type CommandIo, defineCommand, flag, option, UsageError } from '../../common/command.ts';
import { errorMessage, UserError } from '../../common/errors.ts';
import type { Logger } from '../../common/logger.ts';
import { systemRandom } from '../../common/random.ts';
import { loadOrCreateKeys, type NodeKeys } from '../../common/rpc/keys.ts';
import { type LogLevel, parseLogLevel } from '../../logging/logger.ts';
import { openServerLog } from '../../logging/server.ts';
import { openEtcdConfigStore } from '../../stores/config/etcd.ts';
import type { ConfigStore } from '../../stores/config/port.ts';
import { openRedisLiveStore } from '../../stores/live/redis.ts';
import type { ManagerConfig } from '../config-file.ts';
import { connectDatabase } from '../db/connect.ts';
import { schemaState } from '../db/migrate.ts';
import { startManager } from '../main.ts';
import { configOptions, readConfig } from './context.ts';

const REDIS_ADDRESS_KEY = 'config/redis/addr';
const REDIS_PASSWORD_KEY = 'config/redis/password';

const level = (text: string): LogLevel => {
  const parsed = parseLogLevel(text);
  if (parsed === null) throw new UsageError(`'${text}' is not a log level.`);
  return parsed;
};

async function openDatabase({ db }: ManagerConfig, log: Logger) {
  const { host, port, name: database, user, password, maxConnections } = db;
  const address = { host, port, database, user, password };
  const sql = await connectDatabase({ ...address, maxConnections }, log);
  const state = await schemaState(sql);
  if (state.version === state.latest) return sql;
  await sql.end({ timeout: 5 });
  throw state.version > state.latest
    ? new UserError(
        `The database has schema ${state.version}; this version of backend.ai knows ${state.latest}.`,
        { hint: 'Run a newer version of backend.ai, the one that wrote the database or later.' },
      )
    : new UserError(
        `The database has schema ${state.version}; this version needs ${state.latest}.`,
        { hint: 'Run `backend.ai mgr schema oneshot`, then start the manager again.' },
      );
}

/** @param namespace keeps clusters that share one Redis apart. */
async function openLive(config: ConfigStore, namespace: string, log: Logger) {
  const addr = await config.get(REDIS_ADDRESS_KEY);
  if (addr === null) {
    throw new UserError(`etcd has no address of Redis under ${REDIS_ADDRESS_KEY}.`, {
      hint: `Set it: \`backend.ai mgr etcd put ${REDIS_ADDRESS_KEY} HOST:PORT\`.`,
    });
  }
  const password = (await config.get(REDIS_PASSWORD_KEY)) ?? undefined;
  return openRedisLiveStore({ addr, password, keyPrefix: `backendai:${namespace}:`, log });
}

/** The manager's keys: the configured file, else one in the user's data folder. Made if missing. */
function ownKeys(config: ManagerConfig, io: CommandIo): Promise<NodeKeys> {
  const { env, cwd } = io;
  const share = env.XDG_DATA_HOME || join(env.HOME || homedir(), '.local/share');
  const folder = env.BACKEND_DATA_DIR || join(share, 'backend.ai');
  const path = config.rpcKeyFile ?? join(folder, 'manager', `${config.id}.key_secret`);
  return loadOrCreateKeys(resolve(cwd, path));
}

/** Resolves with the name of the first signal that asks this process to end. */
function endRequested(): Promise<string> {
  return new Promise((done) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.once(signal, () => done(signal));
    }
  });
}

async function writePidFile(path: string): Promise<void> {
  try {
    await Bun.write(path, `${process.pid}\n`);
  } catch (error) {
    throw new UserError(`Cannot write the pid file ${path}: ${errorMessage(error)}`, {
      hint: 'Set another pid-file in the [manager] section of manager.toml.',
      cause: error,
    });
  }
}

export default defineCommand({
  options: {
    ...configOptions,
    debug: flag(['--debug'], 'Log more, and add traces to error responses.'),
    logLevel: option(['--log-level'], 'LEVEL', 'Least severe records to log.', level),
  },
  async run({ options, io }) {
    const config = readConfig({ io, configPath: options.config });
    const { log, close } = openServerLog({
      component: 'manager',
      settings: config.logging,
      level: options.logLevel ?? (options.debug ? 'debug' : null),
      cwd: io.cwd,
    });
    await using opened = new AsyncDisposableStack();
    opened.defer(close);
    for (const key of config.withoutEffect) log.debug('a setting has no effect', { key });

    const stop = endRequested();
    const managerKeys = await ownKeys(config, io);
    const sql = await openDatabase(config, log);
    opened.defer(() => sql.end({ timeout: 5 }));
    const store = await openEtcdConfigStore({ ...config.etcd, log });
    opened.defer(() => store.close());
    const live = await openLive(store, config.etcd.namespace, log);
    opened.defer(() => live.close());
    const { serviceAddr, internalAddr, tls } = config;
    const manager = await startManager({
      id: config.id,
      settings: { ...config.settings, debug: config.settings.debug || options.debug },
      sql,
      config: store,
      live,
      managerKeys,
      listen: { hostname: serviceAddr.host, port: serviceAddr.port, tls: tls ?? undefined },
      internalListen: { hostname: internalAddr.host, port: internalAddr.port },
      clock: systemClock,
      random: systemRandom,
      log,
    });
    opened.defer(() => manager.stop());
    if (config.pidFile !== null) {
      const path = resolve(io.cwd, config.pidFile);
      await writePidFile(path);
      opened.defer(() => Bun.file(path).delete());
    }
    log.info('stopping', { because: await stop });
    return 0;
  },
});
