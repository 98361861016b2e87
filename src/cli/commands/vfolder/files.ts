/** `vfolder ls|mkdir|mv|rm|rename-file|request-download|upload|download|cp`: the files of folders. */
import { resolve } from 'node:path';
import {
  argument,
  defineCommand,
  flag,
  optionalArgument,
  restArguments,
} from '../../../common/command.ts';
import { UserError } from '../../../common/errors.ts';
import { printStatus } from '../../../common/glyphs.ts';
import { confirmed } from '../../admin/shared.ts';
import { connect } from '../../connect.ts';
import { itemsDocument, printJson } from '../../output/json.ts';
import { formatTable } from '../../output/table.ts';
import { downloadPaths, uploadEntries } from '../../vfolder/copy.ts';
import { type LocalEntry, localEntries } from '../../vfolder/local.ts';
import {
  nameArgument,
  printDone,
  printResults,
  transferOptions,
  transferSettings,
} from '../../vfolder/shared.ts';

const INVALID_ARGUMENT_EXIT_CODE = 4;

function requireNames(names: readonly string[], what: string): void {
  if (names.length > 0) return;
  throw new UserError(`Name at least one ${what}.`, { exitCode: INVALID_ARGUMENT_EXIT_CODE });
}

export const ls = defineCommand({
  positionals: {
    name: nameArgument,
    path: optionalArgument('PATH', 'Directory; all when absent.'),
  },
  async run({ args, io, globals }) {
    const client = await connect({ io, globals });
    const id = await client.folder.idOf(args.name);
    const { items, isWhole } = await client.folder.files(id, args.path ?? '.');
    if (globals.output === 'json') printJson(io, itemsDocument(items, items.length));
    else {
      const rows = items.map(({ name, type, size, modified, mode }) => [
        type === 'DIRECTORY' ? `${name}/` : name,
        String(size),
        modified,
        typeof mode === 'number' ? (mode & 0o7777).toString(8).padStart(3, '0') : mode,
      ]);
      io.stdout.write(formatTable(['File name', 'Size', 'Modified', 'Mode'], rows));
    }
    if (!isWhole) printStatus(io.stderr, 'warn', 'There may be more; the server lists no further.');
    return 0;
  },
});

export const makeDirectory = defineCommand({
  positionals: { name: nameArgument, paths: restArguments('PATHS', 'Directories to make.') },
  options: {
    parents: flag(['-p', '--parents'], 'Make missing parents too.'),
    existOk: flag(['-e', '--exist-ok'], 'Those that are there already are fine.'),
  },
  async run({ options, args, io, globals }) {
    requireNames(args.paths, 'directory');
    const client = await connect({ io, globals });
    const id = await client.folder.idOf(args.name);
    const results = await client.folder.mkdir(id, args.paths, options);
    return printResults({ io, globals }, ['created', 'create'], results);
  },
});

export const move = defineCommand({
  positionals: {
    name: nameArgument,
    src: argument('SRC', 'The file or directory.'),
    dst: argument('DST', 'Its new path.'),
  },
  async run({ args, io, globals }) {
    const client = await connect({ io, globals });
    await client.folder.moveFile(await client.folder.idOf(args.name), args.src, args.dst);
    return printDone({ io, globals }, 'Moved.', { src: args.src, dst: args.dst });
  },
});

export const renameFile = defineCommand({
  positionals: {
    name: nameArgument,
    path: argument('TARGET_PATH', 'The file or directory.'),
    to: argument('NEW_NAME', 'Its new name, in the same directory.'),
  },
  async run({ args, io, globals }) {
    const client = await connect({ io, globals });
    await client.folder.renameFile(await client.folder.idOf(args.name), args.path, args.to);
    return printDone({ io, globals }, 'Renamed.', { path: args.path, name: args.to });
  },
});

export const remove = defineCommand({
  positionals: { name: nameArgument, files: restArguments('FILENAMES', 'Files to delete.') },
  options: {
    recursive: flag(['-r', '--recursive'], 'Delete directories with what they hold.'),
    yes: flag(['-y', '--yes'], 'Do not ask.'),
  },
  async run({ options, args, io, globals }) {
    requireNames(args.files, 'file');
    if (!(await confirmed({ io }, options.yes))) return 1;
    const client = await connect({ io, globals });
    const id = await client.folder.idOf(args.name);
    await client.folder.deleteFiles(id, args.files, options.recursive);
    return printDone({ io, globals }, 'Done.', { deleted: args.files });
  },
});

