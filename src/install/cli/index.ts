/** The commands of `backend.ai dev`. */
import type { CommandRecord } from '../../common/command.ts';

const dev = () => import('./dev.ts');

export const devCommands: CommandRecord = {
  log: {
    description: "Show a component's log.",
    load: async () => ({ default: (await dev()).log }),
  },
  restart: {
    description: 'Stop and start components.',
    load: async () => ({ default: (await dev()).restart }),
  },
  start: {
    description: 'Start components.',
    load: async () => ({ default: (await dev()).start }),
  },
  status: {
    description: 'Show which components run.',
    load: async () => ({ default: (await dev()).status }),
  },
  stop: {
    description: 'Stop components.',
    load: async () => ({ default: (await dev()).stop }),
  },
};
