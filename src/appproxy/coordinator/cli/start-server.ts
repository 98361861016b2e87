/** `app-proxy-coordinator start-server`: runs a coordinator until it is told to stop. */
import { homedir } from 'node:os';
import { resolve } from 'node:path';
import { systemClock } from '../../../common/clock.ts';
import { defineCommand, flag, option } from '../../../common/command.ts';
import { errorMessage } from '../../../common/errors.ts';
import type { Logger } from '../../../common/logger.ts';
import { systemRandom } from '../../../common/random.ts';
import { aborted, endRequested, pidFile } from '../../../common/server-process.ts';
import { serviceReady } from '../../../common/service-manager.ts';
import { logLevelOption } from '../../../logging/options.ts';
import { openServerLog } from '../../../logging/server.ts';
import { createMemoryLiveStore } from '../../../stores/live/memory.ts';
import { openRedisLiveStore } from '../../../stores/live/redis.ts';
import { type CoordinatorConfig, loadCoordinatorConfig } from '../config-file.ts';
import { startCoordinator } from '../main.ts';
import { migrateCoordinator } from '../schema.ts';
import { openCoordinatorDatabase } from './database.ts';

const openLive = async ({ redis }: CoordinatorConfig, log: Logger) =>
  redis === null
    ? createMemoryLiveStore({ clock: systemClock })
    : await openRedisLiveStore({ ...redis, log });

export default defineCommand({
  options: {
    config: option(
      ['-f', '--config-path', '--config'],
      'FILE',
      'Configuration of the coordinator. [default: app-proxy-coordinator.toml, looked for in the usual places]',
    ),
    debug: flag(['--debug'], 'Log more.'),
    logLevel: logLevelOption,
  },
  async run({ options, io }) {
    const load = () =>
      loadCoordinatorConfig({
        explicitPath: options.config === undefined ? undefined : resolve(io.cwd, options.config),
        places: { cwd: io.cwd, home: io.env.HOME || homedir() },
        env: io.env,
      });
    const config = load();
    const { log, close } = openServerLog({
      component: 'app-proxy-coordinator',
      settings: config.logging,
      level: options.logLevel ?? (options.debug ? 'debug' : null),
      cwd: io.cwd,
      reread: () => load().logging,
    });
    await using opened = new AsyncDisposableStack();
    opened.defer(close);
    for (const key of config.withoutEffect) log.debug('a setting has no effect', { key });
    const stop = endRequested();
    const sql = await openCoordinatorDatabase(config, log);
    opened.defer(() => sql.end({ timeout: 5 }));
    await migrateCoordinator(sql, log);
    const live = await openLive(config, log);
    opened.defer(() => live.close());
    const coordinator = await startCoordinator({
      ...{ settings: config.settings, listen: config.listen, sql, live, log },
      clock: systemClock,
      random: systemRandom,
    });
    opened.defer(() => coordinator.stop());
    if (config.pidFile !== null) {
      opened.use(await pidFile(resolve(io.cwd, config.pidFile), '[proxy_coordinator]'));
    }
    opened.use(serviceReady(io.env, systemClock));
    log.info('stopping', { because: errorMessage(await aborted(stop)) });
    return 0;
  },
});
