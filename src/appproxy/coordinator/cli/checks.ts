/** `app-proxy-coordinator health check`, `dependencies verify`: its database and its Redis. */
import { homedir } from 'node:os';
import { resolve } from 'node:path';
import {
  type CheckedComponent,
  dependenciesCommand,
  healthCommand,
} from '../../../common/component-checks.ts';
import { commandLogger } from '../../../logging/options.ts';
import { openRedisLiveStore } from '../../../stores/live/redis.ts';
import { describePlace } from '../../../stores/live/redis-server.ts';
import { loadCoordinatorConfig } from '../config-file.ts';
import { openCoordinatorDatabase } from './database.ts';

const coordinator: CheckedComponent = {
  title: 'App Proxy Coordinator',
  async prepare({ io }, { configPath, logLevel }) {
    const log = commandLogger('app-proxy-coordinator', io, logLevel);
    const config = loadCoordinatorConfig({
      explicitPath: configPath === undefined ? undefined : resolve(io.cwd, configPath),
      places: { cwd: io.cwd, home: io.env.HOME || homedir() },
      env: io.env,
    });
    const { redis } = config;
    const database = {
      ...{ group: 'database', name: 'postgresql' },
      async run() {
        const sql = await openCoordinatorDatabase(config, log);
        await sql.end({ timeout: 5 });
      },
    };
    if (redis === null) return { configPath: config.path, checks: [database] };
    const live = {
      ...{ group: 'redis', name: describePlace(redis) },
      async run() {
        const store = await openRedisLiveStore({ ...redis, log });
        await store.close();
      },
    };
    return { configPath: config.path, checks: [database, live] };
  },
};

export const healthCheck = healthCommand(coordinator);
export const verifyDependencies = dependenciesCommand(coordinator);
