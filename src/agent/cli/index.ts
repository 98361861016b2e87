/** The commands of `backend.ai ag`. */
import type { CommandRecord } from '../../common/command.ts';
import { componentCommands } from '../../common/component-commands.ts';

const { config, dependencies, health } = componentCommands({
  config: () => import('./config.ts'),
  checks: () => import('./checks.ts'),
});

export const agCommands: CommandRecord = {
  config,
  dependencies,
  'end-kernels': {
    description: 'End all kernels of this machine, when its agent has stopped for good.',
    load: () => import('./end-kernels.ts'),
  },
  health,
  join: {
    description: 'Make this machine a node of a cluster.',
    load: () => import('./join.ts'),
  },
  'start-server': {
    description: 'Run an agent on this machine.',
    load: () => import('./start-server.ts'),
  },
};
