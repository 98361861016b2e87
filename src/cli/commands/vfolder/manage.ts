/** `vfolder create|info|rename|update-options|clone|delete|restore|…`: folders as a whole. */

import type { Client } from '../../../client/index.ts';
import {
  argument,
  booleanExpression,
  type Command,
  defineCommand,
  flag,
  option,
  optionalArgument,
  UsageError,
} from '../../../common/command.ts';
import { UserError } from '../../../common/errors.ts';
import { printStatus, WaitingLine } from '../../../common/glyphs.ts';
import { changesOf } from '../../admin/shared.ts';
import { connect } from '../../connect.ts';
import { itemsDocument, printJson } from '../../output/json.ts';
import {
  nameArgument,
  permissionOption,
  printDone,
  usageModeOption,
} from '../../vfolder/shared.ts';

export const listHosts = defineCommand({
  async run({ io, globals }) {
    const client = await connect({ io, globals });
    const found = await client.folder.hosts();
    if (globals.output === 'json') printJson(io, found);
    else {
      io.stdout.write(`Default vfolder host: ${found.default ?? '(none)'}\n`);
      io.stdout.write(`Usable hosts: ${found.allowed.join(', ')}\n`);
    }
    return 0;
  },
});

export const listAllowedTypes = defineCommand({
  async run({ io, globals }) {
    const client = await connect({ io, globals });
    const types = await client.folder.allowedTypes();
    if (globals.output === 'json') printJson(io, types);
    else io.stdout.write(`${types.join('\n')}\n`);
    return 0;
  },
});

/** @throws UserError when it is for the user to choose. */
async function usualHost({ folder }: Client): Promise<string> {
  const { default: usual, allowed } = await folder.hosts();
  const [first, ...others] = allowed;
  if (usual !== null && allowed.includes(usual)) return usual;
  if (first === undefined) {
    throw new UserError('You may not use any storage host.', {
      hint: "Ask an administrator to allow one to your domain, project or keypair's policy.",
    });
  }
  if (others.length === 0) return first;
  throw new UserError('There are several storage hosts, and none of them is the default.', {
    hint: `Name one after the folder's name: ${allowed.join(', ')}.`,
  });
}

export const create = defineCommand({
  positionals: {
    name: argument('NAME', "The new folder's name."),
    host: optionalArgument(
      'HOST',
      'proxy:volume where it is kept; the default or only one when absent. A path with --unmanaged.',
    ),
  },
  options: {
    group: option(['-g', '--group'], 'ID', 'Make it a folder of this project.'),
    unmanaged: flag(['--unmanaged'], 'HOST is a path of the hosts (administrators).'),
    unmanagedPath: option(['--unmanaged-path'], 'PATH', 'A path of the hosts (administrators).'),
    usageMode: usageModeOption,
    permission: permissionOption,
    cloneable: flag(['--cloneable', '--allow-clone'], 'Others who can read it may copy it.'),
  },
  async run({ options, args, io, globals }) {
    const client = await connect({ io, globals });
    const { unmanaged, ...wanted } = options;
    if (unmanaged && args.host === undefined) {
      throw new UsageError('--unmanaged needs the path of the hosts in place of HOST.');
    }
    const made = await client.folder.create({
      ...wanted,
      name: args.name,
      ...(unmanaged
        ? { host: null, unmanagedPath: args.host }
        : { host: args.host ?? (await usualHost(client)) }),
    });
    if (globals.output === 'json') printJson(io, itemsDocument([made], 1));
    else io.stdout.write(`Virtual folder "${made.name}" is created.\n`);
    return 0;
  },
});

const INFO_KEYS = [
  ...['is_owner', 'permission', 'status', 'host', 'numFiles', 'used_bytes', 'type'],
  ...['usage_mode', 'group', 'user', 'cloneable'],
];

