/** The commands that every server component has, under the same names and descriptions. */
import type { Command, CommandRecord } from './command.ts';

/** Where a component keeps them; loaded when one of them is run. */
interface ComponentFiles {
  config(): Promise<{ readonly generateSample: Command }>;
  checks(): Promise<{ readonly verifyDependencies: Command; readonly healthCheck: Command }>;
}

/** `config generate-sample`, `dependencies verify` and `health check` of a component. */
export const componentCommands = ({ config, checks }: ComponentFiles) =>
  ({
    config: {
      description: 'Configuration files.',
      commands: {
        'generate-sample': {
          description: 'Write a configuration file to start from.',
          load: async () => ({ default: (await config()).generateSample }),
        },
      },
    },
    dependencies: {
      description: 'What it needs to run.',
      commands: {
        verify: {
          description: 'Check that all it needs is there.',
          load: async () => ({ default: (await checks()).verifyDependencies }),
        },
      },
    },
    health: {
      description: 'Whether what it needs is in order.',
      commands: {
        check: {
          description: 'Check that all it needs answers.',
          load: async () => ({ default: (await checks()).healthCheck }),
        },
      },
    },
  }) satisfies CommandRecord;
