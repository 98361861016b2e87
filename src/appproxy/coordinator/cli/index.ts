/** The commands of `backend.ai app-proxy-coordinator`: names, descriptions and where the rest is. */
import type { CommandRecord } from '../../../common/command.ts';
import { componentCommands } from '../../../common/component-commands.ts';

const { config, dependencies, health } = componentCommands({
  config: () => import('./config.ts'),
  checks: () => import('./checks.ts'),
});

export const coordinatorCommands: CommandRecord = {
  config,
  dependencies,
  health,
  schema: {
    description: 'The tables of its database.',
    commands: {
      oneshot: {
        description: 'Bring the database to the newest schema.',
        load: async () => ({ default: (await import('./schema.ts')).createSchema }),
      },
      'set-aside': {
        description: 'Let an earlier version of this program run again on the present tables.',
        load: async () => ({ default: (await import('./schema.ts')).setAsideNewer }),
      },
      show: {
        description: 'Show which schema the database has.',
        load: async () => ({ default: (await import('./schema.ts')).showSchema }),
      },
    },
  },
  'start-server': {
    description: 'Run the coordinator of an app proxy, which decides which worker serves an app.',
    load: () => import('./start-server.ts'),
  },
};
