/** The client's commands: names, descriptions and where the rest is. Bodies load when run. */
import type { CommandEntry, CommandRecord } from '../common/command.ts';

const create: CommandEntry = {
  description: 'Create a session.',
  aliases: ['start'],
  load: () => import('./commands/session/create.ts'),
};

const destroy: CommandEntry = {
  description: 'End sessions.',
  aliases: ['rm', 'kill'],
  load: () => import('./commands/session/destroy.ts'),
};

const events: CommandEntry = {
  description: 'Show the events of a session as they happen.',
  load: () => import('./commands/session/events.ts'),
};

const info: CommandEntry = {
  description: 'Show the details of a session.',
  load: () => import('./commands/session/info.ts'),
};

const list: CommandEntry = {
  description: 'List sessions.',
  load: () => import('./commands/session/list.ts'),
};

const imageList: CommandEntry = {
  description: 'List images.',
  load: () => import('./commands/image-list.ts'),
};

const session: CommandRecord = {
  create,
  destroy,
  download: {
    description: 'Copy files out of a session.',
    load: () => import('./commands/session/download.ts'),
  },
  events,
  info,
  list,
  logs: {
    description: "Show the output of a session's containers.",
    load: () => import('./commands/session/logs.ts'),
  },
  ls: {
    description: 'List files in a session.',
    load: () => import('./commands/session/ls.ts'),
  },
  rename: {
    description: 'Give a session another name.',
    load: () => import('./commands/session/rename.ts'),
  },
  'status-history': {
    description: 'Show when a session had which status.',
    load: () => import('./commands/session/status-history.ts'),
  },
  upload: {
    description: 'Copy files into a session.',
    load: () => import('./commands/session/upload.ts'),
  },
};

const admin: CommandRecord = {
  agent: {
    description: 'Agents: the nodes of the cluster.',
    commands: {
      info: {
        description: 'Show the details of an agent.',
        load: () => import('./commands/admin/agent-info.ts'),
      },
      list: {
        description: 'List agents.',
        load: () => import('./commands/admin/agent-list.ts'),
      },
    },
  },
  image: {
    description: 'Images that sessions can be made of.',
    commands: { list: imageList },
  },
  session: {
    description: "Everybody's sessions.",
    commands: { list },
  },
};

export const clientCommands: CommandRecord = {
  admin: { description: 'Administration of the cluster.', commands: admin },
  completion: {
    description: 'Set up completion of commands in your shell.',
    load: () => import('./commands/completion.ts'),
  },
  config: {
    description: 'Show the current configuration.',
    load: () => import('./commands/config.ts'),
  },
  create,
  destroy,
  events,
  image: {
    description: 'Images that sessions can be made of.',
    commands: { list: imageList },
  },
  info,
  ps: list,
  run: {
    description: 'Run code or files in a session.',
    load: () => import('./commands/run.ts'),
  },
  session: { description: 'Compute sessions.', commands: session },
};
