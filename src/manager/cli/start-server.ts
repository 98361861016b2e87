/** `mgr start-server`: runs a manager on PostgreSQL, Redis and etcd until it is told to stop. */
import { resolve } from 'node:path';
import { systemClock } from '../../common/clock.ts';
import { defineCommand, flag } from '../../common/command.ts';
import { errorMessage } from '../../common/errors.ts';
import type { Logger } from '../../common/logger.ts';
import { systemRandom } from '../../common/random.ts';
import { loadOrCreateKeys } from '../../common/rpc/keys.ts';
import { aborted, endRequested, pidFile } from '../../common/server-process.ts';
import { serviceReady } from '../../common/service-manager.ts';
import { logLevelOption } from '../../logging/options.ts';
import { openServerLog } from '../../logging/server.ts';
import { createRegistry } from '../../metrics/registry.ts';
import { openEtcdConfigStore } from '../../stores/config/etcd.ts';
import type { ConfigStore } from '../../stores/config/port.ts';
import { openRedisLiveStore } from '../../stores/live/redis.ts';
import { readRedisAddress } from '../../stores/live/settings.ts';
import { openTracer } from '../../tracing/open.ts';
import type { ManagerConfig } from '../config-file.ts';
import { connectDatabase } from '../db/connect.ts';
import { assertCurrent, schemaState } from '../db/migrate.ts';
import { startManager } from '../main.ts';
import { configOptions, liveKeyPrefix, readConfig } from './context.ts';
import { keyFile } from './keys.ts';

async function openDatabase({ db }: ManagerConfig, log: Logger) {
  const { host, port, others, name: database, user, password, maxConnections } = db;
  const address = { host, port, others, database, user, password };
  const sql = await connectDatabase({ ...address, maxConnections }, log);
  try {
    assertCurrent(await schemaState(sql));
    return sql;
  } catch (error) {
    await sql.end({ timeout: 5 });
    throw error;
  }
}

/** @param namespace keeps clusters that share one Redis apart. */
async function openLive(config: ConfigStore, namespace: string, log: Logger) {
  const address = await readRedisAddress(config);
  return openRedisLiveStore({ ...address, keyPrefix: liveKeyPrefix(namespace), log });
}

/** The same Redis without a prefix: web servers, upstream's too, look for sign-ins there. */
const openWebSessions = async (config: ConfigStore, log: Logger) =>
  openRedisLiveStore({ ...(await readRedisAddress(config)), log });

export default defineCommand({
  options: {
    ...configOptions,
    debug: flag(['--debug'], 'Log more, and add traces to error responses.'),
    logLevel: logLevelOption,
  },
  async run({ options, io }) {
    const load = () => readConfig({ io, configPath: options.config });
    const config = load();
    const { log, close } = openServerLog({
      component: 'manager',
      settings: config.logging,
      level: options.logLevel ?? (options.debug ? 'debug' : null),
      cwd: io.cwd,
      reread: () => load().logging,
    });
    await using opened = new AsyncDisposableStack();
    opened.defer(close);
    for (const key of config.withoutEffect) log.debug('a setting has no effect', { key });

    const metrics = createRegistry();
    const tracer = openTracer('backend.ai-manager', config.otel, { log, registry: metrics });
    opened.defer(() => tracer.close());
    const stop = endRequested();
    const managerKeys = await loadOrCreateKeys(keyFile(config, io));
    const sql = await openDatabase(config, log);
    opened.defer(() => sql.end({ timeout: 5 }));
    const store = await openEtcdConfigStore({ ...config.etcd, log });
    opened.defer(() => store.close());
    const live = await openLive(store, config.etcd.namespace, log);
    opened.defer(() => live.close());
    const webSessions = await openWebSessions(store, log);
    opened.defer(() => webSessions.close());
    const { serviceAddr, internalAddr, tls } = config;
    const manager = await startManager({
      id: config.id,
      settings: { ...config.settings, debug: config.settings.debug || options.debug },
      sql,
      config: store,
      live,
      webSessions,
      managerKeys,
      listen: { hostname: serviceAddr.host, port: serviceAddr.port, tls: tls ?? undefined },
      internalListen: { hostname: internalAddr.host, port: internalAddr.port },
      clock: systemClock,
      random: systemRandom,
      log,
      metrics,
      tracer,
    });
    opened.defer(() => manager.stop());
    if (config.pidFile !== null) {
      opened.use(await pidFile(resolve(io.cwd, config.pidFile), '[manager]'));
    }
    opened.use(serviceReady(io.env, systemClock));
    log.info('stopping', { because: errorMessage(await aborted(stop)) });
    return 0;
  },
});
