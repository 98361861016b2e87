/** `session`, and its commands that also stand at the root. */
import type { CommandEntry, CommandRecord } from '../../common/command.ts';

const create: CommandEntry = {
  description: 'Create a session.',
  aliases: ['start'],
  load: () => import('../commands/session/create.ts'),
};

const createFromTemplate: CommandEntry = {
  description: 'Create a session as a template describes it.',
  aliases: ['start-from-template'],
  load: () => import('../commands/session/create-from-template.ts'),
};

const destroy: CommandEntry = {
  description: 'End sessions.',
  aliases: ['rm', 'kill'],
  load: () => import('../commands/session/destroy.ts'),
};

const events: CommandEntry = {
  description: 'Show the events of a session as they happen.',
  load: () => import('../commands/session/events.ts'),
};

const info: CommandEntry = {
  description: 'Show the details of a session.',
  load: () => import('../commands/session/info.ts'),
};

const restart: CommandEntry = {
  description: 'Restart sessions.',
  load: () => import('../commands/session/restart.ts'),
};

const scp: CommandEntry = {
  description: 'Copy files to or from a session.',
  load: async () => ({ default: (await import('../commands/ssh.ts')).scp }),
};

const ssh: CommandEntry = {
  description: 'Open a shell in a session.',
  load: async () => ({ default: (await import('../commands/ssh.ts')).ssh }),
};

const watch: CommandEntry = {
  description: 'Follow a session until it is over.',
  load: () => import('../commands/session/watch.ts'),
};

export const sessionList: CommandEntry = {
  description: 'List sessions.',
  load: () => import('../commands/session/list.ts'),
};

/** What stands at the root too, under the same name. */
export const sessionShortcuts: CommandRecord = {
  create,
  'create-from-template': createFromTemplate,
  destroy,
  events,
  info,
  restart,
  scp,
  ssh,
  watch,
};

export const sessionCommands: CommandRecord = {
  ...sessionShortcuts,
  'abuse-history': {
    description: 'Show what was found wrong with a session.',
    load: () => import('../commands/session/abuse-history.ts'),
  },
  commit: {
    description: 'Write what is in a session into an archive on its agent.',
    load: async () => ({ default: (await import('../commands/session/commit.ts')).commit }),
  },
  'convert-to-image': {
    description: 'Make an image of a session.',
    load: async () => ({ default: (await import('../commands/session/commit.ts')).convert }),
  },
  download: {
    description: 'Copy files out of a session.',
    load: () => import('../commands/session/download.ts'),
  },
  explain: {
    description: 'Tell why a session waits, and what would start it.',
    load: () => import('../commands/session/explain.ts'),
  },
  list: sessionList,
  logs: {
    description: "Show the output of a session's containers.",
    load: () => import('../commands/session/logs.ts'),
  },
  ls: {
    description: 'List files in a session.',
    load: () => import('../commands/session/ls.ts'),
  },
  rename: {
    description: 'Give a session another name.',
    load: () => import('../commands/session/rename.ts'),
  },
  'set-priority': {
    description: 'Change when a waiting session gets its turn.',
    load: () => import('../commands/session/set-priority.ts'),
  },
  'show-graph': {
    description: 'Show which sessions a session waits for.',
    load: () => import('../commands/session/show-graph.ts'),
  },
  'shutdown-service': {
    description: 'End an app of a session.',
    load: () => import('../commands/session/shutdown-service.ts'),
  },
  'start-service': {
    description: 'Start an app of a session, and show what it is opened with.',
    load: () => import('../commands/session/start-service.ts'),
  },
  'status-history': {
    description: 'Show when a session had which status.',
    load: () => import('../commands/session/status-history.ts'),
  },
  upload: {
    description: 'Copy files into a session.',
    load: () => import('../commands/session/upload.ts'),
  },
};
