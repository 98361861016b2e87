/** `web health check`, `web dependencies verify`: the managers, and Redis if one is configured. */
import { homedir } from 'node:os';
import { resolve } from 'node:path';
import {
  type CheckedComponent,
  type ComponentCheck,
  dependenciesCommand,
  expectHealthy,
  healthCommand,
} from '../../common/component-checks.ts';
import { commandLogger } from '../../logging/options.ts';
import { openRedisLiveStore } from '../../stores/live/redis.ts';
import { describePlace } from '../../stores/live/redis-server.ts';
import { loadWebConfig } from '../config-file.ts';

const web: CheckedComponent = {
  title: 'Web Server',
  async prepare({ io }, { configPath, logLevel }) {
    const log = commandLogger('web', io, logLevel);
    const { path, managerUrls, redis } = loadWebConfig({
      explicitPath: configPath === undefined ? undefined : resolve(io.cwd, configPath),
      places: { cwd: io.cwd, home: io.env.HOME || homedir() },
      env: io.env,
    });
    const managers = managerUrls.map(
      (url): ComponentCheck => ({ group: 'managers', name: url, run: () => expectHealthy(url) }),
    );
    if (redis === null) return { configPath: path, checks: managers };
    const sessions: ComponentCheck = {
      group: 'redis',
      name: describePlace(redis),
      run: async () => {
        const live = await openRedisLiveStore({ ...redis, log });
        try {
          await live.ping();
        } finally {
          await live.close();
        }
      },
    };
    return { configPath: path, checks: [...managers, sessions] };
  },
};

export const healthCheck = healthCommand(web);
export const verifyDependencies = dependenciesCommand(web);
