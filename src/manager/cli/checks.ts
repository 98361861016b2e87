/** `mgr health check`, `mgr dependencies verify`, `mgr redis ping`: PostgreSQL, etcd and Redis. */

import { defineCommand } from '../../common/command.ts';
import {
  type CheckedComponent,
  dependenciesCommand,
  healthCommand,
} from '../../common/component-checks.ts';
import {
  configOptions,
  type Invocation,
  readConfig,
  withConfigStore,
  withLiveStore,
  withTables,
} from './context.ts';

/** @throws UserError when Redis does not answer where the configuration store says it is. */
const pingRedis = (invocation: Invocation): Promise<void> =>
  withLiveStore(invocation, (live) => live.ping());

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
