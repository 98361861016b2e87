/** The commands of `backend.ai ag`. */
import type { CommandRecord } from '../../common/command.ts';

export const agCommands: CommandRecord = {
  'start-server': {
    description: 'Run an agent on this machine.',
    load: () => import('./start-server.ts'),
  },
};
