/** `admin vfolder`: folders and storage hosts as administrators see them. */
import type { MountReports } from '../../../client/folder.ts';
import {
  argument,
  choice,
  defineCommand,
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
    if (globals.output === 'json') printJson(io, reports);
    else {
      io.stdout.write(mountLines('manager', reports.manager));
      if (reports.storage_proxy) {
        io.stdout.write(mountLines('storage proxies', reports.storage_proxy));
      }
      for (const [id, report] of Object.entries(reports.agents)) {
        io.stdout.write(mountLines(`agent ${id}`, report));
      }
    }
    return 0;
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