export const requestDownload = defineCommand({
  help: 'Print an address from which a file can be downloaded for a while.',
  positionals: { name: nameArgument, file: argument('FILENAME', 'The file.') },
  async run({ args, io, globals }) {
    const client = await connect({ io, globals });
    const id = await client.folder.idOf(args.name);
    const ticket = await client.folder.downloadTicket(id, args.file);
    if (globals.output === 'json') printJson(io, ticket);
    else io.stdout.write(`${ticket.url}?token=${ticket.token}\n`);
    return 0;
  },
});

/** Paths of the files that were uploaded. */
function sentOf(entries: readonly LocalEntry[], gone: readonly string[]): string[] {
  const missed = new Set(gone);
  return entries
    .filter(({ isDirectory, path }) => !isDirectory && !missed.has(path))
    .map(({ path }) => path);
}

export const upload = defineCommand({
  positionals: { name: nameArgument, files: restArguments('FILENAMES', 'Files to upload.') },
  options: {
    recursive: flag(['-r', '--recursive'], 'Upload directories with what they hold.'),
    ...transferOptions,
  },
  async run({ options, args, io, globals }) {
    requireNames(args.files, 'file');
    const { basedir = '.', recursive } = options;
    const entries = localEntries(args.files, { basedir, cwd: io.cwd, recursive });
    const client = await connect({ io, globals });
    const id = await client.folder.idOf(args.name);
    const gone = await uploadEntries({ client, io }, id, entries, '', transferSettings(options));
    const uploaded = sentOf(entries, gone);
    printDone({ io, globals }, 'Done.', { uploaded });
    return gone.length > 0 ? 1 : 0;
  },
});

export const download = defineCommand({
  positionals: { name: nameArgument, files: restArguments('FILENAMES', 'Files to download.') },
  options: {
    recursive: flag(['-r', '--recursive'], 'Download directories with what they hold.'),
    ...transferOptions,
  },
  async run({ options, args, io, globals }) {
    requireNames(args.files, 'file');
    const base = resolve(io.cwd, options.basedir ?? '.');
    const client = await connect({ io, globals });
    const id = await client.folder.idOf(args.name);
    const settings = { ...transferSettings(options), recursive: options.recursive };
    const downloaded = await downloadPaths({ client, io }, id, args.files, base, settings);
    return printDone({ io, globals }, 'Done.', { downloaded });
  },
});

/** `NAME:path` of a folder; null for a path of this machine. */
function remoteOf(text: string): { name: string; path: string } | null {
  const at = text.indexOf(':');
  if (at <= 0 || text.slice(0, at).includes('/')) return null;
  return { name: text.slice(0, at), path: text.slice(at + 1).replace(/^\/+/, '') };
}

export const copy = defineCommand({
  help: 'Copy files into a folder, or out of it: one side is NAME:path, the other on this machine.',
  positionals: { files: restArguments('FILENAMES', 'What to copy, and at last where to.') },
  options: {
    recursive: flag(['-r', '--recursive'], 'Copy directories with what they hold.'),
    ...transferOptions,
  },
  async run({ options, args, io, globals }) {
    const sources = args.files.slice(0, -1);
    const target = args.files.at(-1);
    if (target === undefined || sources.length === 0) {
      throw new UserError('Name what to copy and where to, e.g. data.csv results:input/.', {
        exitCode: INVALID_ARGUMENT_EXIT_CODE,
      });
    }
    const to = remoteOf(target);
    const from = sources.map(remoteOf);
    const settings = transferSettings(options);
    if (to !== null && from.every((source) => source === null)) {
      const { recursive, basedir = '.' } = options;
      const entries = localEntries(sources, { basedir, cwd: io.cwd, recursive });
      const client = await connect({ io, globals });
      const id = await client.folder.idOf(to.name);
      const gone = await uploadEntries({ client, io }, id, entries, to.path, settings);
      printDone({ io, globals }, 'Done.', { copied: sentOf(entries, gone) });
      return gone.length > 0 ? 1 : 0;
    }
    const remote = from.filter((source) => source !== null);
    const [first] = remote;
    const isOne = remote.length === from.length && remote.every(({ name }) => name === first?.name);
    if (to !== null || first === undefined || !isOne) {
      throw new UserError('Copies go from this machine to one folder, or from one folder to it.', {
        hint: 'Write the side of the folder as NAME:path; clone copies whole folders.',
        exitCode: INVALID_ARGUMENT_EXIT_CODE,
      });
    }
    const client = await connect({ io, globals });
    const id = await client.folder.idOf(first.name);
    const paths = remote.map(({ path }) => path || '.');
    const base = resolve(io.cwd, target);
    const all = { ...settings, recursive: options.recursive };
    const copied = await downloadPaths({ client, io }, id, paths, base, all);
    return printDone({ io, globals }, 'Done.', { copied });
  },
});