export const info = defineCommand({
  positionals: { name: nameArgument },
  async run({ args, io, globals }) {
    const client = await connect({ io, globals });
    const folder = await client.folder.info(await client.folder.idOf(args.name));
    if (globals.output === 'json') {
      printJson(io, itemsDocument([folder], 1));
      return 0;
    }
    const lines = INFO_KEYS.map((key) => {
      const words = key.replaceAll('_', ' ');
      return `- ${words.charAt(0).toUpperCase()}${words.slice(1)}: ${String(folder[key] ?? '(null)')}`;
    });
    io.stdout.write(`Virtual folder "${folder.name}" (ID: ${folder.id})\n${lines.join('\n')}\n`);
    return 0;
  },
});

export const rename = defineCommand({
  positionals: {
    name: argument('OLD_NAME', "The folder's name or id."),
    to: argument('NEW_NAME', 'Its new name.'),
  },
  async run({ args, io, globals }) {
    const client = await connect({ io, globals });
    await client.folder.rename(await client.folder.idOf(args.name), args.to);
    return printDone({ io, globals }, `Renamed to '${args.to}'.`, { name: args.to });
  },
});

export const updateOptions = defineCommand({
  positionals: { name: nameArgument },
  options: {
    permission: option(['-p', '--permission'], 'PERM', 'What it allows: ro, rw or wd.'),
    cloneable: option(
      ['--set-cloneable'],
      'BOOL',
      'Whether others who can read it may copy it.',
      booleanExpression,
    ),
  },
  async run({ options, args, io, globals }) {
    const changes = changesOf(options);
    const client = await connect({ io, globals });
    await client.folder.updateOptions(await client.folder.idOf(args.name), changes);
    return printDone({ io, globals }, 'Updated.', { name: args.name });
  },
});

export const clone = defineCommand({
  positionals: {
    name: nameArgument,
    target: argument('TARGET_NAME', 'Name of the copy.'),
    host: argument('TARGET_HOST', 'proxy:volume of the copy; that of the folder.'),
  },
  options: { usageMode: usageModeOption, permission: permissionOption },
  async run({ options, args, io, globals }) {
    const client = await connect({ io, globals });
    const id = await client.folder.idOf(args.name);
    const wanted = { name: args.target, host: args.host, ...options };
    const { bgtask_id: task, id: copy } = await client.folder.clone(id, wanted);
    const line = new WaitingLine(io.stderr);
    for await (const { state, message, current, total } of client.task.follow(task)) {
      if (state === 'updated') line.show(total ? `${message} (${current}/${total})` : message);
      else if (state !== 'done') throw new UserError(`The folder was not cloned: ${message}`);
    }
    line.clear();
    return printDone({ io, globals }, `Cloned into '${args.target}'.`, { id: copy, task_id: task });
  },
});

type Api = Awaited<ReturnType<typeof connect>>['folder'];

/** A command that does one thing to one folder. */
const acting = (run: (api: Api, id: string) => Promise<void>, done: string): Command =>
  defineCommand({
    positionals: { name: nameArgument },
    async run({ args, io, globals }) {
      const client = await connect({ io, globals });
      const id = await client.folder.idOf(args.name);
      await run(client.folder, id);
      return printDone({ io, globals }, done, { name: args.name, id });
    },
  });

export const trash = acting((api, id) => api.trash(id), 'Moved to the trash.');
export const restore = acting((api, id) => api.restore(id), 'Restored.');
export const purge = acting((api, id) => api.purge(id), 'Purged.');
export const deleteTrash = acting(
  (api, id) => api.deleteForever(id),
  'It is being deleted for good.',
);

export const leave = defineCommand({
  positionals: { name: nameArgument },
  options: {
    user: option(
      ['-s', '--shared-user-uuid'],
      'UUID',
      'The user who is to leave it (superadmins); you when absent.',
    ),
  },
  async run({ options, args, io, globals }) {
    const client = await connect({ io, globals });
    await client.folder.leave(await client.folder.idOf(args.name), options.user);
    if (globals.output !== 'json') printStatus(io.stderr, 'done', `Left folder '${args.name}'.`);
    else printJson(io, { ok: true, name: args.name });
    return 0;
  },
});
