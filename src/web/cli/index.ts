/** The commands of `backend.ai web`: names, descriptions and where the rest is. */
import type { CommandRecord } from '../../common/command.ts';
import { componentCommands } from '../../common/component-commands.ts';

const { config, dependencies, health } = componentCommands({
  config: () => import('./config.ts'),
  checks: () => import('./checks.ts'),
});

export const webCommands: CommandRecord = {
  config,
  dependencies,
  health,
  'start-server': {
    description: 'Run a web server, which people sign in to with a browser.',
    load: () => import('./start-server.ts'),
  },
};
