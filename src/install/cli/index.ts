/** The commands of `backend.ai dev`. */
import type { CommandRecord } from '../../common/command.ts';

const dev = () => import('./dev.ts');
const harbor = () => import('./harbor.ts');

const harborCommands: CommandRecord = {
  logs: {
    description: 'Follow the logs of Harbor.',
    load: async () => ({ default: (await harbor()).logs }),
  },
  restart: {
    description: 'Stop and start Harbor.',
    load: async () => ({ default: (await harbor()).restart }),
  },
  start: {
    description: 'Start Harbor.',
    load: async () => ({ default: (await harbor()).start }),
  },
  status: {
    description: 'Show whether Harbor runs.',
    load: async () => ({ default: (await harbor()).status }),
  },
  stop: {
    description: 'Stop Harbor.',
    load: async () => ({ default: (await harbor()).stop }),
  },
};

export const devCommands: CommandRecord = {
  harbor: { description: 'Look after the Harbor of --with-harbor.', commands: harborCommands },
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
