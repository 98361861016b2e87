/** Copies files and directories between this machine and a folder. */
import { mkdir, readdir, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { ApiError, type Client, ConnectionError } from '../../client/index.ts';
import type { TransferOptions } from '../../client/transfer.ts';
import type { CommandIo } from '../../common/command.ts';
import { errorCode, UserError } from '../../common/errors.ts';
import { printStatus, WaitingLine } from '../../common/glyphs.ts';
import { pooled } from '../../common/pooled.ts';
import { formatSize } from '../../common/sizes.ts';
import type { LocalEntry } from './local.ts';
import {
  type DownloadPlace,
  downloadTogether,
  downloadTree,
  isBelow,
  uploadTogether,
} from './together.ts';
import { downloadFile, type TransferPlace, uploadFile } from './transfer.ts';
import { Unfinished } from './unfinished.ts';

/** Files that are under way at a time. */
const PARALLEL = 4;
/** Directories that one request makes. */
const MAX_DIRECTORIES = 50;

type Settings = Omit<TransferOptions, 'report'>;

/** A line that tells how much of everything is done; nothing where it could not be overwritten. */
class Progress {
  private readonly io: CommandIo;
  private readonly line: WaitingLine | null;
  private readonly verb: string;
  private readonly done = new Map<string, number>();
  private sum = 0;
  private total: number;

  constructor(io: CommandIo, verb: string, total: number) {
    this.io = io;
    this.line = io.stderr.isTTY ? new WaitingLine(io.stderr) : null;
    this.verb = verb;
    this.total = total;
  }

  of(path: string): (done: number, total: number) => void {
    return (done, total) => {
      if (!this.done.has(path) && this.verb === 'Downloading') this.total += total;
      this.sum += done - (this.done.get(path) ?? 0);
      this.done.set(path, done);
      const percent = this.total > 0 ? Math.floor((100 * this.sum) / this.total) : 100;
      this.line?.show(
        `${this.verb} ${path} … ${percent}% (${formatSize(this.sum)}/${formatSize(this.total)})`,
      );
    };
  }

  /** Of something whose size is not known. @returns told how many bytes are done. */
  open(path: string): (done: number) => void {
    let shown = '';
    return (done) => {
      const size = formatSize(done);
      if (size !== shown) this.line?.show(`${this.verb} ${path} … ${size}`);
      shown = size;
    };
  }

  /** Writes a line of its own. */
  say(text: string, glyph: 'info' | 'warn' = 'info'): void {
    this.line?.clear();
    printStatus(this.io.stderr, glyph, text);
  }

  end(): void {
    this.line?.clear();
  }
}

interface Where {
  readonly client: Client;
  readonly io: CommandIo;
}

/** What moving one file takes; files that nobody can go on with any more are forgotten. */
function placeOf({ client, io }: Where, progress: Progress): TransferPlace {
  const unfinished = new Unfinished(client, io);
  unfinished.forgetExpired();
  const tell = (text: string): void => progress.say(text);
  return { client, unfinished, tell, log: io.stderr.isTTY ? () => {} : tell };
}

const under = (directory: string, path: string): string =>
  directory === '' || directory === '.' ? path : `${directory.replace(/\/+$/, '')}/${path}`;

/** The directories in which nothing is; others are made with what they hold. */
function emptyDirectories(entries: readonly LocalEntry[]): LocalEntry[] {
  const parents = new Set(entries.map(({ path }) => dirname(path)));
  return entries.filter(({ isDirectory, path }) => isDirectory && !parents.has(path));
}

/**
 * Uploads entries. @param target directory of the folder that they go into; empty for its root.
 * @returns the paths of files that went away before their turn came, which the user is told.
 * @throws ApiError, ConnectionError; UserError when a directory cannot be made.
 */
export async function uploadEntries(
  { client, io }: Where,
  folderId: string,
  entries: readonly LocalEntry[],
  target: string,
  settings: Settings,
): Promise<string[]> {
  const prepare = async (unpacks: boolean): Promise<void> => {
    const directories = (unpacks ? emptyDirectories(entries) : entries)
      .filter(({ isDirectory, path }) => isDirectory && path !== '')
      .map(({ path }) => under(target, path));
    for (let at = 0; at < directories.length; at += MAX_DIRECTORIES) {
      const part = directories.slice(at, at + MAX_DIRECTORIES);
      const options = { parents: true, existOk: true };
      const [first] = (await client.folder.mkdir(folderId, part, options)).failed;
      if (first) throw new UserError(`${first.item} cannot be made: ${first.msg ?? 'it failed'}`);
    }
  };
  const files = entries.filter(({ isDirectory }) => !isDirectory);
  const progress = new Progress(
    io,
    'Uploading',
    files.reduce((sum, { size }) => sum + size, 0),
  );
  const moving = placeOf({ client, io }, progress);
  try {
    const place = { folderId, target, settings };
    const reportOf = (part: string) => progress.of(part);
    const { singly, gone } = await uploadTogether(moving, place, files, { prepare, reportOf });
    const missed = [...gone];
    await pooled(singly, PARALLEL, async (entry) => {
      const { path, source } = entry;
      const key = { local: source, folderId, path: under(target, path) };
      const isSent = await uploadFile(moving, key, { ...settings, report: progress.of(path) });
      if (!isSent) missed.push(entry);
    });
    for (const { source } of missed)
      progress.say(`${source} has gone away and was not uploaded.`, 'warn');
    return missed.map(({ path }) => path);
  } finally {
    progress.end();
  }
}

interface RemoteFile {
  /** Path in the folder. */
  readonly path: string;
  /** Path below the target. */
  readonly place: string;
  /** Bytes, where a listing told. */
  readonly size?: number;
}

interface RemoteTree {
  readonly files: (RemoteFile & { readonly size: number; readonly modified: string })[];
  readonly directories: string[];
}

/** The directories that lead to a path of a folder. */
function addParents(path: string, known: Set<string>): void {
  const parent = dirname(path);
  if (parent === '.' || known.has(parent)) return;
  addParents(parent, known);
  known.add(parent);
}

/** As `remoteTree`, in one answer; null from servers that have none, or for whom it may not be had. */
async function listedTree(
  client: Client,
  folderId: string,
  path: string,
  settings: Settings,
): Promise<RemoteTree | null> {
  const tree: RemoteTree = { files: [], directories: [] };
  const directories = new Set<string>();
  try {
    const ticket = await client.folder.archiveTicket(folderId, [path]);
    const listed = await client.folder.transfer.list(ticket, settings);
    if (listed === null) return null;
    // Links on the way were followed: then files would go where they do not belong.
    if (!listed.every((entry) => isBelow(path, entry.path))) return null;
    for (const { path: at, type, size, modified } of listed) {
      addParents(at, directories);
      if (type === 'DIRECTORY') directories.add(at);
      else if (type === 'FILE') tree.files.push({ path: at, place: at, size, modified });
    }
  } catch (error) {
    // What is the matter is told when it is listed otherwise.
    if (error instanceof ApiError || error instanceof ConnectionError) return null;
    throw error;
  }
  tree.directories.push(...directories);
  return tree;
}

/**
 * Everything below a directory of a folder; `.` is the folder itself.
 * @throws UserError when a directory may not have been listed completely.
 */
export async function remoteTree(
  client: Client,
  folderId: string,
  path: string,
  settings: Settings,
): Promise<RemoteTree> {
  const top = path === '' ? '.' : path.replace(/\/+$/, '');
  return (
    (await listedTree(client, folderId, top, settings)) ??
    (await visitedTree(client, folderId, top))
  );
}

/** As `remoteTree`, with a request for each directory. */
async function visitedTree(client: Client, folderId: string, top: string): Promise<RemoteTree> {
  const tree: RemoteTree = { files: [], directories: [] };
  const visit = async (directory: string): Promise<string[]> => {
    if (directory !== '.') tree.directories.push(directory);
    const inside: string[] = [];
    const { items, isWhole } = await client.folder.files(folderId, directory);
    // A copy must not leave out files without saying so.
    if (!isWhole) {
      throw new UserError(`${directory} may hold more than the ${items.length} files listed.`, {
        hint: "Nothing is copied. An administrator can raise the storage proxy's scandir-limit.",
      });
    }
    for (const { name, type, size, modified } of items) {
      const at = under(directory, name);
      if (type === 'DIRECTORY') inside.push(at);
      else if (type === 'FILE') tree.files.push({ path: at, place: at, size, modified });
    }
    return inside;
  };
  for (let level = [top]; level.length > 0; ) {
    const below: string[] = [];
    await pooled(level, PARALLEL, async (directory) => {
      below.push(...(await visit(directory)));
    });
    level = below;
  }
  return tree;
}

/** Whether a path of a folder is a directory. @throws UserError when it is, and not `recursive`. */
async function isDirectory(
  client: Client,
  folderId: string,
  path: string,
  recursive: boolean,
): Promise<boolean> {
  const isRoot = path === '.' || path === '';
  const name = path.replace(/\/+$/, '').split('/').at(-1);
  const siblings = isRoot ? [] : (await client.folder.files(folderId, dirname(path))).items;
  const found = isRoot || siblings.some((item) => item.name === name && item.type === 'DIRECTORY');
  if (!found || recursive) return found;
  throw new UserError(`${path} is a directory.`, { hint: 'Use -r to download directories.' });
}

/** A place below `base`. @throws UserError for a name that leads out of it. */
function placeBelow(base: string, place: string): string {
  const path = resolve(base, place);
  if (path === base || path.startsWith(`${base}/`)) return path;
  throw new UserError(`'${place}' would be written outside ${base}.`);
}

/**
 * Downloads files and, if `recursive`, directories to the same places below `base`.
 * @returns the paths of the files that were written.
 * @throws UserError when a file is there already; ApiError, ConnectionError.
 */
export async function downloadPaths(
  { client, io }: Where,
  folderId: string,
  paths: readonly string[],
  base: string,
  options: Settings & { readonly recursive: boolean },
): Promise<string[]> {
  const { recursive, ...settings } = options;
  const progress = new Progress(io, 'Downloading', 0);
  const moving = placeOf({ client, io }, progress);
  const what = { folderId, settings, replaces: false };
  const files: RemoteFile[] = [];
  const written: string[] = [];
  try {
    for (const path of paths) {
      if (!(await isDirectory(client, folderId, path, recursive))) {
        files.push({ path, place: path });
        continue;
      }
      const found = await directoryFiles(moving, what, { path, base, progress });
      written.push(...found.written);
      files.push(...found.files);
    }
    await pooled(files, PARALLEL, async ({ place }) => {
      const there = await stat(placeBelow(base, place)).catch(() => null);
      if (there !== null) throw new UserError(`${join(base, place)} exists already.`);
    });
    await receive(moving, what, files, { base, progress });
  } finally {
    progress.end();
  }
  return [...written, ...files.map(({ place }) => place)];
}

/**
 * Downloads files, with the sizes that a listing told, to the same places below `base`. Files that are
 * there already are replaced, once the new ones are complete.
 * @throws UserError; ApiError, ConnectionError.
 */
export async function downloadFiles(
  { client, io }: Where,
  folderId: string,
  files: readonly { readonly path: string; readonly size: number }[],
  base: string,
  settings: Settings,
): Promise<void> {
  const progress = new Progress(io, 'Downloading', 0);
  const moving = placeOf({ client, io }, progress);
  const what = { folderId, settings, replaces: true };
  const placed = files.map((file) => ({ ...file, place: file.path }));
  try {
    await receive(moving, what, placed, { base, progress });
  } finally {
    progress.end();
  }
}

/** Small files together, large ones singly. */
async function receive(
  moving: TransferPlace,
  what: DownloadPlace,
  files: readonly RemoteFile[],
  { base, progress }: { base: string; progress: Progress },
): Promise<void> {
  const { folderId, settings, replaces } = what;
  const targets = files.map((file) => ({ ...file, local: placeBelow(base, file.place) }));
  const singly = await downloadTogether(moving, what, targets, (part) => progress.of(part));
  await pooled(singly, PARALLEL, async ({ path, local }) => {
    await mkdir(dirname(local), { recursive: true });
    const report = progress.of(path);
    await downloadFile(moving, { local, folderId, path }, { ...settings, replaces, report });
  });
}

/** Whether there is nothing at a path of this machine, or a directory that holds nothing. */
async function isVacant(local: string): Promise<boolean> {
  try {
    return (await readdir(local)).length === 0;
  } catch (error) {
    return errorCode(error) === 'ENOENT';
  }
}

/**
 * Downloads what is in a directory, as far as that goes without a listing of it: where nothing could be
 * in the way, and servers know how.
 * @returns the files that are written, and those that are to be downloaded; their directories are made.
 */
async function directoryFiles(
  moving: TransferPlace,
  what: DownloadPlace,
  { path, base, progress }: { path: string; base: string; progress: Progress },
): Promise<{ written: string[]; files: RemoteFile[] }> {
  const { client } = moving;
  const localOf = (at: string): string => placeBelow(base, at);
  let written: ReadonlySet<string> = new Set();
  if (await isVacant(localOf(path))) {
    const received = progress.open(path);
    const directory = path.replace(/\/+$/, '') || '.';
    const { arrived, large, isWhole } = await downloadTree(moving, what, directory, {
      localOf,
      received,
    });
    const files = large.map((file) => ({ ...file, place: file.path }));
    if (isWhole) return { written: [...arrived], files };
    written = arrived;
  }
  const tree = await remoteTree(client, what.folderId, path, what.settings);
  for (const directory of tree.directories) await mkdir(localOf(directory), { recursive: true });
  return {
    written: [...written],
    files: tree.files.filter((file) => !written.has(file.path)),
  };
}
