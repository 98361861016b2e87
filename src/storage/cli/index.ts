/** The commands of `backend.ai storage`: names, descriptions and where the rest is. */
import type { CommandRecord } from '../../common/command.ts';

export const storageCommands: CommandRecord = {
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
  'start-server': {
    description: 'Run a storage proxy, which keeps folders and moves files in and out of them.',
    load: () => import('./start-server.ts'),
  },
};
