/** `admin vfolder`: folders and storage hosts as administrators see them. */
import type { MountReports } from '../../../client/folder.ts';
import {
  argument,
  type CommandContext,
  choice,
  defineCommand,
  flag,
  option,
  optionWithDefault,
} from '../../../common/command.ts';
import { connectAdmin } from '../../connect.ts';
import { itemsDocument, printJson } from '../../output/json.ts';
import { formatTable } from '../../output/table.ts';
import { printDone } from '../../vfolder/shared.ts';

const folder = argument('VFOLDER_ID', "The folder's id.");

export const listHosts = defineCommand({
  async run({ io, globals }) {
    const client = await connectAdmin({ io, globals });
    const found = await client.folder.allHosts();
    if (globals.output === 'json') printJson(io, found);
    else {
      io.stdout.write(`Default vfolder host: ${found.default ?? '(none)'}\n`);
      io.stdout.write(`Mounted hosts: ${found.allowed.join(', ')}\n`);
    }
    return 0;
  },
});

export const performance = defineCommand({
  positionals: { host: argument('VFOLDER_HOST', 'proxy:volume.') },
  async run({ args, io, globals }) {
    const client = await connectAdmin({ io, globals });
    const metric = await client.folder.performance(args.host);
    if (globals.output === 'json') printJson(io, metric);
    else {
      const rows = Object.entries(metric).map(([key, value]) => [key, String(value)]);
      io.stdout.write(formatTable(['Key', 'Value'], rows));
    }
    return 0;
  },
});

/** As upstream's: a node, and below it what it tells. */
function mountLines(name: string, report: MountReports['manager']): string {
  const { success, mounts, message } = report;
  const shown = mounts.map((mount) => (typeof mount === 'string' ? mount : mount.join(' at ')));
  const lines = [`success: ${success}`, `mounts: ${shown.join(', ')}`, `message: ${message}`];
  return `${name}\n${lines.map((line) => `  ${line.trimEnd()}\n`).join('')}`;
}

export const listMounts = defineCommand({
  async run({ io, globals }) {
    const client = await connectAdmin({ io, globals });
    const reports = await client.folder.mounts();
    printMounts({ io, globals }, reports);
    return 0;
  },
});

function printMounts(
  { io, globals }: Pick<CommandContext, 'io' | 'globals'>,
  reports: MountReports,
): void {
  if (globals.output === 'json') {
    printJson(io, reports);
    return;
  }
  io.stdout.write(mountLines('manager', reports.manager));
  if (reports.storage_proxy) io.stdout.write(mountLines('storage proxies', reports.storage_proxy));
  for (const [id, report] of Object.entries(reports.agents)) {
    io.stdout.write(mountLines(`agent ${id}`, report));
  }
}

/** @returns the exit code: 1 when it failed on some agent, or there is none. */
function printDoneOnAgents(
  where: Pick<CommandContext, 'io' | 'globals'>,
  reports: MountReports,
): number {
  printMounts(where, reports);
  const agents = Object.values(reports.agents);
  return agents.length > 0 && agents.every(({ success }) => success) ? 0 : 1;
}

const mountName = argument('NAME', 'The mount point, in the folder that volumes are mounted in.');
const editsFstab = flag(['--edit-fstab'], 'Change /etc/fstab too, so that it lasts.');

export const mountHost = defineCommand({
  help: 'Have all agents mount a network file system.',
  positionals: {
    location: argument('FS_LOCATION', 'What to mount, such as server:/export.'),
    name: mountName,
  },
  options: {
    type: option(['-t', '--type'], 'TYPE', 'Of the file system. [default: nfs]'),
    options: option(['-o', '--options'], 'OPTIONS', 'As mount takes them.'),
    editsFstab,
  },
  async run({ options, args, io, globals }) {
    const client = await connectAdmin({ io, globals });
    const reports = await client.folder.mount(args.name, args.location, options);
    return printDoneOnAgents({ io, globals }, reports);
  },
});

export const unmountHost = defineCommand({
  help: 'Have all agents unmount what mount-host mounted. No session may use it.',
  positionals: { name: mountName },
  options: { editsFstab },
  async run({ options, args, io, globals }) {
    const client = await connectAdmin({ io, globals });
    return printDoneOnAgents({ io, globals }, await client.folder.unmount(args.name, options));
  },
});

export const fstab = defineCommand({
  options: {
    agent: option(['-a', '--agent-id'], 'ID', "The agent; the manager's own when absent."),
  },
  async run({ options, io, globals }) {
    const client = await connectAdmin({ io, globals });
    const content = await client.folder.fstab(options.agent);
    if (globals.output === 'json') printJson(io, { content });
    else io.stdout.write(content.endsWith('\n') ? content : `${content}\n`);
    return 0;
  },
});

async function printShared(
  where: Parameters<typeof connectAdmin>[0],
  folderId: string | undefined,
): Promise<number> {
  const client = await connectAdmin(where);
  const grants = await client.folder.shared(folderId);
  const { io, globals } = where;
  if (globals.output === 'json') printJson(io, itemsDocument(grants, grants.length));
  else {
    const rows = grants.map((grant) => [
      grant.vfolder_id,
      grant.vfolder_name,
      grant.status,
      grant.type,
      grant.owner,
      grant.shared_to.email,
      grant.perm,
    ]);
    const titles = ['ID', 'Name', 'Status', 'Type', 'Owner', 'Shared With', 'Permission'];
    io.stdout.write(formatTable(titles, rows));
  }
  return 0;
}

export const listShared = defineCommand({
  run: ({ io, globals }) => printShared({ io, globals }, undefined),
});

export const sharedInfo = defineCommand({
  positionals: { folder },
  run: ({ args, io, globals }) => printShared({ io, globals }, args.folder),
});

const user = argument('USER_ID', "The user's id.");

export const updateShared = defineCommand({
  positionals: { folder, user },
  options: {
    permission: optionWithDefault(
      ['-p', '--permission'],
      'PERM',
      'ro, rw or wd.',
      'rw',
      choice(['ro', 'rw', 'wd']),
    ),
  },
  async run({ options, args, io, globals }) {
    const client = await connectAdmin({ io, globals });
    await client.folder.setShared(args.folder, args.user, options.permission);
    return printDone({ io, globals }, 'Updated.', { permission: options.permission });
  },
});

export const removeShared = defineCommand({
  positionals: { folder, user },
  async run({ args, io, globals }) {
    const client = await connectAdmin({ io, globals });
    await client.folder.setShared(args.folder, args.user, null);
    return printDone({ io, globals }, 'Removed.', { user: args.user });
  },
});

export const changeOwnership = defineCommand({
  positionals: { folder, email: argument('USER_EMAIL', 'The new owner.') },
  async run({ args, io, globals }) {
    const client = await connectAdmin({ io, globals });
    await client.folder.changeOwnership(args.folder, args.email);
    return printDone({ io, globals }, `The folder belongs to ${args.email} now.`, {
      owner: args.email,
    });
  },
});
