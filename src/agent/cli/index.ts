/** The commands of `backend.ai ag`. */
import type { CommandRecord } from '../../common/command.ts';

export const agCommands: CommandRecord = {
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
  'end-kernels': {
    description: 'End all kernels of this machine, when its agent has stopped for good.',
    load: () => import('./end-kernels.ts'),
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
  join: {
    description: 'Make this machine a node of a cluster.',
    load: () => import('./join.ts'),
  },
  'start-server': {
    description: 'Run an agent on this machine.',
    load: () => import('./start-server.ts'),
  },
};
