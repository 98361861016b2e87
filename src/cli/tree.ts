/** The client's commands: names, descriptions and where the rest is. Bodies load when run. */
import type { CommandEntry, CommandGroup, CommandRecord } from '../common/command.ts';

/** `completion` needs the whole tree, which only the root knows. */
export function clientCommands(_root: () => CommandRecord): CommandRecord {
  return {
    config: {
      description: 'Show the current configuration.',
      load: () => import('./commands/config.ts'),
    },
  };
}

export type { CommandEntry, CommandGroup };
