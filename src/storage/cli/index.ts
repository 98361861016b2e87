/** The commands of `backend.ai storage`: names, descriptions and where the rest is. */
import type { CommandRecord } from '../../common/command.ts';

export const storageCommands: CommandRecord = {
  'start-server': {
    description: 'Run a storage proxy, which keeps folders and moves files in and out of them.',
    load: () => import('./start-server.ts'),
  },
};
