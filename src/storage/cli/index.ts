/** The commands of `backend.ai storage`: names, descriptions and where the rest is. */
import type { CommandRecord } from '../../common/command.ts';
import { componentCommands } from '../../common/component-commands.ts';

const { config, dependencies, health } = componentCommands({
  config: () => import('./config.ts'),
  checks: () => import('./checks.ts'),
});

export const storageCommands: CommandRecord = {
  config,
  dependencies,
  health,
  'start-server': {
    description: 'Run a storage proxy, which keeps folders and moves files in and out of them.',
    load: () => import('./start-server.ts'),
  },
};
