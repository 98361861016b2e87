/** The commands of `backend.ai app-proxy-worker`: names, descriptions and where the rest is. */
import type { CommandRecord } from '../../../common/command.ts';

export const workerCommands: CommandRecord = {
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
    description: 'Run a worker of an app proxy, which passes the traffic of apps.',
    load: () => import('./start-server.ts'),
  },
};
