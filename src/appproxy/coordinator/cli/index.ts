/** The commands of `backend.ai app-proxy-coordinator`: names, descriptions and where the rest is. */
import type { CommandRecord } from '../../../common/command.ts';

export const coordinatorCommands: CommandRecord = {
  config: {
    description: 'Configuration files.',
    commands: {
      'generate-sample': {
        description: 'Write a configuration file to start from.',
        load: async () => ({ default: (await import('./config.ts')).generateSample }),
      },
    },
  },
  dependencies: {
    description: 'What it needs to run.',
    commands: {
      verify: {
        description: 'Check that all it needs is there.',
        load: async () => ({ default: (await import('./checks.ts')).verifyDependencies }),
      },
    },
  },
  health: {
    description: 'Whether what it needs is in order.',
    commands: {
      check: {
        description: 'Check that all it needs answers.',
        load: async () => ({ default: (await import('./checks.ts')).healthCheck }),
      },
    },
  },
  schema: {
    description: 'The tables of its database.',
    commands: {
      oneshot: {
        description: 'Bring the database to the newest schema.',
        load: async () => ({ default: (await import('./schema.ts')).createSchema }),
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
