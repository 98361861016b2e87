/** The client's commands: names, descriptions and where the rest is. Bodies load when run. */
import type { CommandRecord } from '../common/command.ts';
import { adminCommands } from './tree/admin.ts';
import { fairShareCommands, resourceUsageCommands } from './tree/fair-share.ts';
import { group, leaf } from './tree/leaf.ts';
import { sessionCommands, sessionList, sessionShortcuts } from './tree/session.ts';
import { folderCommands } from './tree/vfolder.ts';

const app = () => import('./commands/app.ts');
const ssh = () => import('./commands/ssh.ts');
const account = () => import('./commands/account.ts');
const dotfile = () => import('./commands/dotfile.ts');
const image = () => import('./commands/image.ts');
const imageChanges = () => import('./commands/image-changes.ts');
const schedulingHistory = () => import('./commands/scheduling-history.ts');
const serverLogs = () => import('./commands/server-logs.ts');
const template = () => import('./commands/session-template.ts');

export const clientCommands: CommandRecord = {
  ...sessionShortcuts,
  admin: group('Administration of the cluster.', adminCommands),
  app: leaf('Use an app of a session at a port of this machine.', async () => (await app()).app),
  apps: leaf('List the apps of a session.', async () => (await app()).apps),
  completion: {
    description: 'Set up completion of commands in your shell.',
    load: () => import('./commands/completion.ts'),
  },
  config: {
    description: 'Show the current configuration.',
    load: () => import('./commands/config.ts'),
  },
  dotfile: group('Small files that sessions start with.', {
    create: leaf('Store a file.', async () => (await dotfile()).create),
    delete: leaf('Delete a file.', async () => (await dotfile()).remove),
    get: leaf('Print a file.', async () => (await dotfile()).get),
    list: leaf('List files.', async () => (await dotfile()).list),
    update: leaf('Replace a file.', async () => (await dotfile()).update),
  }),
  'fair-share': group('Who is due what of a resource group.', fairShareCommands),
  image: group('Images that sessions can be made of.', {
    forget: leaf('Take an image out of the catalogue.', async () => (await imageChanges()).forget),
    list: leaf('List images.', async () => (await image()).list),
    purge: leaf('Delete an image for good.', async () => (await imageChanges()).purge),
  }),
  login: leaf('Sign in at a web server.', async () => (await account()).login),
  logout: leaf('Sign out of the web server.', async () => (await account()).logout),
  proxy: {
    description: 'Pass unsigned requests on to the API, for development.',
    load: () => import('./commands/proxy.ts'),
  },
  'proxy-stdio': {
    description: 'Connect standard input and output with an app of a session.',
    hidden: true,
    load: async () => ({ default: (await ssh()).proxyStdio }),
  },
  ps: sessionList,
  'resource-usage': group('What was used of resource groups.', resourceUsageCommands),
  run: {
    description: 'Run code or files in a session.',
    load: () => import('./commands/run.ts'),
  },
  'scheduling-history': group('What was tried with sessions.', {
    session: group('Of sessions.', {
      list: leaf('Show what was tried.', async () => (await schedulingHistory()).session),
    }),
  }),
  'server-logs': group('Errors that clients have reported.', {
    list: leaf('Show the latest errors.', async () => (await serverLogs()).list),
  }),
  session: group('Compute sessions.', sessionCommands),
  'session-template': group(
    'Templates that sessions can be made from.',
    {
      create: leaf('Store a template.', async () => (await template()).create),
      delete: leaf('Delete a template.', async () => (await template()).remove),
      get: leaf('Print a template.', async () => (await template()).get),
      list: leaf('List templates.', async () => (await template()).list),
      update: leaf('Replace a template.', async () => (await template()).update),
    },
    ['sesstpl'],
  ),
  'ssh-config': leaf('Let ssh reach sessions by name.', async () => (await ssh()).sshConfig),
  'task-logs': {
    description: 'Show the log of a batch session.',
    load: () => import('./commands/task-logs.ts'),
  },
  top: {
    description: 'Watch nodes, sessions and the queue, live.',
    load: () => import('./commands/top.ts'),
  },
  'update-password': leaf('Replace your password.', async () => (await account()).updatePassword),
  'update-password-no-auth': leaf(
    'Replace a password that has expired.',
    async () => (await account()).updatePasswordNoAuth,
  ),
  vfolder: group('Folders that sessions can mount.', folderCommands),
};
