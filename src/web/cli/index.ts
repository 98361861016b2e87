/** The commands of `backend.ai web`: names, descriptions and where the rest is. */
import type { CommandRecord } from '../../common/command.ts';

export const webCommands: CommandRecord = {
  'start-server': {
    description: 'Run a web server, which people sign in to with a browser.',
    load: () => import('./start-server.ts'),
  },
};
