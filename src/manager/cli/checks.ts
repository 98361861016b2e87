/** `mgr health check`, `mgr dependencies verify`, `mgr redis ping`: PostgreSQL, etcd and Redis. */

import { defineCommand } from '../../common/command.ts';
import {
  type CheckedComponent,
  dependenciesCommand,
  healthCommand,
} from '../../common/component-checks.ts';
import { readRedisAddress } from '../../stores/live/settings.ts';
import {
  commandLog,
  configOptions,
  type Invocation,
  readConfig,
  withConfigStore,
  withTables,
} from './context.ts';

/** Connects to Redis where the configuration store says it is. @throws UserError when it does not answer. */
const pingRedis = (invocation: Invocation): Promise<void> =>
  withConfigStore(invocation, async (store) => {
    const address = await readRedisAddress(store);
    const { openRedisLiveStore } = await import('../../stores/live/redis.ts');
    const live = await openRedisLiveStore({ ...address, log: commandLog(invocation) });
    try {
      await live.ping();
    } finally {
      await live.close();
    }
  });

const manager: CheckedComponent = {
  title: 'Manager',
  async prepare({ io }, { configPath, logLevel }) {
    const invocation: Invocation = { io, configPath, logLevel };
    return {
      configPath: readConfig(invocation).path,
      checks: [
        {
          group: 'database',
          name: 'postgresql',
          run: () => withTables(invocation, async () => undefined),
        },
        {
          group: 'etcd',
          name: 'etcd',
          run: async () => {
            await withConfigStore(invocation, (store) => store.get('manager/status'));
          },
        },
        { group: 'redis', name: 'redis', run: () => pingRedis(invocation) },
      ],
    };
  },
};

export const healthCheck = healthCommand(manager);
export const verifyDependencies = dependenciesCommand(manager);

export const redisPing = defineCommand({
  help: 'Check whether Redis answers.',
  options: configOptions,
  async run({ options, io }) {
    await pingRedis({ io, configPath: options.config });
    io.stdout.write('Redis is healthy\n');
    return 0;
  },
});
