/** The commands of `backend.ai app-proxy-worker`: names, descriptions and where the rest is. */
import type { CommandRecord } from '../../../common/command.ts';
import { componentCommands } from '../../../common/component-commands.ts';

const { config, dependencies, health } = componentCommands({
  config: () => import('./config.ts'),
  checks: () => import('./checks.ts'),
});

export const workerCommands: CommandRecord = {
  config,
  dependencies,
  health,
  'start-server': {
    description: 'Run a worker of an app proxy, which passes the traffic of apps.',
    load: () => import('./start-server.ts'),
  },
};
